use std::error::Error;

use careful_lines::{LINE_DEADLINE, LONGEST_LINE, read_line};
use tokio::io::BufReader;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:7000").await?;
    let (stranger, _address) = listener.accept().await?;
    let mut stranger = BufReader::new(stranger);
    while let Some(line) = read_line(&mut stranger, LONGEST_LINE, LINE_DEADLINE).await? {
        println!("{line}");
    }
    Ok(())
}
