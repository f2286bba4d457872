//! Servers that stall at each phase of a request, a server that never stops, and the
//! limit for each.

use std::time::Duration;

use anyhow::ensure;
use https::body::{BodyError, read_body};
use https::client::{CONNECT_TIMEOUT, READ_TIMEOUT, TOTAL_TIMEOUT};
use https::lab::stage::{Stage, bank_at};
use https::lab::stall::Stall;
use reqwest::ClientBuilder;
use shared::Transcript;

/// Short, so that the lesson is. The take-home client has 5, 10 and 30 seconds.
const SHORT: Duration = Duration::from_millis(100);
const MAX_ANSWER: usize = 64 * 1024;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let stage = Stage::new().await?;

    // ANCHOR: connect
    t.step(
        "It accepts TCP and never answers the handshake. connect_timeout covers both.",
    );
    let answer =
        get(&stage, Stall::Handshake, |client| client.connect_timeout(SHORT)).await;
    t.refused("after connect_timeout, 100 ms", answer, "operation timed out")?;
    // ANCHOR_END: connect

    // ANCHOR: read
    t.step("It reads the request and says nothing. read_timeout bounds each silence.");
    let answer = get(&stage, Stall::Header, |client| client.read_timeout(SHORT)).await;
    t.refused_in_short("after read_timeout, 100 ms", answer, "operation timed out")?;

    t.step("It stops in the middle of the body.");
    let answer = get(&stage, Stall::Body, |client| client.read_timeout(SHORT)).await;
    t.refused_in_short("after read_timeout, 100 ms", answer, "operation timed out")?;
    // ANCHOR_END: read

    // ANCHOR: total
    t.step("It sends a byte every 20 ms: never silent, never done. A total timeout ends that.");
    let patient = |client: ClientBuilder| {
        client.read_timeout(Duration::from_secs(10)).timeout(2 * SHORT)
    };
    let answer = get(&stage, Stall::Drip, patient).await;
    t.refused_in_short("after timeout, 200 ms", answer, "operation timed out")?;
    // ANCHOR_END: total

    // ANCHOR: flood
    t.step("It never stops sending. What saves the memory is a limit on the body.");
    let answer = get(&stage, Stall::Flood, |client| client).await;
    t.refused("after 65536 bytes", answer, "expected a body of at most 65536 bytes")?;
    // ANCHOR_END: flood

    t.step("It closes TCP in the middle of the body. That is a failure, not an end.");
    let answer = get(&stage, Stall::Cut, |client| client).await;
    t.refused_in_short(
        "10 of 1000 bytes came",
        answer,
        "without sending TLS close_notify",
    )?;

    t.step("What the take-home client sets.");
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
    let body = async {
        Ok(read_body(client.get(bank.url("/")).send().await?, MAX_ANSWER).await?)
    };
    let answer = body.await;
    if let Err(error) = &answer {
        ensure!(is_what_the_stall_causes(stall, error), "{stall:?}: {error:#}");
    }
    answer
}
// ANCHOR_END: get

fn is_what_the_stall_causes(stall: Stall, error: &anyhow::Error) -> bool {
    let body = error.downcast_ref::<BodyError>();
    let source = match body {
        Some(BodyError::Read(source)) => Some(source),
        _ => error.downcast_ref::<reqwest::Error>(),
    };
    match stall {
        Stall::Handshake => {
            source.is_some_and(|error| error.is_connect() && error.is_timeout())
        }
        Stall::Flood => matches!(body, Some(BodyError::TooLarge { .. })),
        Stall::Cut => source.is_some_and(|error| !error.is_timeout()),
        Stall::Header | Stall::Body | Stall::Drip => {
            source.is_some_and(reqwest::Error::is_timeout)
        }
    }
}
