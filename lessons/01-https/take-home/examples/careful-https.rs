use std::error::Error;

use careful_https::body::read_body;
use careful_https::client::{Roots, Trust, secure_client};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let trust = Trust::Only(Roots::from_pem_file("ca.pem")?);
    let client = secure_client(&trust)?.build()?;
    let answer = client.get("https://bank.test/balance").send().await?.error_for_status()?;
    let body = read_body(answer, 64 * 1024).await?;
    println!("{}", String::from_utf8_lossy(&body));
    Ok(())
}
