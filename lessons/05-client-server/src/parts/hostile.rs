//! Clients that follow no rules, while an honest one goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use careful_mailbox::attempts::AttemptLimits;
use careful_mailbox::client::{Client, ClientError};
use careful_mailbox::frames::FrameDeadlines;
use careful_mailbox::passwords::PasswordLimits;
use careful_mailbox::protocol::{Name, Refusal, Request, Secret};
use careful_mailbox::server::ServerDeadlines;
use careful_tls::server::{Deadlines, Limits};
use mailbox::lab::stage::{Stage, StageOptions};
use mailbox::lab::stranger;
use shared::Transcript;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The deadlines that clients of this lesson let pass, short enough for a lesson.
const SHORT: Duration = Duration::from_millis(200);
/// The deadlines that every client has to keep, long enough for a machine that is busy.
const FAIR: Duration = Duration::from_secs(1);
/// The deadlines that nobody here lets pass.
const LONG: Duration = Duration::from_secs(20);
const PER_ADDRESS: usize = 20;
/// A frame that takes 25 deadlines, and less than [`LONG`], to come as a whole.
const SLOW_FRAME: u32 = 150;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let connections = Limits { connections: 100, per_address: PER_ADDRESS, reserved: 0 };
    let deadlines = ServerDeadlines {
        connection: Deadlines { handshake: FAIR, shutdown: FAIR },
        first: FAIR,
        frames: FrameDeadlines { idle: LONG, frame: SHORT, write: FAIR },
        ..ServerDeadlines::default()
    };
    let attempts = AttemptLimits { account: 3, ..AttemptLimits::default() };
    let passwords = PasswordLimits { at_once: 1, waiting: 2, of_one_network: 3 };
    let options =
        StageOptions { connections, deadlines, attempts, passwords, ..StageOptions::default() };
    let stage = Stage::new(options).await?;
    let address = stage.address();
    let roots = || stage.ca.roots();
    let mut honest = Honest::start(&stage)?;

    // Both wait for their deadlines at the same time.
    let mut silent = TcpStream::connect(address).await?;
    let mut quiet = stranger::connect(address, roots()).await?;
    t.step("A client that connects and never starts the handshake.");
    honest.is_answered().await?;
    t.must_show("server", &closed(&mut silent).await?, "closed")?;

    t.step("A client that finishes the handshake and never sends a frame.");
    t.must_show("server", &closed(&mut quiet).await?, "closed")?;

    t.step("A client that sends a frame one byte at a time.");
    let mut slow = stranger::connect(address, roots()).await?;
    slow.write_all(&SLOW_FRAME.to_be_bytes()).await?;
    let (mut answer, mut bytes) = tokio::io::split(slow);
    // A byte every 33 ms, so no single read waits for long: what ends it counts the whole frame.
    let dribble = async {
        for _ in 1..SLOW_FRAME {
            if bytes.write_all(b" ").await.is_err() || bytes.flush().await.is_err() {
                break;
            }
            tokio::time::sleep(SHORT / 6).await;
        }
        "waits for the whole frame"
    };
    let mut rest = Vec::new();
    let server = tokio::select! {
        _closed = answer.read_to_end(&mut rest) => "closed, mid-frame",
        whole = dribble => whole,
    };
    t.must_show("server", server, "closed")?;

    // ANCHOR: giant
    t.step("A client that announces a frame of 4 GiB.");
    let mut giant = stranger::connect(address, roots()).await?;
    let answer = stranger::send_and_read(&mut giant, &u32::MAX.to_be_bytes()).await?;
    t.must_show("server", &text(&answer), "bad_request")?;
    // ANCHOR_END: giant

    t.step("Two clients that send frames of nonsense, one of them a request of another protocol.");
    for frame in [&b"GET / HTTP/1.1"[..], b"{\"do\":\"open\",\"sesame\":true}"] {
        let mut stream = stranger::connect(address, roots()).await?;
        let length = (frame.len() as u32).to_be_bytes();
        let answer = stranger::send_and_read(&mut stream, &[&length, frame].concat()).await?;
        t.must_show("server", &text(&answer), "bad_request")?;
    }

    t.step("A client that vanishes in the middle of a frame.");
    let dropped = || stage.server.service().counters().dropped.load(Ordering::Relaxed);
    let before = dropped();
    let mut half = stranger::connect(address, roots()).await?;
    half.write_all(&[0, 0, 1, 0, b'{']).await?;
    half.flush().await?;
    drop(half);
    while dropped() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    t.shows("server", "counts a connection that ended early");

    t.step("A flood of 200 connections from one address, of which 20 may be open.");
    let mut flood = Vec::new();
    let mut refused = 0;
    for _ in 0..200 {
        let mut client = Client::new(stage.endpoint()?);
        // Anybody who gets in stays; anybody who does not is closed before the handshake.
        match client.call(&Request::Ping {}).await {
            Ok(_pong) => flood.push(client),
            Err(ClientError::Connect(_) | ClientError::Lost(_) | ClientError::Closed) => {
                refused += 1
            }
            Err(other) => return Err(other.into()),
        }
    }
    honest.is_answered().await?;
    let least = 200 - PER_ADDRESS;
    let refused = if refused >= least { "at least 180" } else { "too few" };
    t.must_show("refused", refused, "at least 180")?;
    drop(flood);
    // Their places are given back when the server has noticed.
    while Client::new(stage.endpoint()?).call(&Request::Ping {}).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    // ANCHOR: guess
    t.step(
        "A client that guesses Alice's password. Three wrong guesses are allowed in 15 minutes.",
    );
    stage.person("alice").await?;
    let mut guesser = Client::new(stage.endpoint()?);
    for number in 1..=4 {
        let name = Name::new("alice")?;
        let password = Secret::new(format!("a guess, number {number}"));
        let answer = guesser.call(&Request::LogIn { name, password }).await;
        let reason = if number < 4 { "not authenticated" } else { "too many logins" };
        t.refused_in_short(&format!("guess {number}"), answer, reason)?;
    }
    let name = Name::new("nobody")?;
    let answer = guesser.call(&Request::LogIn { name, password: Secret::new("x") }).await;
    t.refused_in_short("a login for an account that doesn't exist", answer, "not authenticated")?;
    // ANCHOR_END: guess

    t.step("A flood of 12 logins at once. The server computes one at a time, and two may wait.");
    let mut clients = Vec::new();
    for _ in 0..12 {
        // Connected before, so that they ask at once.
        let mut client = Client::new(stage.endpoint()?);
        client.call(&Request::Ping {}).await?;
        clients.push(client);
    }
    let mut logins = JoinSet::new();
    for (number, mut client) in clients.into_iter().enumerate() {
        let name = Name::new(&format!("nobody-{number}"))?;
        let request = Request::LogIn { name, password: Secret::new("a guess") };
        logins.spawn(async move { client.call(&request).await });
    }
    let is_busy = |answer: &Result<_, ClientError>| {
        matches!(answer, Err(ClientError::Refused { because: Refusal::Busy, .. }))
    };
    let busy = logins.join_all().await.iter().filter(|answer| is_busy(answer)).count();
    let refused = if (1..12).contains(&busy) { "some, with busy" } else { "none, or all" };
    t.must_show("refused", refused, "busy")?;

    t.step("Meanwhile, an honest client kept asking.");
    honest.is_answered().await?;
    honest.stop().await?;
    t.shows("answered", "every time, on one connection");
    Ok(())
}

/// Asks all the time, on one connection.
struct Honest {
    stop: Arc<AtomicBool>,
    answers: tokio::sync::watch::Receiver<usize>,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Honest {
    fn start(stage: &Stage) -> anyhow::Result<Self> {
        let mut client = Client::new(stage.endpoint()?);
        let stop = Arc::<AtomicBool>::default();
        let (count, answers) = tokio::sync::watch::channel(0);
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::SeqCst) {
                client.call(&Request::Ping {}).await.context("the honest client")?;
                count.send_modify(|count| *count += 1);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        });
        Ok(Self { stop, answers, task })
    }

    /// Waits for two answers: the second one was asked for after this began.
    async fn is_answered(&mut self) -> anyhow::Result<()> {
        let now = *self.answers.borrow_and_update();
        let answered = self.answers.wait_for(|count| *count >= now + 2).await;
        answered.map(drop).context("the honest client was not answered any more")
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await?
    }
}

/// Reads until the server closes.
async fn closed(stream: &mut (impl AsyncReadExt + Unpin)) -> anyhow::Result<String> {
    let mut rest = Vec::new();
    let reading = stream.read_to_end(&mut rest);
    let read = tokio::time::timeout(LONG, reading).await;
    Ok(match read {
        Ok(_) => "closed the connection".to_owned(),
        Err(_elapsed) => "waits".to_owned(),
    })
}

/// The JSON of an answer's frame, without the id that changes.
fn text(answer: &[u8]) -> String {
    let json = answer.get(4..).unwrap_or_default();
    let json = String::from_utf8_lossy(json);
    json.split(",\"request\"").next().unwrap_or_default().to_owned() + ", …}"
}
