//! The lab's CA and certificates. A CA whose key lies next to the server is for a laboratory alone: with the key,
//! anybody can be any server for those who trust this CA.

use std::path::Path;

use anyhow::{Context, bail};
use careful_certificates::leaf::Leaf;
use careful_certificates::pem::certificates;
use careful_files::{ReplaceError, if_there};
use careful_tls::identity::MAX_FILE;
use careful_tokens::clock::Clock;
use shared::LabCa;

const CA_NAME: &str = "Mailbox Lab";
/// A root that ends sooner is replaced at the next start: in seconds.
const REPLACE_BEFORE: u64 = 7 * 24 * 60 * 60;

/// Issues a certificate for this name, and writes it with its key. The CA is made if there is none.
pub fn new_certificate(data: &Path, name: &str) -> anyhow::Result<Leaf> {
    let at = |file: &str| data.join(file);
    // A key that is not the lab's own is somebody's only copy.
    if at("key.pem").exists() && !at("ca.pem").exists() {
        bail!(
            "{} is there, and no ca.pem: it is not of a lab, or the lab's ca.pem is lost. If it is somebody's, use it with \
             --chain and --key, or take another --data; if it is the lab's, delete it",
            at("key.pem").display()
        );
    }
    let ca = match root_key(data)? {
        Some(pem) => LabCa::with_root_key(CA_NAME, &pem).context("the lab's ca-key.pem")?,
        None => {
            let ca = LabCa::new(CA_NAME)?;
            // The key first: a root without its key is replaced, a key without its root is of no use.
            replace(&at("ca-key.pem"), &ca.root_key_pem())?;
            replace(&at("ca.pem"), &ca.root_pem())?;
            ca
        }
    };
    let identity = ca.leaf(name).also_for("localhost").also_for("127.0.0.1").issue();
    let identity = identity.with_context(|| format!("no certificate can be for {name:?}"))?;
    replace(&at("chain.pem"), &identity.chain_pem())?;
    replace(&at("key.pem"), &identity.key_pem())?;
    Ok(Leaf::from_der(&identity.leaf_der())?)
}

/// The root's key, if there is one and its root is valid for some time.
fn root_key(data: &Path) -> anyhow::Result<Option<String>> {
    let root = if_there(careful_files::read(&data.join("ca.pem"), MAX_FILE));
    let key = if_there(careful_files::read_private(&data.join("ca-key.pem"), MAX_FILE));
    let (Some(root), Some(key)) = (root.context("ca.pem")?, key.context("ca-key.pem")?) else {
        return Ok(None);
    };
    let root = certificates(&root).context("ca.pem")?;
    let leaf = Leaf::from_der(root.first().context("ca.pem is empty")?)?;
    let ends_soon = leaf.not_after < Clock::system().now() + REPLACE_BEFORE;
    Ok((!ends_soon).then(|| String::from_utf8_lossy(&key).into_owned()))
}

/// It is made again at the next start, so it doesn't matter if a power loss takes it.
fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    let replaced = ReplaceError::in_place(careful_files::replace(file, text.as_bytes()));
    replaced.map(drop).with_context(|| format!("cannot write {}", file.display()))
}
