use std::error::Error;

use careful_certificates::roots::Roots;

fn main() -> Result<(), Box<dyn Error>> {
    let roots = Roots::from_pem_file("ca.pem")?;
    println!("{} CA certificates", roots.count());
    // For rustls's `ClientConfig::builder().with_root_certificates(…)`.
    let _store = roots.to_store();
    Ok(())
}
