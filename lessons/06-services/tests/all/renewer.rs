//! The renewer, on a clock that the test sets.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use careful_certificates::leaf::Leaf;
use careful_issuer::issuer::Entitlement;
use careful_issuer::request::{ProvedKey, new_request};
use careful_services::credentials::Credentials;
use careful_services::renew::{
    Clock, Facts, Failure, Obtain, Renewal, SystemClock, Unfit, keep_valid, renew_at,
};
use services::lab::careless::renews_once;
use services::lab::pki::{issuer, now};
use services::lab::{CHECKOUT, LEDGER};
use shared::LabCa;

type TestResult = Result<(), Box<dyn Error>>;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// 1 January 2026.
const START: u64 = 1_767_225_600;

/// A clock on which a sleep takes no time, with what it slept.
struct TestClock {
    now: AtomicU64,
    slept: Mutex<Vec<u64>>,
}

impl TestClock {
    fn at(now: u64) -> Self {
        Self { now: AtomicU64::new(now), slept: Mutex::default() }
    }
}

impl Clock for TestClock {
    fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    async fn sleep(&self, duration: Duration) {
        self.slept.lock().unwrap_or_else(PoisonError::into_inner).push(duration.as_secs());
        self.now.fetch_add(duration.as_secs(), Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_systems_clock_tells_the_time_and_sleeps() {
    assert!((now() - 1..=now() + 1).contains(&SystemClock.now()));
    let started = tokio::time::Instant::now();
    SystemClock.sleep(Duration::from_secs(7)).await;
    assert!(started.elapsed() >= Duration::from_secs(7));
}

/// Gives out what it was given, in this order, and then never answers.
struct Given(Mutex<VecDeque<Result<Credentials, String>>>);

impl Obtain for Given {
    type Error = String;

    async fn obtain(&self) -> Result<Credentials, String> {
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match next {
            Some(next) => next,
            None => std::future::pending().await,
        }
    }
}

/// What a service that calls others is entitled to.
fn entitled(id: &str, dns_names: &[&str]) -> Entitlement {
    let dns_names = dns_names.iter().map(|name| (*name).to_owned()).collect();
    Entitlement { id: id.to_owned(), dns_names, calls: true }
}

/// Credentials of the ledger, from this time on for a life, without the intermediate.
fn issued(ca: &LabCa, from: u64, life: u64) -> Result<Credentials, Box<dyn Error>> {
    issued_to(ca, from, life, &entitled(LEDGER, &[]))
}

fn issued_to(
    ca: &LabCa,
    from: u64,
    life: u64,
    entitled: &Entitlement,
) -> Result<Credentials, Box<dyn Error>> {
    let mut issuer = issuer(ca, "Course Lab", Duration::from_secs(life))?;
    let (key, request) = new_request()?;
    let mut chain = issuer.issue(&ProvedKey::of_request(&request)?, entitled, from)?.chain;
    chain.truncate(1);
    Ok(Credentials { chain, key })
}

/// The same with an intermediate, which is valid in the year of this run.
fn issued_below(ca: &LabCa, from: u64, life: u64) -> Result<Credentials, Box<dyn Error>> {
    let mut issuer = issuer(ca, "Course Lab", Duration::from_secs(life))?;
    let (key, request) = new_request()?;
    let key_of = ProvedKey::of_request(&request)?;
    let issued = issuer.issue(&key_of, &entitled(LEDGER, &[]), from)?;
    Ok(Credentials { chain: issued.chain, key })
}

/// What the renewer told, each with the time, until nothing more comes from the source. In tokio's
/// paused time, a second passes only when there is nothing left to do, so a slow machine is no
/// excuse.
async fn told(
    first: &Credentials,
    given: Vec<Result<Credentials, String>>,
    clock: &TestClock,
    install: impl Fn(Credentials) -> Result<(), String> + Send + Sync,
) -> Result<Vec<(u64, Renewal<String>)>, Box<dyn Error>> {
    let (first, told) = (Facts::of(first)?, Mutex::new(Vec::new()));
    let source = Given(Mutex::new(given.into()));
    let tell = |renewal| {
        told.lock().unwrap_or_else(PoisonError::into_inner).push((clock.now(), renewal));
    };
    let renewing = keep_valid(&first, &source, clock, install, tell);
    let ended = tokio::time::timeout(Duration::from_secs(1), renewing).await;
    assert!(ended.is_err(), "it renews for as long as it is polled");
    Ok(told.into_inner().unwrap_or_else(PoisonError::into_inner))
}

#[tokio::test(start_paused = true)]
async fn it_renews_after_two_thirds_and_counts_from_the_new_certificate() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let first = issued(&ca, START, DAY)?;
    let second = issued(&ca, START + 16 * HOUR, DAY)?;
    let third = issued(&ca, START + 32 * HOUR, DAY)?;
    let clock = TestClock::at(START);
    let told = told(&first, vec![Ok(second), Ok(third)], &clock, |_new| Ok(())).await?;
    let times: Vec<u64> = told.iter().map(|(at, _)| *at - START).collect();
    let [one, two] = times[..] else { return Err(format!("{told:?}").into()) };
    assert!((16 * HOUR - 60..=19 * HOUR).contains(&one), "{one}");
    assert!((32 * HOUR - 60..=35 * HOUR).contains(&two), "{two}");
    assert!(matches!(told[0].1, Renewal::Installed(next) if next >= START + 31 * HOUR));
    let slept = clock.slept.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(slept.iter().all(|slept| (1..=60).contains(slept)), "a set clock would go unnoticed");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn while_the_issuer_is_down_it_tries_again_and_again_and_keeps_what_it_has() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let first = issued(&ca, START, HOUR)?;
    let down = || Err("the issuer is down".to_owned());
    let clock = TestClock::at(START + 40 * 60);
    let tries: Vec<_> = (0..30).map(|_| down()).collect();
    let told = told(&first, tries, &clock, |_new| Err("nothing came".to_owned())).await?;
    let mut failures = Vec::new();
    for (at, renewal) in &told {
        match renewal {
            Renewal::Failed(why, left, wait) => {
                assert_eq!(why.to_string(), "the issuer is down");
                failures.push((*at, *left, *wait));
            }
            Renewal::Expired => assert!(*at >= START + HOUR, "{at}"),
            other => return Err(format!("{other:?}").into()),
        }
    }
    assert_eq!(failures.len(), 30);
    let (_, left, wait) = failures[0];
    assert!(left > 13 * 60 && (5..8).contains(&wait), "{left} {wait}");
    let before = failures.iter().filter(|(_, left, _)| *left > 0).count();
    assert!(before >= 8, "an hour's life leaves time for several tries: {before}");
    assert!(failures.iter().all(|(_, _, wait)| (5..=225).contains(wait)), "{failures:?}");
    let expired = told.iter().filter(|(_, renewal)| matches!(renewal, Renewal::Expired)).count();
    // The last try is still waiting for an answer.
    assert_eq!(expired, 31 - before, "each try after the end raises the alarm");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_not_as_good_replaces_nothing() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let first = issued(&ca, START, DAY)?;
    let at = START + 17 * HOUR;
    let another_key = Credentials { key: new_request()?.0, ..issued(&ca, at, DAY)? };
    let none = Credentials { chain: Vec::new(), key: new_request()?.0 };
    let given = vec![
        issued(&ca, START, DAY)?,
        issued(&ca, START + 10 * DAY, DAY)?,
        // An intermediate that isn't valid yet.
        issued_below(&ca, at, DAY)?,
        none,
        another_key,
        issued_to(&ca, at, DAY, &entitled(CHECKOUT, &[]))?,
        // It may no longer call others.
        issued_to(&ca, at, DAY, &Entitlement { calls: false, ..entitled(LEDGER, &["a.test"]) })?,
        issued(&ca, at, DAY)?,
    ];
    let clock = TestClock::at(at + 1800);
    let installed = AtomicU64::new(0);
    let install = |_new| {
        installed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    let told = told(&first, given.into_iter().map(Ok).collect(), &clock, install).await?;
    let lacks = |what: &str| Unfit::Lacks(what.to_owned());
    let mut unfit = Vec::new();
    for (_, renewal) in &told[..7] {
        let Renewal::Failed(Failure::Unfit(why), ..) = renewal else {
            return Err(format!("{renewal:?}").into());
        };
        unfit.push(why);
    }
    assert!(unfit[..3].iter().all(|why| matches!(why, Unfit::NoBetter(..))), "{unfit:?}");
    let rest = [&Unfit::Unreadable, &Unfit::Key, &lacks(LEDGER), &lacks("the purpose clientAuth")];
    assert_eq!(unfit[3..], rest);
    assert!(matches!(told[7..], [(_, Renewal::Installed(_))]), "{told:?}");
    assert_eq!(installed.into_inner(), 1);
    Ok(())
}

/// The issuer counts. So what was refused is kept, and no other one is asked for.
#[tokio::test(start_paused = true)]
async fn what_could_not_be_installed_is_installed_at_the_next_try() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let first = issued(&ca, START, DAY)?;
    let second = issued(&ca, START + 17 * HOUR, DAY)?;
    let expected = second.chain.clone();
    let clock = TestClock::at(START + 17 * HOUR + 1800);
    let tries = Mutex::new(Vec::new());
    let install = |new: Credentials| {
        let mut tries = tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.push(new.chain);
        if tries.len() < 4 { Err("the list is past its date".to_owned()) } else { Ok(()) }
    };
    // The source has only one to give.
    let told = told(&first, vec![Ok(second)], &clock, install).await?;
    for (_, renewal) in &told[..3] {
        let Renewal::Failed(why @ Failure::NotInstalled(_), ..) = renewal else {
            return Err(format!("{renewal:?}").into());
        };
        assert_eq!(why.to_string(), "not installed: the list is past its date");
    }
    assert!(matches!(told[3..], [(_, Renewal::Installed(_))]), "{told:?}");
    assert_eq!(tries.into_inner()?, vec![expected; 4]);
    Ok(())
}

/// What was kept expires before it can be installed. Then another one is asked for.
#[tokio::test(start_paused = true)]
async fn what_is_kept_too_long_is_given_up() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let at = START + 17 * HOUR;
    let first = issued(&ca, START, DAY)?;
    let given = vec![Ok(issued(&ca, at, 8 * HOUR)?), Ok(issued(&ca, START + 2 * DAY, DAY)?)];
    let clock = TestClock::at(at + 1800);
    let install = |new: Credentials| match Facts::of(&new) {
        Ok(facts) if facts.not_before < START + DAY => Err("the disk is full".to_owned()),
        _ => Ok(()),
    };
    // From one certificate's end to the next one's beginning there is none.
    let told = told(&first, given, &clock, install).await?;
    let given_up = told.iter().any(|(_, renewal)| {
        matches!(renewal, Renewal::Failed(Failure::Unfit(Unfit::NoBetter(..)), ..))
    });
    assert!(given_up, "{told:?}");
    Ok(())
}

/// A source that panics, for example over an impossible header of its issuer.
struct Fragile(Given, AtomicU64);

impl Obtain for Fragile {
    type Error = String;

    async fn obtain(&self) -> Result<Credentials, String> {
        assert_ne!(self.1.fetch_add(1, Ordering::SeqCst), 0, "a panic that this test wants");
        self.0.obtain().await
    }

    fn first_pause(&self) -> Duration {
        Duration::from_secs(20 * 60)
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_try_and_the_first_pause_is_the_sources() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let at = START + 17 * HOUR;
    let (first, clock) = (Facts::of(&issued(&ca, START, DAY)?)?, TestClock::at(at + 1800));
    let failing = (0..3).map(|_| Err("down".to_owned()));
    let given = failing.chain([Ok(issued(&ca, at, DAY)?)]).collect();
    let source = Fragile(Given(Mutex::new(given)), AtomicU64::new(0));
    let told = Mutex::new(Vec::new());
    let tell = |renewal: Renewal<String>| {
        told.lock().unwrap_or_else(PoisonError::into_inner).push(renewal);
    };
    let renewing = keep_valid(&first, &source, &clock, |_new| Ok(()), tell);
    let _still = tokio::time::timeout(Duration::from_secs(1), renewing).await;
    let told = told.into_inner()?;
    let kinds = told.iter().map(|renewal| match renewal {
        Renewal::Failed(Failure::Panicked, left, wait) => ("panicked", *left, *wait),
        Renewal::Failed(_, left, wait) => ("down", *left, *wait),
        Renewal::Installed(_) => ("installed", 0, 0),
        Renewal::Expired => ("expired", 0, 0),
    });
    let kinds: Vec<_> = kinds.collect();
    let names: Vec<&str> = kinds.iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(names, ["panicked", "down", "down", "down", "installed"]);
    assert!((1200..=1800).contains(&kinds[0].2), "{kinds:?}");
    // An eighth of what was left at the try before, and up to half as long again.
    for pair in kinds[..4].windows(2) {
        let (most, wait) = ((pair[0].1 / 8).max(1200) * 3 / 2, pair[1].2);
        assert!((1200..=most).contains(&wait), "{kinds:?}");
    }
    Ok(())
}

/// A clock that is fifty minutes ahead, and certificates for an hour: each is old when it comes.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_asks_once_in_a_minute() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let first = issued(&ca, START, HOUR)?;
    let mut given = Vec::new();
    for minute in 0..9 {
        given.push(Ok(issued(&ca, START + minute * 60 + 30, HOUR)?));
    }
    let clock = TestClock::at(START + 50 * 60);
    let told = told(&first, given, &clock, |_new| Ok(())).await?;
    let installed = |renewal: &Renewal<String>| matches!(renewal, Renewal::Installed(_));
    let times: Vec<u64> =
        told.iter().filter(|(_, renewal)| installed(renewal)).map(|(at, _)| *at).collect();
    assert_eq!(times.len(), 9, "{told:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 60), "{times:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_far_ahead_renews_at_once_and_one_behind_waits() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let first = issued(&ca, START, DAY)?;
    let ahead = TestClock::at(START + 300 * DAY);
    let given = vec![Ok(issued(&ca, START + 300 * DAY, DAY)?)];
    let told_ahead = told(&first, given, &ahead, |_new| Ok(())).await?;
    assert!(matches!(told_ahead[..], [(_, Renewal::Expired), (at, Renewal::Installed(_))]
        if at == START + 300 * DAY));
    let behind = TestClock::at(START - DAY);
    let given = vec![Ok(issued(&ca, START + 16 * HOUR, DAY)?)];
    let told_behind = told(&first, given, &behind, |_new| Ok(())).await?;
    assert!(
        matches!(told_behind[..], [(at, Renewal::Installed(_))] if at >= renew_at(START - 60, START + DAY, 0.0))
    );
    Ok(())
}

/// A clock that is a year ahead, until somebody corrects it while the renewer waits.
struct Corrected {
    inner: TestClock,
    right: u64,
}

impl Clock for Corrected {
    fn now(&self) -> u64 {
        self.inner.now()
    }

    async fn sleep(&self, duration: Duration) {
        // Once.
        if self.now() > self.right + DAY {
            self.inner.now.store(self.right, Ordering::SeqCst);
        }
        self.inner.sleep(duration).await;
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_clock_is_corrected_the_next_try_comes_soon() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let now = START + 17 * HOUR;
    let clock = Corrected { inner: TestClock::at(now + 365 * DAY), right: now };
    let first = Facts::of(&issued(&ca, START, DAY)?)?;
    let given = vec![Ok(issued(&ca, now, DAY)?), Ok(issued(&ca, now, DAY)?)];
    let (source, told) = (Given(Mutex::new(given.into())), Mutex::new(Vec::new()));
    let tell = |renewal: Renewal<String>| {
        told.lock().unwrap_or_else(PoisonError::into_inner).push((clock.now(), renewal));
    };
    let renewing = keep_valid(&first, &source, &clock, |_new| Ok(()), tell);
    let _still = tokio::time::timeout(Duration::from_secs(1), renewing).await;
    let told = told.lock().unwrap_or_else(PoisonError::into_inner);
    let [
        (_, Renewal::Expired),
        (_, Renewal::Failed(Failure::Unfit(_), ..)),
        (at, Renewal::Installed(_)),
    ] = &told[..3]
    else {
        return Err(format!("{told:?}").into());
    };
    assert!((now..now + 60).contains(at), "{at}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_never_answers_is_told_after_a_minute() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let first = Facts::of(&issued(&ca, START, DAY)?)?;
    let (source, told) = (Given(Mutex::default()), Mutex::new(Vec::new()));
    let clock = TestClock::at(START + 17 * HOUR + 1800);
    let tell = |renewal: Renewal<String>| {
        told.lock().unwrap_or_else(PoisonError::into_inner).push(renewal);
    };
    let renewing = keep_valid(&first, &source, &clock, |_new| Ok(()), tell);
    let _still = tokio::time::timeout(Duration::from_secs(150), renewing).await;
    let told = told.lock().unwrap_or_else(PoisonError::into_inner);
    let late = |renewal: &Renewal<_>| matches!(renewal, Renewal::Failed(Failure::NoAnswer, ..));
    assert!(told.len() == 2 && told.iter().all(late), "{told:?}");
    Ok(())
}

/// The loop that the chapter shows first.
#[tokio::test]
async fn the_careless_renewer_asks_without_a_pause_and_ends_at_the_first_error() -> TestResult {
    let ca = LabCa::new("Course Lab")?;
    let long_ago = issued(&ca, START, DAY)?;
    let leaf = Leaf::from_der(&long_ago.chain[0])?;
    let given = vec![
        Ok(issued(&ca, now(), DAY)?),
        Ok(issued(&ca, now(), DAY)?),
        Err("the issuer is down".to_owned()),
        Ok(issued(&ca, now(), DAY)?),
    ];
    let source = Given(Mutex::new(given.into()));
    let installed = AtomicU64::new(0);
    let install = |_new| {
        installed.fetch_add(1, Ordering::SeqCst);
    };
    let renewing = renews_once(&leaf, &source, install);
    let ended = tokio::time::timeout(Duration::from_secs(5), renewing).await?;
    assert_eq!(ended, Err("the issuer is down".to_owned()));
    assert_eq!(installed.into_inner(), 2, "a new certificate doesn't make it wait");
    Ok(())
}
