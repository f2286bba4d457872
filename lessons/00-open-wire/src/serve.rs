//! `lesson-0 --serve`: the bank on an open wire, up until Ctrl-C, to be looked at with other tools.

use anyhow::Context;
use open_wire::lab::bank::Bank;
use shared::lesson::{ServeOptions, python, serve_until_stopped};

use crate::parts::{PASSWORD, accounts};

pub async fn run(options: ServeOptions) -> anyhow::Result<()> {
    let bank = Bank::open_on(options.port, accounts(), None).await;
    let bank = bank.with_context(|| format!("cannot listen on port {}", options.port))?;
    let port = bank.address().port();
    let client = python(env!("CARGO_MANIFEST_DIR"), "plain_client.py");
    let lines = [format!("{client} {port} alice {PASSWORD} 25 bob")];
    let about = format!("The bank, without TLS, at {}", bank.address());
    serve_until_stopped(&about, &lines).await.context("cannot wait for Ctrl-C")
}
