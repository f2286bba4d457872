use std::io;

use careful_errors::ErrorChain;

fn main() {
    let cause = io::Error::other("the certificate has expired");
    let error = io::Error::other(cause);
    eprintln!("{}", ErrorChain(&error));
}
