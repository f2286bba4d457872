//! Passwords: Argon2id, off the async threads, a few at a time.
//!
//! The mistakes this prevents: a password that is stored; a hash that stops every connection of its
//! thread; a flood of logins that takes all memory, 19 MiB at a time, or the whole line, so that
//! nobody else's login is checked; an answer that comes sooner when there is no such account.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use careful_encryption::password::Cost;
use careful_tls::server::network;
use thiserror::Error;
use tokio::sync::oneshot;
use zeroize::{Zeroize, Zeroizing};

use crate::protocol::Secret;

/// The shortest password, in characters: NIST SP 800-63B revision 4 section 3.1.1.2 asks for 15
/// where the password is all there is.
pub const SHORTEST: usize = 15;
/// The longest, in bytes.
pub const LONGEST: usize = 256;
const SALT: usize = 16;

/// Why a password was not hashed or checked.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("expected a password of {SHORTEST} characters to {LONGEST} bytes")]
    Length,
    /// Too many wait already.
    #[error("too many passwords wait to be checked")]
    Busy,
    /// There is not enough memory, or no random bytes.
    #[error("the system has not enough memory, or no random bytes")]
    System,
}

/// How many passwords are worked on, and how many may wait. Choose each for your memory and your patience.
#[derive(Clone, Copy, Debug)]
pub struct PasswordLimits {
    /// Computed at once, each with a thread and with memory for it.
    pub at_once: usize,
    /// More that may wait. When so many wait, one of a network with fewer displaces the last one of the network that
    /// has most, whose client is told [`PasswordError::Busy`].
    pub waiting: usize,
    /// Of both together, those from one network.
    pub of_one_network: usize,
}

impl Default for PasswordLimits {
    /// 2 at once, 32 waiting, 8 of one network.
    fn default() -> Self {
        Self { at_once: 2, waiting: 32, of_one_network: 8 }
    }
}

/// Hashes and checks passwords, so many at once, so many waiting. Clones share them. Networks take turns: one
/// that sends a hundred at once has one computed, and then each of the others has one.
///
/// Each that is computed at once has a thread and a piece of memory, which it keeps: 19 MiB that
/// are taken and given back for every password stay with the allocator, ten times over.
#[derive(Clone)]
pub struct Passwords {
    cost: Cost,
    line: Arc<Open>,
    /// A hash of no password, to be checked where there is no account.
    nobodys: Arc<str>,
    computed: Arc<AtomicUsize>,
}

type Memory = Vec<Block>;
/// Without memory, it isn't done, and the one who waits for it is told that the line is full.
type Job = Box<dyn FnOnce(Option<&mut Memory>) + Send>;

impl Passwords {
    /// Of this cost. Takes the time of one hash.
    ///
    /// A server's cost is [`Cost::LEAST`] or more. Less is not refused here, for tests, where nothing is
    /// kept.
    ///
    /// # Errors
    /// [`PasswordError::System`]
    pub fn new(cost: Cost, limits: PasswordLimits) -> Result<Self, PasswordError> {
        let nobodys = hash(cost, b"the password of nobody", &mut Vec::new())?.into();
        let line = Arc::new(Line { limits, queue: Mutex::default(), ready: Condvar::new() });
        let open = Arc::new(Open(line.clone()));
        for _ in 0..limits.at_once.clamp(1, 1024) {
            let line = line.clone();
            let thread = std::thread::Builder::new().name("password".to_owned());
            thread.spawn(move || work(&line)).map_err(|_| PasswordError::System)?;
        }
        Ok(Self { cost, line: open, nobodys, computed: Arc::default() })
    }

    /// How many were computed, for a counter of your own.
    pub fn computed(&self) -> usize {
        self.computed.load(Ordering::Relaxed)
    }

    /// The hash of a new password, for a client at this address.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn hash(&self, client: IpAddr, password: Secret) -> Result<String, PasswordError> {
        if !fits(password.expose()) {
            return Err(PasswordError::Length);
        }
        let (cost, computed) = (self.cost, self.computed.clone());
        let hashing = move |memory: &mut Memory| {
            computed.fetch_add(1, Ordering::Relaxed);
            hash(cost, password.expose().as_bytes(), memory)
        };
        self.run(client, hashing).await
    }

    // ANCHOR: check
    /// Whether the password is the one of this hash. Without a hash, the same work is done for
    /// nothing: so the time does not tell whether there is such an account.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn check(
        &self,
        client: IpAddr,
        password: Secret,
        hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        if password.expose().len() > LONGEST {
            return Err(PasswordError::Length);
        }
        let (nobodys, computed) = (self.nobodys.clone(), self.computed.clone());
        self.run(client, move |memory| {
            let text = hash.as_deref().unwrap_or(&nobodys);
            let fits = verify(text, password.expose().as_bytes(), memory)?;
            computed.fetch_add(1, Ordering::Relaxed);
            Ok(fits && hash.is_some())
        })
        .await
    }
    // ANCHOR_END: check

    async fn run<T: Send + 'static>(
        &self,
        client: IpAddr,
        work: impl FnOnce(&mut Memory) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let line = &self.line.0;
        let (slot, displaced) = line.enter(network(client)).ok_or(PasswordError::Busy)?;
        if let Some(displaced) = displaced {
            displaced(None);
        }
        let network = slot.network;
        let (answer, answered) = oneshot::channel();
        let job = move |memory: Option<&mut Memory>| {
            // If nobody waits for it any more, it is not done.
            if !answer.is_closed() {
                let _ = answer.send(memory.map_or(Err(PasswordError::Busy), work));
            }
            // Given back when the work is done, not when somebody stops waiting for it.
            drop(slot);
        };
        line.push(network, Box::new(job));
        answered.await.map_err(|_panicked| PasswordError::System)?
    }
}

/// The jobs that wait, and how many of each network there are.
struct Line {
    limits: PasswordLimits,
    queue: Mutex<Queue>,
    ready: Condvar,
}

#[derive(Default)]
struct Queue {
    /// The network whose turn it is comes first. Each has at least one job.
    turns: VecDeque<(IpAddr, VecDeque<Job>)>,
    /// Waiting or computed, by network.
    in_line: HashMap<IpAddr, usize>,
    all: usize,
    closed: bool,
}

impl Queue {
    /// Takes out the last job of the network that has most, if it has at least two more than this many.
    fn last_of_the_most(&mut self, here: usize) -> Option<Job> {
        let Self { turns, in_line, .. } = self;
        let most = |at: &usize| in_line.get(&turns[*at].0).copied().unwrap_or(0);
        let at = (0..turns.len()).max_by_key(most).filter(|at| most(at) > here + 1)?;
        let job = turns[at].1.pop_back();
        if turns[at].1.is_empty() {
            turns.remove(at);
        }
        job
    }
}

/// When the last [`Passwords`] goes, the threads end.
struct Open(Arc<Line>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.ready.notify_all();
    }
}

/// One of the slots of those who are hashed or wait; dropping it gives it back.
struct QueueSlot {
    line: Arc<Line>,
    network: IpAddr,
}

impl Line {
    /// A slot for one more; none if there are too many. If the line is full, a network with fewer slots takes the
    /// place of the last job of the network that has most: that job comes back, to be told so.
    fn enter(self: &Arc<Self>, network: IpAddr) -> Option<(QueueSlot, Option<Job>)> {
        let PasswordLimits { at_once, waiting, of_one_network } = self.limits;
        let mut queue = self.lock();
        let here = queue.in_line.get(&network).copied().unwrap_or(0);
        if here >= of_one_network {
            return None;
        }
        let full = queue.all >= at_once.saturating_add(waiting);
        let displaced = if full { Some(queue.last_of_the_most(here)?) } else { None };
        // The one that is displaced gives its own slot back.
        queue.all += 1;
        queue.in_line.insert(network, here + 1);
        Some((QueueSlot { line: self.clone(), network }, displaced))
    }

    // ANCHOR: turns
    fn push(&self, network: IpAddr, job: Job) {
        let mut queue = self.lock();
        match queue.turns.iter_mut().find(|(of, _)| *of == network) {
            Some((_, jobs)) => jobs.push_back(job),
            None => queue.turns.push_back((network, VecDeque::from([job]))),
        }
        self.ready.notify_one();
    }

    /// One job of the network whose turn it is, which goes to the end of the line with its others. `None`
    /// when it is closed.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if let Some((network, mut jobs)) = queue.turns.pop_front() {
                let job = jobs.pop_front();
                if !jobs.is_empty() {
                    queue.turns.push_back((network, jobs));
                }
                return job;
            }
            if queue.closed {
                return None;
            }
            queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
    // ANCHOR_END: turns

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for QueueSlot {
    fn drop(&mut self) {
        let mut queue = self.line.lock();
        queue.all -= 1;
        if let Some(here) = queue.in_line.get_mut(&self.network) {
            *here -= 1;
            // A network that is gone leaves nothing behind.
            if *here == 0 {
                queue.in_line.remove(&self.network);
            }
        }
    }
}

/// A thread: until all [`Passwords`] are gone.
fn work(line: &Line) {
    let mut memory = Vec::new();
    while let Some(job) = line.next() {
        // A panic is told by its hook, and to who waits by silence.
        let done = std::panic::AssertUnwindSafe(|| job(Some(&mut memory)));
        let _ = std::panic::catch_unwind(done);
    }
}

/// Whether a new password has a length that is accepted.
pub fn fits(password: &str) -> bool {
    password.chars().count() >= SHORTEST && password.len() <= LONGEST
}

fn hash(cost: Cost, password: &[u8], memory: &mut Memory) -> Result<String, PasswordError> {
    let system = |_| PasswordError::System;
    let mut salt = [0; SALT];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| PasswordError::System)?;
    let params = Params::new(cost.memory, cost.passes, cost.lanes, None);
    let params = params.map_err(|_| PasswordError::System)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(|_| PasswordError::System)?,
        salt: Some(Salt::new(&salt).map_err(system)?),
        hash: None,
    };
    let mut made = Zeroizing::new([0; 32]);
    compute(&hash, password, memory, made.as_mut_slice())?;
    let made = Output::new(made.as_slice()).map_err(system)?;
    Ok(PasswordHash { hash: Some(made), ..hash }.to_string())
}

fn verify(text: &str, password: &[u8], memory: &mut Memory) -> Result<bool, PasswordError> {
    let hash = PasswordHash::new(text).map_err(|_| PasswordError::System)?;
    let expected = hash.hash.as_ref().ok_or(PasswordError::System)?;
    let mut made = Zeroizing::new(vec![0; expected.len()]);
    compute(&hash, password, memory, &mut made)?;
    Ok(verify_slices_are_equal(expected.as_bytes(), &made).is_ok())
}

/// As the hash says: with its own algorithm, cost and salt, so that older ones are checked, too.
fn compute(
    hash: &PasswordHash,
    password: &[u8],
    memory: &mut Memory,
    made: &mut [u8],
) -> Result<(), PasswordError> {
    let system = |_| PasswordError::System;
    let algorithm = Algorithm::try_from(hash.algorithm.as_str());
    let version = Version::try_from(hash.version.unwrap_or(Version::V0x13.into()));
    let params = Params::try_from(hash).map_err(system)?;
    let salt = hash.salt.as_ref().ok_or(PasswordError::System)?;
    let blocks = params.block_count();
    let more = blocks.saturating_sub(memory.len());
    memory.try_reserve_exact(more).map_err(|_| PasswordError::System)?;
    memory.resize(blocks, Block::new());
    let argon2 = Argon2::new(
        algorithm.map_err(|_| PasswordError::System)?,
        version.map_err(|_| PasswordError::System)?,
        params,
    );
    let done = argon2.hash_password_into_with_memory(password, salt, made, memory.as_mut_slice());
    memory.iter_mut().for_each(Zeroize::zeroize);
    done.map_err(|_| PasswordError::System)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_slots_and_no_more_and_leaves_nothing_behind() {
        let limits = PasswordLimits { at_once: 1, waiting: 9, of_one_network: 2 };
        let line = Line { limits, queue: Mutex::default(), ready: Condvar::new() };
        let line = Arc::new(line);
        let enter = |last: u8| line.enter(IpAddr::from([192, 0, 2, last]));
        let (first, second) = (enter(1), enter(1));
        assert!(first.is_some() && second.is_some() && enter(1).is_none());
        let other = enter(2);
        assert!(other.is_some(), "another network");
        drop(first);
        let third = enter(1);
        assert!(third.is_some() && enter(1).is_none(), "one was free, and one is left of before");
        drop((second, third, other));
        let queue = line.lock();
        assert!(queue.all == 0 && queue.in_line.is_empty());
    }

    /// Else as many networks as fill the line keep everybody else out of it.
    #[test]
    fn in_a_full_line_a_network_with_fewer_takes_a_place_of_the_one_with_most() {
        let limits = PasswordLimits { at_once: 1, waiting: 5, of_one_network: 4 };
        let line = Arc::new(Line { limits, queue: Mutex::default(), ready: Condvar::new() });
        let told = Arc::new(Mutex::new(Vec::new()));
        let enter = |last: u8| {
            let network = IpAddr::from([192, 0, 2, last]);
            let (slot, displaced) = line.enter(network)?;
            if let Some(displaced) = displaced {
                displaced(None);
            }
            let told = told.clone();
            let job = move |memory: Option<&mut Memory>| {
                told.lock().expect("no panic").push((last, memory.is_some()));
                drop(slot);
            };
            line.push(network, Box::new(job));
            Some(())
        };
        for last in [1, 1, 1, 2, 2, 3] {
            assert!(enter(last).is_some());
        }
        assert!(enter(4).is_some(), "1 has three");
        assert!(enter(5).is_some(), "1 has two, and 2 has two");
        assert_eq!(told.lock().expect("no panic").len(), 2);
        assert!(enter(5).is_none(), "nobody has two more than 5");
        let all = line.lock().all;
        assert_eq!(all, 6);
        let mut memory = Vec::new();
        for _ in 0..6 {
            line.next().expect("six wait")(Some(&mut memory));
        }
        let mut told = told.lock().expect("no panic").clone();
        let done = told.split_off(2);
        assert!(told.iter().all(|(of, done)| [1, 2].contains(of) && !done), "{told:?}");
        let mut of: Vec<_> = done.iter().map(|(of, _)| *of).collect();
        of.sort_unstable();
        assert!(done.iter().all(|(_, done)| *done));
        assert_eq!(of[4..], [4, 5], "{of:?}");
        let queue = line.lock();
        assert!(queue.all == 0 && queue.in_line.is_empty() && queue.turns.is_empty());
    }

    #[tokio::test]
    async fn who_is_displaced_is_told_that_the_line_is_full() {
        let cost = Cost { memory: 64 * 1024, passes: 3, lanes: 1 };
        let limits = PasswordLimits { at_once: 1, waiting: 2, of_one_network: 3 };
        let passwords = Passwords::new(cost, limits).expect("threads");
        let hash = |last: u8| {
            let passwords = passwords.clone();
            let client = IpAddr::from([192, 0, 2, last]);
            tokio::spawn(
                async move { passwords.hash(client, Secret::new("a long password")).await },
            )
        };
        let flood = [(); 3].map(|()| hash(1));
        while passwords.line.0.lock().all < 3 {
            tokio::task::yield_now().await;
        }
        let other = hash(2);
        assert!(other.await.expect("no panic").is_ok());
        let mut busy = 0;
        for hashed in flood {
            busy += usize::from(hashed.await.expect("no panic") == Err(PasswordError::Busy));
        }
        assert_eq!(busy, 1);
    }
}
