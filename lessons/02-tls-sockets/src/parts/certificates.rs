//! What stands in the certificates of a chain, and what rcgen's defaults leave out.

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use shared::{LabCa, Transcript};
use tls_sockets::lab::certificate::{Field, fields};
use tls_sockets::lab::handshake::shake_hands;
use tls_sockets::lab::{BOTH, SERVER, client, server};

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    // ANCHOR: chain
    let ca = LabCa::new("Course Lab")?;
    let leaf = ca.leaf(SERVER).also_for("127.0.0.1").issue()?;
    let chain = leaf.chain();
    // ANCHOR_END: chain

    t.step("The root signs itself. A client that trusts it believes what it signs.");
    show(t, &fields(&ca.root_der())?);

    t.step(
        "The root signed the intermediate, which issues leaves and no further CA (path length 0).",
    );
    show(t, &fields(&chain[1])?);

    t.step(
        "The leaf belongs to the server. Its name is in the SAN, and its purpose is serverAuth.",
    );
    show(t, &fields(&chain[0])?);
    let handshake = shake_hands(server(&leaf, BOTH)?, client(ca.roots(), BOTH)?, SERVER).await?;
    t.works(
        "a client that trusts the root connects to a server with this chain",
        handshake.client,
    )?;

    // ANCHOR: defaults
    t.step("What rcgen makes if you give it a name and nothing else. Compare it with the leaf.");
    let key = KeyPair::generate()?;
    let bare = CertificateParams::new([SERVER.to_owned()])?.self_signed(&key)?;
    let bare: CertificateDer<'static> = bare.der().clone();
    // ANCHOR_END: defaults
    let bare = fields(&bare)?;
    show(t, &bare);
    let good = fields(&chain[0])?;
    let lost = good
        .iter()
        .zip(&bare)
        .filter(|((_, ours), (_, theirs))| ours.is_some() && theirs.is_none());
    let lost: Vec<&str> = lost.map(|((name, _), _)| *name).collect();
    t.must_show("left out", &lost.join(", "), "key usage, extended use, authority key")?;
    t.note(
        "It works in a test, is valid for two thousand years, and has the same subject as every \
         other one.",
    );
    Ok(())
}

fn show(t: &mut Transcript, fields: &[Field]) {
    for (name, value) in fields {
        t.shows(name, value.as_deref().unwrap_or("absent"));
    }
}
