//! Passwords: Argon2id, off the async threads, a few at a time.
//!
//! The mistakes this prevents: a password that is stored; a hash that stops every connection of its
//! thread; a flood of logins that takes all memory, 19 MiB at a time; an answer that comes sooner
//! when there is no such account.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use careful_encryption::password::Cost;
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

/// Hashes and checks passwords, so many at once, so many waiting. Clones share them.
///
/// Each that is computed at once has a thread and a piece of memory, which it keeps: 19 MiB that
/// are taken and given back for every password stay with the allocator, ten times over.
#[derive(Clone)]
pub struct Passwords {
    cost: Cost,
    /// To the threads. It holds no more than `most`.
    jobs: mpsc::Sender<Job>,
    in_line: Arc<AtomicUsize>,
    most: usize,
    /// A hash of no password, to be checked where there is no account.
    nobodys: Arc<str>,
    computed: Arc<AtomicUsize>,
}

type Memory = Vec<Block>;
type Job = Box<dyn FnOnce(&mut Memory) + Send>;

impl Passwords {
    /// Of this cost; `at_once` are computed, `waiting` more may wait. Takes the time of one hash.
    ///
    /// A server's cost is [`Cost::LEAST`] or more. Less is not refused here, for tests, where nothing is
    /// kept.
    ///
    /// # Errors
    /// [`PasswordError::System`]
    pub fn new(cost: Cost, at_once: usize, waiting: usize) -> Result<Self, PasswordError> {
        let nobodys = hash(cost, b"the password of nobody", &mut Vec::new())?.into();
        let most = at_once.saturating_add(waiting);
        let (jobs, line) = mpsc::channel::<Job>();
        let line = Arc::new(Mutex::new(line));
        for _ in 0..at_once.clamp(1, 1024) {
            let line = line.clone();
            let thread = std::thread::Builder::new().name("password".to_owned());
            thread.spawn(move || work(&line)).map_err(|_| PasswordError::System)?;
        }
        let (in_line, computed) = Default::default();
        Ok(Self { cost, jobs, in_line, most, nobodys, computed })
    }

    /// How many were computed, for a counter of your own.
    pub fn computed(&self) -> usize {
        self.computed.load(Ordering::Relaxed)
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn hash(&self, password: Secret) -> Result<String, PasswordError> {
        if !fits(password.expose()) {
            return Err(PasswordError::Length);
        }
        let (cost, computed) = (self.cost, self.computed.clone());
        let hashing = move |memory: &mut Memory| {
            computed.fetch_add(1, Ordering::Relaxed);
            hash(cost, password.expose().as_bytes(), memory)
        };
        self.run(hashing).await
    }

    // ANCHOR: check
    /// Whether the password is the one of this hash. Without a hash, the same work is done for
    /// nothing: so the time does not tell whether there is such an account.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn check(
        &self,
        password: Secret,
        hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        if password.expose().len() > LONGEST {
            return Err(PasswordError::Length);
        }
        let (nobodys, computed) = (self.nobodys.clone(), self.computed.clone());
        self.run(move |memory| {
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
        work: impl FnOnce(&mut Memory) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let slot = QueueSlot::take(&self.in_line, self.most).ok_or(PasswordError::Busy)?;
        let (answer, answered) = oneshot::channel();
        let job = move |memory: &mut Memory| {
            // If nobody waits for it any more, it is not done.
            if !answer.is_closed() {
                let _ = answer.send(work(memory));
            }
            // Given back when the work is done, not when somebody stops waiting for it.
            drop(slot);
        };
        self.jobs.send(Box::new(job)).map_err(|_| PasswordError::System)?;
        answered.await.map_err(|_panicked| PasswordError::System)?
    }
}

/// A thread: until all [`Passwords`] are gone.
fn work(line: &Mutex<mpsc::Receiver<Job>>) {
    let mut memory = Vec::new();
    loop {
        let next = line.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // A panic is told by its hook, and to who waits by silence.
        let done = std::panic::AssertUnwindSafe(|| job(&mut memory));
        let _ = std::panic::catch_unwind(done);
    }
}

/// Whether a new password has a length that is accepted.
pub fn fits(password: &str) -> bool {
    password.chars().count() >= SHORTEST && password.len() <= LONGEST
}

/// One of the slots of those who are hashed or wait; dropping it gives it back.
struct QueueSlot(Arc<AtomicUsize>);

impl QueueSlot {
    fn take(line: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let slot = Self(line.clone());
        (line.fetch_add(1, Ordering::SeqCst) < most).then_some(slot)
    }
}

impl Drop for QueueSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
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
