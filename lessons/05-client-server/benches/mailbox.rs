//! `just bench 5`: the mailbox server next to a bare tokio-rustls echo with the same TLS set-up, and
//! the usual threaded Python server; its disk, full mailboxes and a start after a crash; its memory. Loopback
//! only; about three minutes.
//!
//! Ways to do the same take turns within one run. Clients and servers share the machine, so the
//! figures are those of both together.
//!
//! `cargo bench --bench lesson-5-bench -- connections` runs one of the four (`connections`,
//! `disk`, `mailboxes`, `memory`). `… -- soak 10` runs a mixed load, honest and hostile, for so many
//! minutes instead, and checks that nothing is lost and nothing left.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use careful_mailbox::account::{Found, Order};
use careful_mailbox::attempts::AttemptLimits;
use careful_mailbox::client::Endpoint;
use careful_mailbox::passwords::PasswordLimits;
use careful_mailbox::protocol::{
    ALPN, Bytes, MAX_SEALED, MessageId, Name, Request, Response, Secret,
};
use careful_mailbox::server::ServerDeadlines;
use careful_mailbox::store::{Account, Generation, NewMessage, Store, StoreLimits, check};
use careful_tls::config::{client_config, server_config};
use careful_tls::server::Limits;
use careful_tokens::clock::Clock;
use mailbox::lab::child::ServerProcess;
use mailbox::lab::stage::{Person, Stage, StageOptions, identity};
use mailbox::programs::LAB_NAME;
use peers::Peer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use snapshots::measure::median;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(400);
const CLIENTS: usize = 8;
const PING: &[u8] = b"\0\0\0\x0d{\"do\":\"ping\"}";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    rlimit::increase_nofile_limit(30_000)?;
    let runtime = tokio::runtime::Runtime::new()?;
    if let Some(at) = arguments.iter().position(|argument| argument == "soak") {
        let minutes = arguments.get(at + 1).and_then(|text| text.parse().ok());
        return runtime.block_on(soak(Duration::from_secs(60 * minutes.unwrap_or(10))));
    }
    // Any of the four by its name, or all of them.
    let named = |name: &str| arguments.iter().any(|argument| argument == name);
    let all = !["connections", "disk", "mailboxes", "memory"].into_iter().any(named);
    runtime.block_on(async {
        if all || named("connections") {
            connections().await?;
        }
        if all || named("disk") {
            disk().await?;
        }
        if all || named("mailboxes") {
            mailboxes().await?;
        }
        if all || named("memory") {
            memory().await?;
        }
        Ok(())
    })
}

const LONG: Duration = Duration::from_secs(24 * 60 * 60);

fn wide() -> StageOptions {
    StageOptions {
        connections: Limits { connections: 20_000, per_address: 20_000, reserved: 0 },
        attempts: AttemptLimits {
            address: 1_000_000,
            account: 1_000_000,
            logins_of_account: 1_000_000,
            logins_from_address: 1_000_000,
            ..AttemptLimits::default()
        },
        store: StoreLimits {
            messages: 1_000_000,
            bytes: 1 << 40,
            sent: 10_000_000,
            ..StoreLimits::default()
        },
        passwords: PasswordLimits { at_once: 2, waiting: 1000, of_one_network: 1002 },
        // Its clients don't log in, and stay.
        deadlines: ServerDeadlines { login: LONG, age: LONG, ..ServerDeadlines::default() },
        clock: Clock::system(),
        ..StageOptions::default()
    }
}

// Connections and requests.

/// Answers each frame with itself. No limit, no deadline.
async fn bare(listener: TcpListener, config: Arc<rustls::ServerConfig>) -> anyhow::Result<()> {
    let acceptor = TlsAcceptor::from(config);
    loop {
        let (tcp, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            tcp.set_nodelay(true)?;
            let mut stream = acceptor.accept(tcp).await?;
            let mut frame = vec![0; PING.len()];
            while stream.read_exact(&mut frame).await.is_ok() {
                stream.write_all(&frame).await?;
                stream.flush().await?;
            }
            stream.shutdown().await
        });
    }
}

async fn connect(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
) -> anyhow::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(LAB_NAME)?;
    Ok(TlsConnector::from(config.clone()).connect(name, tcp).await?)
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> anyhow::Result<()> {
    stream.write_all(PING).await?;
    stream.flush().await?;
    let length = stream.read_u32().await? as usize;
    ensure!(length < 100, "an answer of {length} bytes");
    stream.read_exact(&mut vec![0; length]).await?;
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Work {
    Full,
    Resumed,
    Requests,
}

/// What the clients get done in one round, per second, and how long each took.
async fn round(
    work: Work,
    configs: &[Arc<ClientConfig>],
    address: SocketAddr,
) -> anyhow::Result<(f64, Vec<Duration>)> {
    let mut ready = Vec::new();
    for config in configs {
        let mut stream = connect(config, address).await?;
        ask(&mut stream).await?;
        ready.push((config.clone(), stream));
    }
    let mut clients = JoinSet::new();
    let started = Instant::now();
    for (config, mut stream) in ready {
        clients.spawn(async move {
            let mut times = Vec::new();
            while started.elapsed() < ROUND {
                let one = Instant::now();
                if work != Work::Requests {
                    stream = connect(&config, address).await?;
                }
                ask(&mut stream).await?;
                times.push(one.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = clients.join_next().await {
        times.append(&mut done??);
    }
    Ok((times.len() as f64 / started.elapsed().as_secs_f64(), times))
}

async fn connections() -> anyhow::Result<()> {
    let stage = Stage::new(wide()).await?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let bare_address = listener.local_addr()?;
    let config = server_config(identity(&stage.ca)?, ALPN)?;
    let bare = tokio::spawn(bare(listener, config));
    let files = tempfile::tempdir()?;
    stage.ca.leaf(LAB_NAME).issue()?.write_to(files.path())?;
    let python = Peer::python("ssl").map(|python| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/threaded_server.py");
        let file = |name| files.path().join(name).display().to_string();
        python.serve([script.to_owned(), file("chain.pem"), file("key.pem")])
    });
    let mut servers = vec![bare_address, stage.address()];
    if let Some(python) = &python {
        servers.push(SocketAddr::from(([127, 0, 0, 1], python.port)));
    }

    println!("per second, median of {ROUNDS} rounds, {CLIENTS} clients, loopback");
    println!("                      bare   mailbox  of bare   Python  of Python");
    let mut latencies = Vec::new();
    for (work, name) in [
        (Work::Full, "full handshakes"),
        (Work::Resumed, "resumed handshakes"),
        (Work::Requests, "requests (ping)"),
    ] {
        let mut figures = vec![Vec::new(); servers.len()];
        let mut configs = Vec::new();
        for _server in &servers {
            let mut of_server = Vec::new();
            for _ in 0..CLIENTS {
                let mut config = (*client_config(stage.ca.roots(), ALPN)?).clone();
                // The usual server knows no ALPN; what is measured is not that.
                config.alpn_protocols = vec![ALPN.to_vec()];
                if work == Work::Full {
                    config.resumption = rustls::client::Resumption::disabled();
                }
                of_server.push(Arc::new(config));
            }
            configs.push(of_server);
        }
        for turn in 0..=ROUNDS {
            for step in 0..servers.len() {
                let server = (turn + step) % servers.len();
                let (figure, times) = round(work, &configs[server], servers[server]).await?;
                // The first turn warms up.
                if turn > 0 {
                    figures[server].push(figure);
                    if work == Work::Requests && server == 1 {
                        latencies.extend(times);
                    }
                }
            }
        }
        let medians: Vec<f64> = figures.iter_mut().map(|f| median(f)).collect();
        let (bare, ours) = (medians[0], medians[1]);
        let python = medians.get(2).map_or_else(
            || "        -".to_owned(),
            |&python| format!("{python:9.0}  {:.2}", ours / python),
        );
        println!("{name:18} {bare:9.0} {ours:9.0}  {:.2} {python}", ours / bare);
    }
    latencies.sort();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_micros();
    println!("a ping takes {} µs (p50), {} µs (p99)", at(0.5), at(0.99));
    bare.abort();
    stage.server.shut_down().await?;
    Ok(())
}

// The disk.

/// How often a second a file can be brought on to the disk, a page at a time.
fn fsyncs(folder: &Path) -> anyhow::Result<f64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let (started, mut done) = (Instant::now(), 0_u32);
    while started.elapsed() < Duration::from_secs(1) {
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        done += 1;
    }
    Ok(f64::from(done) / started.elapsed().as_secs_f64())
}

/// Sends a second of so many clients at once, each message of 1 KiB.
async fn sends(stage: &Stage, clients: usize) -> anyhow::Result<f64> {
    let mut people = Vec::new();
    for number in 0..clients {
        let mut name = format!("s{clients}-{number}");
        name.truncate(32);
        let mut person = stage.person(&name).await?;
        person.read().await?;
        people.push(person);
    }
    let to = Name::new("bob")?;
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for mut person in people {
        let to = to.clone();
        tasks.spawn(async move {
            let mut done = 0_u32;
            let sealed = Bytes(vec![7; 1024]);
            while started.elapsed() < Duration::from_secs(3) {
                let id = MessageId::random().context("random bytes")?;
                let request = |token: Secret| Request::Send {
                    token,
                    to: to.clone(),
                    id,
                    sealed: sealed.clone(),
                };
                match person.client.call_with_token(request).await? {
                    Response::Stored { again: false } => done += 1,
                    other => bail!("expected stored, got {other:?}"),
                }
            }
            anyhow::Ok(done)
        });
    }
    let mut done = 0;
    while let Some(count) = tasks.join_next().await {
        done += count??;
    }
    Ok(f64::from(done) / started.elapsed().as_secs_f64())
}

async fn disk() -> anyhow::Result<()> {
    let stage = Stage::new(wide()).await?;
    stage.person("bob").await?;
    println!("\ndurable sends a second, each of 1 KiB");
    let rate = fsyncs(stage.folder.path())?;
    println!("fsync of a page  {rate:8.0}  (what this disk does)");
    let one = sends(&stage, 1).await?;
    println!("1 client         {one:8.0}");
    for clients in [8, 64] {
        let many = sends(&stage, clients).await?;
        println!("{clients:<2} clients       {many:8.0}  {:.1} times one", many / one);
    }
    stage.server.shut_down().await?;
    Ok(())
}

/// What a full mailbox takes on the disk, and how long a start takes after a crash.
async fn mailboxes() -> anyhow::Result<()> {
    println!("\nfull mailboxes, and a start after a crash");
    let limits = StoreLimits { sent: u64::MAX, ..StoreLimits::default() };
    for (what, size, mailboxes) in
        [("letters of 48 KiB", MAX_SEALED, 20_usize), ("letters of 89 bytes", 89, 20)]
    {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("mailbox.redb");
        let store = Store::open(&path, limits, Clock::system())?;
        let (key, generation) = (Bytes(vec![9; 32]), Generation([1; 8]));
        let account = Account { password: "hash".to_owned(), key, generation };
        store.register(Name::new("sender")?, account.clone()).await?;
        let before = std::fs::metadata(&path)?.len();
        let (mut letters, mut bytes) = (0_u64, 0);
        for number in 0..mailboxes {
            let to = Name::new(&format!("full-{number}"))?;
            store.register(to.clone(), account.clone()).await?;
            let mut full = false;
            while !full {
                let mut batch = JoinSet::new();
                for _ in 0..50 {
                    let mut sealed = vec![0; size];
                    aws_lc_rs::rand::fill(&mut sealed).ok().context("random bytes")?;
                    let (from, id) = (Name::new("sender")?, MessageId::random().context("an id")?);
                    let (store, to) = (store.clone(), to.clone());
                    let message = NewMessage { from, to, id, sealed };
                    batch.spawn(async move { store.put(message).await.is_ok() });
                }
                let stored = batch.join_all().await.iter().filter(|stored| **stored).count();
                full = stored < 50;
                letters += stored as u64;
                bytes += (stored * size) as u64;
            }
        }
        let length = std::fs::metadata(&path)?.len();
        let each = |bytes: u64| bytes as f64 / mailboxes as f64 / 1024.0 / 1024.0;
        println!(
            "{what:<20} {:.0} letters, {:.1} MiB: {:.1} MiB on the disk, {:.2} times",
            letters as f64 / mailboxes as f64,
            each(bytes),
            each(length - before),
            (length - before) as f64 / bytes as f64
        );
        // As after kill -9: the file as it is while the store has it open.
        let crashed = folder.path().join("crashed.redb");
        std::fs::copy(&path, &crashed)?;
        let started = Instant::now();
        let again = Store::open(&crashed, limits, Clock::system())?;
        println!(
            "{:<20} {:.3} s for {:.0} MB",
            "its start",
            started.elapsed().as_secs_f64(),
            length as f64 / 1e6
        );
        let started = Instant::now();
        tokio::task::spawn_blocking(move || again.close()).await?;
        let checked = check(&crashed)?;
        ensure!(checked.faults.is_empty() && checked.messages == letters, "{checked}");
        println!("{:<20} {:.1} s", "its check", started.elapsed().as_secs_f64());
        tokio::task::spawn_blocking(move || store.close()).await?;
    }
    Ok(())
}

// Memory.

/// What a process has in memory, in KiB (Linux).
fn resident(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Its open files (Linux).
fn descriptors(process: u32) -> Option<usize> {
    Some(std::fs::read_dir(format!("/proc/{process}/fd")).ok()?.count())
}

fn server(data: &Path) -> anyhow::Result<ServerProcess> {
    let command = Command::new(env!("CARGO_BIN_EXE_mailbox-server"));
    let more = ["--connections", "20000", "--per-address", "20000"];
    ServerProcess::start_command(command, data, &more)
}

fn roots(data: &Path) -> anyhow::Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(data.join("ca.pem"))?)?;
    Ok(Arc::new(roots))
}

async fn memory() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let server = server(&data)?;
    let Some(empty) = resident(server.id()) else {
        println!("\nmemory: only Linux tells it");
        return Ok(());
    };
    println!("\nmemory of the server");
    println!("no connection    {empty:8.0} KiB");
    let config = client_config(roots(&data)?, ALPN)?;
    for count in [1000, 10_000, 10_000] {
        let mut open = Vec::with_capacity(count);
        while open.len() < count {
            let mut batch = JoinSet::new();
            for _ in 0..50 {
                let (config, address) = (config.clone(), server.address());
                batch.spawn(async move {
                    let mut stream = connect(&config, address).await?;
                    ask(&mut stream).await?;
                    anyhow::Ok(stream)
                });
            }
            while let Some(stream) = batch.join_next().await {
                open.push(stream??);
            }
        }
        let full = resident(server.id()).context("memory")?;
        drop(open);
        while descriptors(server.id()).context("descriptors")? > 40 {
            tokio::time::sleep(Duration::from_millis(80)).await;
        }
        let after = resident(server.id()).context("memory")?;
        println!(
            "{count:6} idle      {full:8.0} KiB, {:.1} each; {after:.0} KiB when they are gone",
            (full - empty) / count as f64
        );
    }
    Ok(())
}

// A long, mixed load.

async fn soak(time: Duration) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let server = server(&data)?;
    let at = |data: &Path| -> anyhow::Result<Endpoint> {
        let name = ServerName::try_from(LAB_NAME)?;
        Ok(Endpoint::new(server.address(), name, roots(data)?)?)
    };
    let person =
        async |name: &str| Person::register(folder.path().join(name), name, at(&data)?).await;
    let mut reader = person("reader").await?;
    let mut senders = Vec::new();
    for number in 0..8 {
        let mut sender = person(&format!("sender-{number}")).await?;
        // Logged in before others use up the attempts of this address.
        sender.read().await?;
        senders.push(sender);
    }
    reader.read().await?;
    let stop = Arc::new(AtomicBool::new(false));
    let hostile = Arc::new(AtomicU64::new(0));
    let config = client_config(roots(&data)?, ALPN)?;
    let mut opponents = JoinSet::new();
    for kind in 0..6_u64 {
        let (stop, hostile, config) = (stop.clone(), hostile.clone(), config.clone());
        let address = server.address();
        opponents.spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                // Whatever comes of it: the server is to stand it.
                let _ = attack(kind, &config, address).await;
                hostile.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let mut tasks = JoinSet::new();
    for mut sender in senders {
        let stop = stop.clone();
        tasks.spawn(async move {
            let mut sent = 0_u64;
            while !stop.load(Ordering::SeqCst) {
                sender.send("reader", &format!("letter {}", sent + 1)).await?;
                sent += 1;
                // Below the quota of 10,000 for one sender, in the usual ten minutes.
                tokio::time::sleep(Duration::from_millis(80)).await;
            }
            anyhow::Ok((sender.account.name().clone(), sent))
        });
    }
    println!("a mixed load for {} minutes", time.as_secs() / 60);
    let started = Instant::now();
    let mut got: BTreeMap<Name, u64> = BTreeMap::new();
    let mut take = |found: Vec<Found>| -> anyhow::Result<()> {
        for found in found {
            let Found::Letter { from, number, order: Order::Next, .. } = found else {
                bail!("expected a letter in its order, got {found}");
            };
            let last = got.entry(from).or_default();
            ensure!(number == *last + 1, "expected letter {}, got {number}", *last + 1);
            *last = number;
        }
        Ok(())
    };
    let mut report = Instant::now();
    while started.elapsed() < time {
        take(reader.read().await?)?;
        tokio::time::sleep(Duration::from_millis(20)).await;
        if report.elapsed() > Duration::from_secs(60) {
            report = Instant::now();
            let memory = resident(server.id()).unwrap_or(0.0);
            let files = descriptors(server.id()).unwrap_or(0);
            let minute = started.elapsed().as_secs() / 60;
            println!("minute {minute:2}: {memory:.0} KiB, {files} open files");
        }
    }
    stop.store(true, Ordering::SeqCst);
    let mut sent = BTreeMap::new();
    while let Some(done) = tasks.join_next().await {
        let (name, count) = done??;
        sent.insert(name, count);
    }
    opponents.shutdown().await;
    take(reader.read().await?)?;
    ensure!(got == sent, "expected {sent:?}, got {got:?}");
    reader.client.close().await;
    let deadline = Instant::now() + Duration::from_secs(70);
    while descriptors(server.id()).unwrap_or(0) > 20 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!(
        "letters {}, all read, in order, once; hostile acts {}; at the end {:.0} KiB, {} open files",
        sent.values().sum::<u64>(),
        hostile.load(Ordering::SeqCst),
        resident(server.id()).unwrap_or(0.0),
        descriptors(server.id()).unwrap_or(0),
    );
    Ok(())
}

async fn attack(kind: u64, config: &Arc<ClientConfig>, address: SocketAddr) -> anyhow::Result<()> {
    match kind {
        0 => {
            let _silent = TcpStream::connect(address).await?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        1 => {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
            stream.read_to_end(&mut Vec::new()).await?;
        }
        2 => {
            let mut stream = connect(config, address).await?;
            stream.write_all(&u32::MAX.to_be_bytes()).await?;
            stream.flush().await?;
            stream.read_to_end(&mut Vec::new()).await?;
        }
        3 => {
            let mut stream = connect(config, address).await?;
            stream.write_all(&[0, 0, 4, 0, b'{', b'"']).await?;
            stream.flush().await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        4 => {
            let mut stream = connect(config, address).await?;
            let request = br#"{"do":"log_in","name":"reader","password":"a guess of mine"}"#;
            stream.write_all(&(request.len() as u32).to_be_bytes()).await?;
            stream.write_all(request).await?;
            stream.flush().await?;
            let length = stream.read_u32().await? as usize;
            stream.read_exact(&mut vec![0; length.min(1000)]).await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        _ => {
            let mut stream = connect(config, address).await?;
            for _ in 0..100 {
                ask(&mut stream).await?;
            }
        }
    }
    Ok(())
}
