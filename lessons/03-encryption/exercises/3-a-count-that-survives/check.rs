//! A disk that loses its power at each of its writes in turn.

use std::mem::ManuallyDrop;
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

/// The power of the disk is off, and that of the process soon will be.
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

/// Seals up to so many, until the power is off, and is killed. How many were handed out.
fn run<C: Counted>(disk: &Disk, messages: u32) -> u64 {
    let Ok(sealer) = C::start(disk.clone(), &key()) else { return 0 };
    // A process that is killed drops nothing.
    let mut sealer = ManuallyDrop::new(sealer);
    let context = Context::new("letter");
    let (mut sealed, mut refused) = (0, 0);
    // Who is refused may ask again, before the process ends.
    while sealed < u64::from(messages) && refused < 3 {
        match sealer.seal(&context, b"hello") {
            Ok(_) => sealed += 1,
            Err(Crashed) => refused += 1,
        }
    }
    sealed
}

/// What a program counts that starts now.
fn counted<C: Counted>(disk: &Disk) -> Result<u64, String> {
    disk.pull_the_plug_at(None);
    let started = C::start(disk.clone(), &key()).map_err(|_| "it doesn't start")?;
    Ok(ManuallyDrop::new(started).sealed())
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
    use careful_encryption::sealing::{KeyId, Sealer};

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

    /// The count is stored at the end, and a start skips what may be missing.
    struct AtTheEnd {
        disk: Disk,
        sealer: Sealer,
    }

    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            let _ = self.disk.write(self.sealer.sealed());
        }
    }

    impl Counted for AtTheEnd {
        fn start(disk: Disk, key: &SecretKey) -> Result<Self, Crashed> {
            let sealer = Sealer::resume(KeyId(*b"key-2026"), key, disk.read() + 1000);
            Ok(Self { disk, sealer })
        }

        fn seal(&mut self, context: &Context, text: &[u8]) -> Result<Vec<u8>, Crashed> {
            let message = self.sealer.seal(context, text).map_err(|_| Crashed)?;
            if self.sealer.sealed().is_multiple_of(100) {
                self.disk.write(self.sealer.sealed())?;
            }
            Ok(message)
        }

        fn sealed(&self) -> u64 {
            self.sealer.sealed()
        }
    }

    #[test]
    fn what_a_start_skips_it_has_to_write_down() {
        let failed = trial::failures(async |trial| check::<AtTheEnd>(trial).await);
        assert_eq!(failed, ["the process is killed between two writes, again and again"]);
    }

    /// Reserves in memory first, and on the disk then.
    struct MemoryFirst {
        disk: Disk,
        sealer: Sealer,
        reserved: u64,
    }

    impl Counted for MemoryFirst {
        fn start(disk: Disk, key: &SecretKey) -> Result<Self, Crashed> {
            let reserved = disk.read();
            let sealer = Sealer::resume(KeyId(*b"key-2026"), key, reserved);
            Ok(Self { disk, sealer, reserved })
        }

        fn seal(&mut self, context: &Context, text: &[u8]) -> Result<Vec<u8>, Crashed> {
            if self.sealer.sealed() >= self.reserved {
                self.reserved += 500;
                self.disk.write(self.reserved)?;
            }
            self.sealer.seal(context, text).map_err(|_| Crashed)
        }

        fn sealed(&self) -> u64 {
            self.sealer.sealed()
        }
    }

    #[test]
    fn who_goes_on_after_a_write_that_failed_uses_what_is_not_reserved() {
        let failed = trial::failures(async |trial| check::<MemoryFirst>(trial).await);
        assert_eq!(
            failed,
            [
                "the plug is pulled at each write in turn, before it is done",
                "the plug is pulled at each write in turn, after it is done",
            ]
        );
    }

    #[test]
    fn the_stub_loses_count_at_a_crash_and_nothing_else() {
        let failed = trial::failures(async |trial| check::<stub::Yours>(trial).await);
        assert_eq!(
            failed,
            [
                "the plug is pulled at each write in turn, before it is done",
                "the plug is pulled at each write in turn, after it is done",
                "the process is killed between two writes, again and again",
            ]
        );
    }
}
