//! Whose certificates a client accepts: one CA, one more CA, or nobody by accident.

use careful_certificates::roots::Roots;
use careful_https::client::{Trust, secure_client};
use https::lab::bank::TOKEN;
use reqwest::Certificate;
use shared::Transcript;

use https::lab::stage::{BANK, Stage};

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let stage = Stage::new().await?;
    let bank = stage.host();
    let balance =
        |client: reqwest::Client| client.get(bank.url("/balance")).bearer_auth(TOKEN).send();

    // ANCHOR: only
    t.step("Trust our CA, and no other.");
    let roots = Roots::from_pem(stage.ca.root_pem().as_bytes())?;
    let ours_only =
        secure_client(&Trust::Only(roots.clone()))?.resolve(BANK, bank.address).build()?;
    let answer = t.works("GET /balance", balance(ours_only).await)?;
    t.shows("status", answer.error_for_status()?.status());
    // ANCHOR_END: only

    // ANCHOR: none
    t.step("Build a client that trusts no CA at all, and send a request.");
    let nobody =
        reqwest::Client::builder().tls_certs_only([]).resolve(BANK, bank.address).no_proxy();
    let nobody = t.works("to build a client without any CA", nobody.build())?;
    let answer = balance(nobody).await;
    if let Err(error) = &answer {
        t.shows("println!", error);
        t.note("Display prints nothing more. The reason is in the chain of sources:");
    }
    t.refused("GET /balance", answer, "UnknownIssuer")?;
    // ANCHOR_END: none

    t.step("Trust the platform's CAs and ours. From now on any public CA can vouch for the bank.");
    let merged = secure_client(&Trust::PlatformAnd(roots))?.resolve(BANK, bank.address).build()?;
    let answer = t.works("GET /balance", balance(merged).await)?;
    t.shows("status", answer.error_for_status()?.status());

    // ANCHOR: garbage
    t.step("Load a CA from a file that holds something else, and send a request.");
    let garbage =
        t.works("Certificate::from_pem(b\"garbage\")", Certificate::from_pem(b"garbage"))?;
    let builder =
        reqwest::Client::builder().tls_certs_only([garbage]).resolve(BANK, bank.address).no_proxy();
    let fooled = t.works("to build a client with it", builder.build())?;
    t.refused_in_short("GET /balance", balance(fooled).await, "UnknownIssuer")?;
    t.note(
        "The mistake was made at the start. It shows at the first request, and looks like the \
         server's.",
    );
    // ANCHOR_END: garbage

    // ANCHOR: loader
    t.step("Give the take-home loader the same file, and six others.");
    let root = stage.ca.root_pem();
    let cut = &root[..root.len() / 2];
    let leaf = stage.ca.leaf(BANK).issue()?;
    let (key, chain) = (leaf.key_pem(), leaf.chain_pem());
    t.refused_in_short("garbage", Roots::from_pem(b"garbage"), "found none")?;
    t.refused_in_short("an empty file", Roots::from_pem(b""), "an empty file")?;
    let der = stage.ca.root_der();
    t.refused_in_short("DER", Roots::from_pem(&der), "openssl x509 -inform der")?;
    t.refused_in_short("half a file", Roots::from_pem(cut.as_bytes()), "cut off")?;
    t.refused_in_short(
        "a private key",
        Roots::from_pem(key.as_bytes()),
        "line 1 begins a private key",
    )?;
    t.refused_in_short(
        "a server's certificate",
        Roots::from_pem(chain.as_bytes()),
        "doesn't belong to a CA",
    )?;
    t.refused("no such file", Roots::from_pem_file("no-such-ca.pem"), "cannot use the CA file")?;
    // ANCHOR_END: loader

    t.step("Give the take-home loader our CA's file, and use what it returns.");
    let trust = Trust::Only(Roots::from_pem(root.as_bytes())?);
    let answer = secure_client(&trust)?.resolve(BANK, bank.address).build()?;
    let answer = t.works("GET /balance", balance(answer).await)?;
    t.shows("status", answer.error_for_status()?.status());
    Ok(())
}
