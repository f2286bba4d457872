//! Servers that stall at each phase of a request, a server that never stops, and the
//! limit for each.

use std::time::{Duration, Instant};

use anyhow::ensure;
use careful_https::body::{BodyError, read_body};
use careful_https::client::{CONNECT_TIMEOUT, READ_TIMEOUT, TOTAL_TIMEOUT};
use https::lab::stage::{Stage, bank_at};
use https::lab::stall::{Stall, StallingServer};
use reqwest::ClientBuilder;
use shared::Transcript;

/// Short, so that the lesson is. The take-home client has 5, 10 and 30 seconds.
const CONNECT: Duration = Duration::from_millis(100);
const READ: Duration = Duration::from_millis(250);
const TOTAL: Duration = Duration::from_millis(500);
const TIMED_OUT: &str = "operation timed out";
const MAX_ANSWER: usize = 64 * 1024;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let stage = Stage::new().await?;
    let started = Instant::now();
    // ANCHOR: limits
    // All four at once: the lesson waits for the longest, not for the sum.
    let (handshake, header, body, drip) = tokio::join!(
        get(&stage, Stall::Handshake, |client| client.connect_timeout(CONNECT)),
        get(&stage, Stall::Header, |client| client.read_timeout(READ)),
        get(&stage, Stall::Body, |client| client.read_timeout(READ)),
        get(&stage, Stall::Drip, |client| client.read_timeout(READ).timeout(TOTAL)),
    );
    // ANCHOR_END: limits
    ensure!(started.elapsed() >= TOTAL, "read_timeout ended the drip, which it should not");

    t.step("A server accepts the TCP connection and never answers the handshake.");
    t.refused("after connect_timeout, 100 ms", handshake, TIMED_OUT)?;

    t.step("A server reads the request and says nothing.");
    t.refused_in_short("after read_timeout, 250 ms", header, TIMED_OUT)?;

    t.step("A server stops in the middle of the body.");
    t.refused_in_short("after read_timeout, 250 ms", body, TIMED_OUT)?;

    t.step("A server sends a byte every 10 ms, so it's never silent and never done.");
    t.refused_in_short("after timeout, 500 ms; read_timeout is 250 ms", drip, TIMED_OUT)?;

    // ANCHOR: flood
    t.step("A server never stops sending. The client has a limit on the body.");
    let answer = get(&stage, Stall::Flood, |client| client).await;
    t.refused("after 65536 bytes", answer, "expected a body of at most 65536 bytes")?;
    // ANCHOR_END: flood

    t.step("A server closes the TCP connection in the middle of the body.");
    let answer = get(&stage, Stall::Cut, |client| client).await;
    t.refused_in_short("10 bytes came", answer, "without sending TLS close_notify")?;

    t.step("The limits that the take-home client sets.");
    let seconds = |limit: Duration| format!("{} seconds", limit.as_secs());
    t.shows("connect", seconds(CONNECT_TIMEOUT));
    t.shows("read", seconds(READ_TIMEOUT));
    t.shows("total", seconds(TOTAL_TIMEOUT));
    ensure!(
        CONNECT_TIMEOUT < TOTAL_TIMEOUT && READ_TIMEOUT < TOTAL_TIMEOUT,
        "the total is the longest"
    );
    Ok(())
}

// ANCHOR: get
/// Asks a stalling server with the take-home client, one of whose limits is changed.
async fn get(
    stage: &Stage,
    stall: Stall,
    limit: impl Fn(ClientBuilder) -> ClientBuilder,
) -> anyhow::Result<Vec<u8>> {
    let server = stage.stalling(stall).await?;
    let bank = bank_at(server.address());
    let client = limit(stage.client(&bank)?).build()?;
    let body = async { Ok(read_body(client.get(bank.url("/")).send().await?, MAX_ANSWER).await?) };
    let answer = body.await;
    if let Err(error) = &answer {
        ensure!(is_what_the_stall_causes(stall, &server, error), "{stall:?}: {error:#}");
    }
    answer
}
// ANCHOR_END: get

/// Whether the server came as far as it was to come, and the error is the one for that: an
/// error for another reason would look the same in the transcript.
fn is_what_the_stall_causes(stall: Stall, server: &StallingServer, error: &anyhow::Error) -> bool {
    let sending = error.downcast_ref::<reqwest::Error>();
    let timed_out = |read: Option<&reqwest::Error>| read.is_some_and(reqwest::Error::is_timeout);
    let reading = match error.downcast_ref() {
        Some(BodyError::Read(source)) => Some(source),
        _ => None,
    };
    match stall {
        Stall::Handshake => {
            server.requests() == 0
                && timed_out(sending)
                && sending.is_some_and(reqwest::Error::is_connect)
        }
        Stall::Header => server.requests() == 1 && timed_out(sending),
        Stall::Body => server.body() == 10 && timed_out(reading),
        Stall::Drip => server.body() > 10 && timed_out(reading),
        Stall::Flood => {
            server.body() > MAX_ANSWER
                && matches!(error.downcast_ref(), Some(BodyError::TooLarge { .. }))
        }
        Stall::Cut => server.body() == 10 && reading.is_some() && !timed_out(reading),
    }
}
