//! `lesson-1 --serve`: the bank behind HTTPS, up until Ctrl-C, to be looked at with other tools.

use anyhow::Context;
use https::lab::bank::{Bank, TOKEN};
use https::lab::server::{HttpsServer, TLS_1_2_AND_1_3, server_tls};
use https::lab::stage::BANK;
use shared::LabCa;
use shared::lesson::{ServeOptions, python, serve_until_stopped};

pub async fn run(options: ServeOptions) -> anyhow::Result<()> {
    let ca = LabCa::new("Course Lab")?;
    let files = tempfile::tempdir().context("no folder for the CA's certificate")?;
    let root = files.path().join("ca.pem");
    std::fs::write(&root, ca.root_pem())?;
    let identity = ca.leaf(BANK).also_for("localhost").also_for("127.0.0.1").issue()?;
    let tls = server_tls(identity.chain(), identity.key(), TLS_1_2_AND_1_3)?;
    let server = HttpsServer::start_on(options.port, tls, Bank::new().handler()).await;
    let server = server.with_context(|| format!("cannot listen on port {}", options.port))?;
    let (address, root) = (server.address(), root.display());
    let port = address.port();
    let get = python(env!("CARGO_MANIFEST_DIR"), "https_get.py");
    let lines = [
        format!(
            "curl --cacert \"{root}\" --resolve {BANK}:{port}:127.0.0.1 -H \"Authorization: Bearer {TOKEN}\" \
             https://{BANK}:{port}/balance"
        ),
        format!(
            "openssl s_client -connect {address} -servername {BANK} -verify_hostname {BANK} \
             -verify_return_error -CAfile \"{root}\""
        ),
        format!(
            "{get} https://127.0.0.1:{port}/balance --resolve {BANK} --ca \"{root}\" --token {TOKEN}"
        ),
    ];
    let about = format!("The bank, {BANK}, over HTTPS at {address}");
    serve_until_stopped(&about, &lines).await.context("cannot wait for Ctrl-C")
}
