use std::error::Error;
use std::{fmt, io};

use careful_errors::ErrorChain;

#[derive(Debug)]
struct CannotPay(io::Error);

impl fmt::Display for CannotPay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot pay")
    }
}

impl Error for CannotPay {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

fn main() {
    let error = CannotPay(io::Error::other("the certificate has expired"));
    eprintln!("{error}");
    eprintln!("{}", ErrorChain(&error));
}
