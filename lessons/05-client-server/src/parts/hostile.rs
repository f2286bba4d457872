//! Clients that keep to nothing, while an honest one goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mailbox::attempts::AttemptLimits;
use mailbox::client::Client;
use mailbox::frames::Patience;
use mailbox::lab::raw;
use mailbox::lab::stage::{Setting, Stage};
use mailbox::protocol::{Name, Refusal, Request, Secret};
use mailbox::server::ServerLimits;
use shared::Transcript;
use tls_sockets::server::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Every limit of this server, short enough for a lesson.
const SHORT: Duration = Duration::from_millis(200);
const PER_ADDRESS: usize = 20;

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let limits = ServerLimits {
        connections: Limits {
            connections: 100,
            per_address: PER_ADDRESS,
            handshake: SHORT,
            shutdown: SHORT,
        },
        first: SHORT,
        frames: Patience { idle: SHORT * 10, frame: SHORT, write: SHORT },
        ..ServerLimits::default()
    };
    let attempts = AttemptLimits { account: 3, ..AttemptLimits::default() };
    let setting = Setting { limits, attempts, hashes: (1, 2), ..Setting::default() };
    let stage = Stage::new(setting).await?;
    let address = stage.address();
    let roots = || stage.ca.roots();
    let honest = Honest::start(&stage)?;

    t.step("A client that connects and says nothing: no handshake.");
    let mut silent = TcpStream::connect(address).await?;
    t.must_show("server", &closed(&mut silent).await?, "closed")?;

    t.step("One that shakes hands and says nothing: no first frame.");
    let mut quiet = raw::connection(address, roots()).await?;
    t.must_show("server", &closed(&mut quiet).await?, "closed")?;

    t.step("One that sends a byte of a frame, and another one, and another one.");
    let mut slow = raw::connection(address, roots()).await?;
    let started = Instant::now();
    let mut sent = 0;
    // A frame of 1,000 bytes is to come.
    slow.write_all(&1000_u32.to_be_bytes()).await?;
    let mut dribble = tokio::time::interval(SHORT / 6);
    while slow.write_all(b" ").await.is_ok() && slow.flush().await.is_ok() {
        sent += 1;
        dribble.tick().await;
        ensure!(started.elapsed() < SHORT * 20, "a frame has an end in sight");
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_millis(1), slow.read(&mut byte));
        if let Ok(Ok(0) | Err(_)) = read.await {
            break;
        }
    }
    let within = started.elapsed() < SHORT * 3 && sent > 1;
    t.must_show("server", if within { "closed, mid-frame" } else { "waited" }, "closed")?;

    // ANCHOR: giant
    t.step("One that announces a frame of 4 GiB.");
    let mut giant = raw::connection(address, roots()).await?;
    let answer = raw::say(&mut giant, &u32::MAX.to_be_bytes()).await?;
    t.must_show("server", &text(&answer), "bad_request")?;
    // ANCHOR_END: giant

    t.step(
        "One that sends a frame of nonsense, and one with a request of another protocol.",
    );
    for frame in [&b"GET / HTTP/1.1"[..], b"{\"do\":\"open\",\"sesame\":true}"] {
        let mut stream = raw::connection(address, roots()).await?;
        let length = (frame.len() as u32).to_be_bytes();
        let answer = raw::say(&mut stream, &[&length, frame].concat()).await?;
        t.must_show("server", &text(&answer), "bad_request")?;
    }

    t.step("One that vanishes in the middle of a frame.");
    let dropped = || stage.server.service().counters().dropped.load(Ordering::Relaxed);
    let before = dropped();
    let mut half = raw::connection(address, roots()).await?;
    half.write_all(&[0, 0, 1, 0, b'{']).await?;
    half.flush().await?;
    drop(half);
    while dropped() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    t.shows("server", "counts a connection that ended early");

    t.step("A flood: 200 connections from one address, of which 20 may be open.");
    let mut flood = Vec::new();
    let mut refused = 0;
    for _ in 0..200 {
        let mut stream = TcpStream::connect(address).await?;
        // Closed at once, or it waits for a handshake.
        let mut byte = [0];
        let read = stream.read(&mut byte);
        match tokio::time::timeout(Duration::from_millis(2), read).await {
            Ok(_closed) => refused += 1,
            Err(_open) => flood.push(stream),
        }
    }
    let refused = if refused >= 100 { "at least 100, at once" } else { "too few" };
    t.must_show("refused", refused, "at least 100")?;
    drop(flood);

    // ANCHOR: guess
    t.step(
        "One that guesses Alice's password. Three wrong ones are allowed in 15 minutes.",
    );
    stage.person("alice").await?;
    let mut guesser = Client::new(stage.settings()?);
    for number in 1..=4 {
        let name = Name::new("alice")?;
        let password = Secret::new(format!("a guess, number {number}"));
        let answer = guesser.call(&Request::LogIn { name, password }).await;
        let reason = if number < 4 { "log in again" } else { "too many failed logins" };
        t.refused_in_short(&format!("guess {number}"), answer, reason)?;
    }
    let name = Name::new("nobody")?;
    let answer = guesser.call(&Request::LogIn { name, password: Secret::new("x") }).await;
    t.refused_in_short("an account that there is not", answer, "log in again")?;
    // ANCHOR_END: guess

    t.step("A flood of logins: 12 at once, of which one is computed and two may wait.");
    let mut logins = JoinSet::new();
    for number in 0..12 {
        let mut client = Client::new(stage.settings()?);
        let name = Name::new(&format!("nobody-{number}"))?;
        let request = Request::LogIn { name, password: Secret::new("a guess") };
        logins.spawn(async move { client.call(&request).await });
    }
    let busy = logins.join_all().await.into_iter().filter(|answer| {
        let busy = mailbox::client::ClientError::Refused {
            because: Refusal::Busy,
            request: String::new(),
        };
        answer.as_ref().is_err_and(|error| same_refusal(error, &busy))
    });
    let busy = busy.count();
    let refused =
        if (1..12).contains(&busy) { "some, with busy" } else { "none, or all" };
    t.must_show("refused", refused, "busy")?;

    t.step("Meanwhile an honest client asked, again and again.");
    let (asked, slowest) = honest.stop().await?;
    ensure!(asked > 20, "it asked {asked} times");
    t.shows("answered", "every time, on one connection");
    let slowest =
        if slowest < Duration::from_secs(1) { "less than a second" } else { "more" };
    t.must_show("slowest", slowest, "less")
}

/// Asks all the time, on one connection.
struct Honest {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<anyhow::Result<Duration>>,
}

impl Honest {
    fn start(stage: &Stage) -> anyhow::Result<Self> {
        let mut client = Client::new(stage.settings()?);
        let (stop, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stopped, counted) = (stop.clone(), asked.clone());
        let task = tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            while !stopped.load(Ordering::SeqCst) {
                let started = Instant::now();
                client.call(&Request::Ping {}).await.context("the honest client")?;
                slowest = slowest.max(started.elapsed());
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(slowest)
        });
        Ok(Self { stop, asked, task })
    }

    async fn stop(self) -> anyhow::Result<(usize, Duration)> {
        self.stop.store(true, Ordering::SeqCst);
        let slowest = self.task.await??;
        Ok((self.asked.load(Ordering::SeqCst), slowest))
    }
}

/// Reads until the server closes.
async fn closed(stream: &mut (impl AsyncReadExt + Unpin)) -> anyhow::Result<String> {
    let mut rest = Vec::new();
    let reading = stream.read_to_end(&mut rest);
    let read = tokio::time::timeout(SHORT * 10, reading).await;
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

fn same_refusal(
    one: &mailbox::client::ClientError,
    other: &mailbox::client::ClientError,
) -> bool {
    use mailbox::client::ClientError::Refused;
    matches!((one, other), (Refused { because: one, .. }, Refused { because: other, .. }) if one == other)
}
