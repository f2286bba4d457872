//! The server stops, and finishes first.

use std::time::Duration;

use anyhow::{Context, ensure};
use careful_mailbox::frames::{FrameDeadlines, Frames};
use careful_mailbox::protocol::{Name, Request, Response, Secret};
use mailbox::lab::stage::{Stage, StageOptions};
use mailbox::lab::stranger;
use shared::Transcript;
use tokio::net::TcpStream;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let stage = Stage::new(StageOptions::default()).await?;
    let (address, roots) = (stage.address(), stage.ca.roots());
    let mut alice = stage.person("alice").await?;
    alice.read().await?;
    let seconds = Duration::from_secs(10);
    let deadlines = FrameDeadlines { idle: seconds, frame: seconds, write: seconds };

    // ANCHOR: shutdown
    t.step("One client has asked to log in, which takes a while. Another client is idle.");
    let mut busy = Frames::new(stranger::connect(address, roots.clone()).await?, deadlines);
    let mut idle = Frames::new(stranger::connect(address, roots).await?, deadlines);
    idle.send(&Request::Ping {}).await?;
    let pong: Option<Response> = idle.receive().await?;
    ensure!(pong == Some(Response::Pong {}), "the idle one is connected");
    let requests = stage.server.service().counters();
    let before = requests.requests.load(std::sync::atomic::Ordering::SeqCst);
    let password = Secret::new("the password of alice");
    busy.send(&Request::LogIn { name: Name::new("alice")?, password }).await?;
    while requests.requests.load(std::sync::atomic::Ordering::SeqCst) == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let open = requests.connections.load(std::sync::atomic::Ordering::SeqCst);
    t.must_show("connections", &format!("{open}, with Alice's own client"), "3")?;

    t.step("The server is told to stop.");
    let Stage { server, folder, .. } = stage;
    let stopping = tokio::spawn(server.shut_down());
    let answer: Option<Response> = busy.receive().await?;
    let answered = matches!(answer, Some(Response::Tokens { .. }));
    t.must_show("busy one", if answered { "gets its tokens" } else { "none" }, "tokens")?;
    for (who, frames) in [("busy one", &mut busy), ("idle one", &mut idle)] {
        let end = frames.receive::<Response>().await;
        // An end without close_notify would be an error.
        let goodbye = if matches!(end, Ok(None)) { "a goodbye" } else { "a cut" };
        t.must_show(who, goodbye, "goodbye")?;
    }
    drop((busy, idle, alice));
    let drained = stopping.await?.context("the accept loop")?;
    t.must_show("cut", &drained.cut.to_string(), "0")?;
    t.refused("a new client", TcpStream::connect(address).await, "refused")?;
    // ANCHOR_END: shutdown
    drop(folder);
    Ok(())
}
