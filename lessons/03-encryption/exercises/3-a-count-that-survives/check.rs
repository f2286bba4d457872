//! A disk that loses its power at each of its writes in turn.

use std::sync::{Arc, Mutex, PoisonError};

use careful_encryption::context::Context;
use careful_encryption::sealing::SecretKey;
use trial::Trial;

#[cfg(test)]
#[path = "naive.rs"]
mod naive;
#[cfg(test)]
#[path = "solution.rs"]
mod solution;
#[cfg(test)]
#[path = "stub.rs"]
mod stub;

/// The power is off. The process can do nothing more, and its caller neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crashed;

/// A disk with one number on it.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    number: u64,
    writes: u32,
    /// At which write the plug is pulled, and whether that write is done.
    plug: Option<(u32, bool)>,
}

impl Disk {
    /// The number that was written last; 0 on a new disk.
    pub fn read(&self) -> u64 {
        self.state(|state| state.number)
    }

    /// Writes a number, and syncs it. That takes milliseconds on a real disk.
    pub fn write(&self, number: u64) -> Result<(), Crashed> {
        self.state(|state| {
            state.writes += 1;
            let plug = state.plug.filter(|(at, _)| state.writes >= *at);
            if plug.is_none_or(|(at, done)| done && state.writes == at) {
                state.number = number;
            }
            plug.map_or(Ok(()), |_| Err(Crashed))
        })
    }

    fn state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn writes(&self) -> u32 {
        self.state(|state| state.writes)
    }

    fn pull_the_plug_at(&self, write: Option<(u32, bool)>) {
        self.state(|state| {
            state.writes = 0;
            state.plug = write;
        });
    }
}

/// What the learner writes.
pub trait Counted: Sized {
    /// After an installation, and after each crash.
    fn start(disk: Disk, key: &SecretKey) -> Result<Self, Crashed>;
    /// Seals a message, and hands it out.
    fn seal(&mut self, context: &Context, text: &[u8]) -> Result<Vec<u8>, Crashed>;
    /// How many messages it counts, those before its start included.
    fn sealed(&self) -> u64;
}

fn key() -> SecretKey {
    SecretKey::from_bytes(&mut [7; 32])
}

/// Seals up to so many, until the power is off. How many were handed out.
fn run<C: Counted>(disk: &Disk, messages: u32) -> u64 {
    let Ok(mut sealer) = C::start(disk.clone(), &key()) else { return 0 };
    let context = Context::new("letter");
    let sealed = (0..messages).map(|_| sealer.seal(&context, b"hello"));
    sealed.take_while(Result::is_ok).count() as u64
}

/// What a program counts that starts now.
fn counted<C: Counted>(disk: &Disk) -> Result<u64, String> {
    disk.pull_the_plug_at(None);
    let started = C::start(disk.clone(), &key()).map_err(|_| "it doesn't start")?;
    Ok(started.sealed())
}

/// The trial.
pub async fn check<C: Counted + 'static>(trial: &mut Trial) {
    trial
        .honest("3,000 messages are sealed, with at most 60 writes", async {
            let disk = Disk::default();
            match (run::<C>(&disk, 3000), disk.writes()) {
                (3000, 0..=60) => Ok(()),
                (3000, writes) => Err(format!("expected at most 60 writes, got {writes}")),
                (sealed, _) => Err(format!("expected 3000 messages, got {sealed}")),
            }
        })
        .await;
    trial
        .honest("after a restart at most 1,000 numbers are lost", async {
            let disk = Disk::default();
            let sealed = run::<C>(&disk, 250) + run::<C>(&disk, 250);
            match counted::<C>(&disk)? {
                counted if counted <= sealed + 3000 => Ok(()),
                counted => {
                    Err(format!("{sealed} were sealed in two runs, and the third counts {counted}"))
                }
            }
        })
        .await;
    trial
        .attack(
            "the plug is pulled at each write in turn, before it is done",
            "What has been handed out when that write begins?",
            async { pulled::<C>(false) },
        )
        .await;
    trial
        .attack(
            "the plug is pulled at each write in turn, after it is done",
            "What is on the disk, and what does the process know of it?",
            async { pulled::<C>(true) },
        )
        .await;
    trial
        .attack(
            "the process is killed between two writes, again and again",
            "How many messages lie between two writes?",
            async {
                let mut lives = vec![vec![1, 99, 150, 7, 1, 1, 350]];
                lives.extend([1, 7, 49, 99, 199, 499, 999].map(|messages| vec![messages; 12]));
                lives.iter().find_map(|lives| {
                    let (disk, mut sealed) = (Disk::default(), 0);
                    lives.iter().enumerate().find_map(|(ended, messages)| {
                        sealed += run::<C>(&disk, *messages);
                        let loot = too_few::<C>(&disk, sealed)?;
                        Some(format!("Killed after {:?} messages. {loot}", &lives[..=ended]))
                    })
                })
            },
        )
        .await;
}

fn pulled<C: Counted>(done: bool) -> Option<String> {
    (1..=20).find_map(|write| {
        let disk = Disk::default();
        disk.pull_the_plug_at(Some((write, done)));
        let mut sealed = run::<C>(&disk, 5000);
        let first = too_few::<C>(&disk, sealed);
        // And once more on the same disk.
        disk.pull_the_plug_at(Some((write, done)));
        sealed += run::<C>(&disk, 5000);
        let loot = first.or_else(|| too_few::<C>(&disk, sealed))?;
        Some(format!("At write {write}: {loot}"))
    })
}

fn too_few<C: Counted>(disk: &Disk, sealed: u64) -> Option<String> {
    match counted::<C>(disk) {
        Ok(counted) if counted >= sealed => None,
        Ok(counted) => Some(format!(
            "{sealed} messages were sealed, and it counts {counted} when it starts again."
        )),
        Err(error) => Some(error),
    }
}

#[cfg(test)]
mod proof {
    use super::*;

    #[test]
    fn the_solution_fails_nothing() {
        assert_eq!(trial::failures(async |trial| check::<solution::Yours>(trial).await), [""; 0]);
    }

    #[test]
    fn the_naive_answer_is_right_and_too_slow() {
        let failed = trial::failures(async |trial| check::<naive::Yours>(trial).await);
        assert_eq!(failed, ["3,000 messages are sealed, with at most 60 writes"]);
    }

    #[test]
    fn the_stub_loses_count_at_a_crash_and_nothing_else() {
        let failed = trial::failures(async |trial| check::<stub::Yours>(trial).await);
        assert_eq!(
            failed,
            [
                "the plug is pulled at each write in turn, before it is done",
                "the process is killed between two writes, again and again",
            ]
        );
    }
}
