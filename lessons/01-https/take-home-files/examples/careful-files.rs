use std::error::Error;
use std::path::Path;

use careful_files::{read_private, replace};

fn main() -> Result<(), Box<dyn Error>> {
    let path = Path::new("api-token");
    replace(path, b"a secret")?;
    let secret = read_private(path, 1024)?;
    assert_eq!(secret.as_slice(), b"a secret");
    Ok(())
}
