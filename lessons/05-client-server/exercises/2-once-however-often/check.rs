//! Clients that send an order again: later, at the same moment, after a restart, and under somebody else's id.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Barrier};

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

/// What a user wants to be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// To whom.
    pub payee: String,
    /// How much.
    pub coins: u64,
}

/// Why there is no receipt.
#[derive(Debug)]
pub enum Error {
    /// This user has used this id for another order.
    Conflict,
    /// The database says no.
    Database(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("a conflict"),
            Self::Database(error) => write!(f, "the database says {error}"),
        }
    }
}

/// What the learner writes.
pub trait Payments: Sized + Send + Sync + 'static {
    /// Opens the database, or makes it.
    fn open(path: &Path) -> Result<Self, Error>;
    /// Pays an order, once for each user and id. The receipt.
    fn pay_once(&self, user: &str, id: &str, order: &Order) -> Result<String, Error>;
    /// How many coins were paid to somebody.
    fn balance(&self, payee: &str) -> Result<u64, Error>;
}

fn order(payee: &str, coins: u64) -> Order {
    Order { payee: payee.to_owned(), coins }
}

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}

fn expect<T: PartialEq + fmt::Debug>(what: &str, expected: T, got: T) -> Result<(), String> {
    match expected == got {
        true => Ok(()),
        false => Err(format!("{what}: expected {expected:?}, got {got:?}")),
    }
}

/// Runs in a folder of its own, off the async threads.
async fn in_a_folder<T: Send + 'static>(
    work: impl FnOnce(&Path) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let folder = tempfile::tempdir().map_err(text)?;
    work(&folder.path().join("bank.redb"))
}

/// The trial.
pub async fn check<P: Payments>(trial: &mut Trial) {
    trial
        .honest(
            "three orders with three ids",
            in_a_folder(|path| {
                let bank = P::open(path).map_err(text)?;
                for (id, coins) in [("a", 5), ("b", 5), ("c", 7)] {
                    bank.pay_once("alice", id, &order("bob", coins)).map_err(text)?;
                }
                expect("Bob's coins", 17, bank.balance("bob").map_err(text)?)
            }),
        )
        .await;
    trial
        .honest(
            "an order that comes again gets the same receipt",
            in_a_folder(|path| {
                let bank = P::open(path).map_err(text)?;
                let first = bank.pay_once("alice", "a", &order("bob", 5)).map_err(text)?;
                let second = bank.pay_once("alice", "a", &order("bob", 5)).map_err(text)?;
                expect("the receipt", first, second)?;
                expect("Bob's coins", 5, bank.balance("bob").map_err(text)?)
            }),
        )
        .await;
    trial
        .attack("an order that comes again after a restart", "Where do you remember it?", async {
            let coins = in_a_folder(|path| {
                for _ in 0..3 {
                    let bank = P::open(path).map_err(text)?;
                    bank.pay_once("alice", "a", &order("bob", 5)).map_err(text)?;
                }
                P::open(path).map_err(text)?.balance("bob").map_err(text)
            });
            not_five(coins.await)
        })
        .await;
    trial
        .attack(
            "eight copies of one order at the same moment",
            "What lies between looking and noting?",
            async {
                // Which of them comes first is luck, so they come twenty times, each time with another order.
                let coins = in_a_folder(|path| {
                    let bank = Arc::new(P::open(path).map_err(text)?);
                    let mut rounds = (0..20).map(|round| eight_at_once(&bank, round));
                    rounds.find(|coins| *coins != Ok(5)).unwrap_or(Ok(5))
                });
                not_five(coins.await)
            },
        )
        .await;
    trial
        .attack("Mallory sends Alice's id", "Whose id is it?", async {
            let receipts = in_a_folder(|path| {
                let bank = P::open(path).map_err(text)?;
                let alices = bank.pay_once("alice", "a", &order("bob", 5)).map_err(text)?;
                let mallorys = bank.pay_once("mallory", "a", &order("mallory", 1)).map_err(text)?;
                expect("Mallory's coins", 1, bank.balance("mallory").map_err(text)?)?;
                Ok((alices, mallorys))
            });
            match receipts.await {
                Ok((alices, mallorys)) if alices == mallorys => {
                    Some(format!("She reads \"{alices}\"."))
                }
                Ok(_) => None,
                Err(said) => Some(format!("Her own order isn't carried out. {said}")),
            }
        })
        .await;
    trial
        .attack(
            "users and ids that are the same when they are glued together",
            "Where does a name end?",
            async {
                let coins = in_a_folder(|path| {
                    let bank = P::open(path).map_err(text)?;
                    for (user, id) in [
                        ("al", "ice-1"),
                        ("alice", "-1"),
                        ("alice-", "1"),
                        ("al/ice", "1"),
                        ("al", "ice/1"),
                    ] {
                        bank.pay_once(user, id, &order("bob", 1)).map_err(text)?;
                    }
                    bank.balance("bob").map_err(text)
                });
                match coins.await {
                    Ok(5) => None,
                    Ok(coins) => Some(format!("Of five orders, {coins} were carried out.")),
                    Err(said) => Some(said),
                }
            },
        )
        .await;
    trial
        .attack("the same id with another order", "What did Alice want?", async {
            let second = in_a_folder(|path| {
                let bank = P::open(path).map_err(text)?;
                bank.pay_once("alice", "a", &order("bob", 5)).map_err(text)?;
                let others = [order("mallory", 5), order("bob", 50)];
                Ok(others.map(|other| bank.pay_once("alice", "a", &other)))
            });
            match second.await {
                Ok([Err(Error::Conflict), Err(Error::Conflict)]) => None,
                Ok(_) => Some(
                    "She gets the receipt of the first, and believes that the second was paid."
                        .to_owned(),
                ),
                Err(said) => Some(said),
            }
        })
        .await;
}

/// Eight copies of one order for five coins, at the same moment. What was paid.
fn eight_at_once<P: Payments>(bank: &Arc<P>, round: u32) -> Result<u64, String> {
    let (id, payee) = (format!("id-{round}"), format!("payee-{round}"));
    let gate = Arc::new(Barrier::new(8));
    let copy = || {
        let (bank, gate) = (bank.clone(), gate.clone());
        let (id, order) = (id.clone(), order(&payee, 5));
        std::thread::spawn(move || {
            gate.wait();
            bank.pay_once("alice", &id, &order).map(drop)
        })
    };
    let copies: Vec<_> = (0..8).map(|_| copy()).collect();
    for copy in copies {
        copy.join().map_err(|_| "it panicked")?.map_err(text)?;
    }
    bank.balance(&payee).map_err(text)
}

fn not_five(coins: Result<u64, String>) -> Option<String> {
    match coins {
        Ok(5) => None,
        Ok(coins) => Some(format!("Bob has {coins} coins of one order for 5.")),
        Err(said) => Some(said),
    }
}

#[cfg(test)]
mod proof {
    use super::*;

    #[test]
    fn the_solution_fails_nothing() {
        assert_eq!(trial::failures(async |trial| check::<solution::Bank>(trial).await), [""; 0]);
    }

    #[test]
    fn the_naive_answer_looks_and_notes_in_two_steps_and_forgets_whose_id_it_is() {
        let failed = trial::failures(async |trial| check::<naive::Bank>(trial).await);
        assert_eq!(
            failed,
            [
                "eight copies of one order at the same moment",
                "Mallory sends Alice's id",
                "users and ids that are the same when they are glued together",
                "the same id with another order",
            ]
        );
    }

    #[test]
    fn the_stub_also_forgets_at_a_restart() {
        let failed = trial::failures(async |trial| check::<stub::Bank>(trial).await);
        assert!(failed.contains(&"an order that comes again after a restart"), "{failed:?}");
        assert!(failed.contains(&"Mallory sends Alice's id"), "{failed:?}");
    }
}
