//! Clients that send an order again: later, at the same moment, after a restart, and under somebody else's id. And a disk
//! whose power goes off at each of its writes in turn.

use std::fmt;
use std::io;
use std::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::{Database, StorageBackend};
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
    /// Begins with this database, which is new or was the bank's before.
    fn open(database: Database) -> Result<Self, Error>;
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

/// What a database stands on. Clones are the same disk.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    /// What was written.
    written: Vec<u8>,
    /// What was written and synced: what is left without power.
    synced: Vec<u8>,
    operations: u32,
    /// After so many, nothing works any more.
    power: Option<u32>,
    /// What a sync takes.
    pause: Duration,
}

impl Disk {
    fn with(content: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State {
            written: content.clone(),
            synced: content,
            ..State::default()
        })))
    }

    fn slow() -> Self {
        let disk = Self::default();
        disk.state().pause = Duration::from_millis(1);
        disk
    }

    fn bank<P: Payments>(&self) -> Result<P, String> {
        let database = Database::builder().create_with_backend(self.clone()).map_err(text)?;
        P::open(database).map_err(text)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power goes off after so many more operations.
    fn lose_power_after(&self, more: u32) {
        let mut state = self.state();
        state.power = Some(state.operations + more);
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.state();
        if state.power.is_some_and(|power| state.operations >= power) {
            return Err(io::Error::other("the power is off"));
        }
        state.operations += 1;
        change(&mut state);
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = from.checked_add(out.len()).and_then(|to| state.written.get(from..to));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.change(|state| state.written.resize(len, 0))
    }

    fn sync_data(&self) -> io::Result<()> {
        std::thread::sleep(self.state().pause);
        self.change(|state| state.synced.clone_from(&state.written))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let end = from.checked_add(data.len()).filter(|end| *end <= self.state().written.len());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.change(|state| state.written[from..end].copy_from_slice(data))
    }
}

/// Works with a new bank.
fn on_a_disk<P: Payments, T>(work: impl FnOnce(P) -> Result<T, String>) -> Result<T, String> {
    work(Disk::default().bank()?)
}

/// An order is paid, and the power goes off at each operation of the disk in turn. Then the bank starts again, and the client
/// sends its order again, until it has a receipt.
fn without_power<P: Payments>() -> Result<Option<String>, String> {
    let before = Disk::default();
    let bank: P = before.bank()?;
    bank.pay_once("alice", "before", &order("carol", 1)).map_err(text)?;
    drop(bank);
    let before = before.state().written.clone();
    for operation in 0..10_000 {
        let disk = Disk::with(before.clone());
        let bank: P = disk.bank()?;
        disk.lose_power_after(operation);
        let paid = bank.pay_once("alice", "a", &order("bob", 5)).is_ok();
        // If it is paid already, the power goes off now.
        disk.lose_power_after(0);
        drop(bank);
        let State { written, synced, .. } = disk.state().clone();
        for (how, left) in [("the process is killed", written), ("the power goes off", synced)] {
            let bank: P = Disk::with(left).bank()?;
            for _ in 0..2 {
                bank.pay_once("alice", "a", &order("bob", 5)).map_err(text)?;
            }
            let coins = bank.balance("bob").map_err(text)?;
            if coins != 5 {
                return Ok(Some(format!(
                    "When {how} at operation {operation} of the disk, Bob has {coins} coins of one order for 5."
                )));
            }
        }
        if paid {
            return Ok(None);
        }
    }
    Err("an order is not paid after 10,000 operations of the disk".to_owned())
}

/// What people put between two names. All of it may stand in a name.
fn separators() -> impl Iterator<Item = String> {
    let ascii = (b' '..=0x7f).chain(0..b' ').filter(|byte| !byte.is_ascii_alphanumeric());
    let longer = ["||", "::", "--", "__", ", ", "->", "\u{a7}"].map(str::to_owned);
    let one = ascii.map(|byte| char::from(byte).to_string());
    [String::new()].into_iter().chain(one).chain(longer)
}

/// Users and ids that are the same with a separator between them. One that makes them one, and how many orders were
/// carried out.
fn glued<P: Payments>() -> Result<Option<String>, String> {
    let bank: P = Disk::default().bank()?;
    for separator in separators() {
        let (user, id) = (format!("al{separator}ice"), format!("ice{separator}1"));
        let payee = format!("bob {separator}");
        for (user, id) in [(&*user, "1"), ("al", &*id), ("1", &*user), (&*id, "al")] {
            let _ = bank.pay_once(user, id, &order(&payee, 1));
        }
        let coins = bank.balance(&payee).map_err(text)?;
        if coins != 4 {
            let names = format!("With \"{}\" in the names", separator.escape_debug());
            return Ok(Some(format!("{names}, only {coins} of four orders were carried out.")));
        }
    }
    Ok(None)
}

fn said(found: Result<Option<String>, String>) -> Option<String> {
    found.unwrap_or_else(Some)
}

/// The trial.
pub async fn check<P: Payments>(trial: &mut Trial) {
    trial
        .honest("three orders with three ids", async {
            on_a_disk(|bank: P| {
                for (id, coins) in [("a", 5), ("b", 5), ("c", 7)] {
                    bank.pay_once("alice", id, &order("bob", coins)).map_err(text)?;
                }
                expect("Bob's coins", 17, bank.balance("bob").map_err(text)?)
            })
        })
        .await;
    trial
        .honest("an order that comes again gets the same receipt", async {
            on_a_disk(|bank: P| {
                let first = bank.pay_once("alice", "a", &order("bob", 5)).map_err(text)?;
                let second = bank.pay_once("alice", "a", &order("bob", 5)).map_err(text)?;
                expect("the receipt", first, second)?;
                expect("Bob's coins", 5, bank.balance("bob").map_err(text)?)
            })
        })
        .await;
    trial
        .attack("an order that comes again after a restart", "Where do you remember it?", async {
            let disk = Disk::default();
            let paid = (0..3).try_fold((), |(), _| {
                let bank: P = disk.bank()?;
                bank.pay_once("alice", "a", &order("bob", 5)).map(drop).map_err(text)
            });
            not_five(paid.and_then(|()| disk.bank::<P>()?.balance("bob").map_err(text)))
        })
        .await;
    trial
        .attack(
            "eight copies of one order at the same moment",
            "What lies between looking and noting?",
            async {
                // Which of them comes first is luck, so they come twenty times, each time with another order.
                let bank = match Disk::slow().bank::<P>() {
                    Ok(bank) => Arc::new(bank),
                    Err(error) => return Some(error),
                };
                let mut rounds = (0..20).map(|round| eight_at_once(&bank, round));
                not_five(rounds.find(|coins| *coins != Ok(5)).unwrap_or(Ok(5)))
            },
        )
        .await;
    trial
        .attack(
            "the power goes off, at each write in turn",
            "What is on the disk between two of your lines?",
            async { said(without_power::<P>()) },
        )
        .await;
    trial
        .attack("Mallory sends Alice's id", "Whose id is it?", async {
            let receipts = on_a_disk(|bank: P| {
                let alices = bank.pay_once("alice", "a", &order("bob", 5)).map_err(text)?;
                let mallorys = bank.pay_once("mallory", "a", &order("mallory", 1)).map_err(text)?;
                expect("Mallory's coins", 1, bank.balance("mallory").map_err(text)?)?;
                Ok((alices, mallorys))
            });
            match receipts {
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
            async { said(glued::<P>()) },
        )
        .await;
    trial
        .attack("the same id with another order", "What did Alice want?", async {
            let second = on_a_disk(|bank: P| {
                bank.pay_once("alice", "a", &order("bob", 5)).map_err(text)?;
                bank.pay_once("alice", "b", &order("carol1", 5)).map_err(text)?;
                let others = [
                    ("a", order("mallory", 5)),
                    ("a", order("bob", 50)),
                    ("b", order("carol", 15)),
                ];
                Ok(others.map(|(id, other)| bank.pay_once("alice", id, &other)))
            });
            match second {
                Ok([Err(Error::Conflict), Err(Error::Conflict), Err(Error::Conflict)]) => None,
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
    use redb::{ReadableDatabase, ReadableTable, TableDefinition};

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
                "the power goes off, at each write in turn",
                "Mallory sends Alice's id",
                "users and ids that are the same when they are glued together",
                "the same id with another order",
            ]
        );
    }

    /// Balances, and receipts by some key: two transactions, one after the other, behind one lock.
    struct TwoSteps(Mutex<Database>);

    const BALANCES: TableDefinition<&str, u64> = TableDefinition::new("balances");
    const PAID: TableDefinition<(&str, &str), &str> = TableDefinition::new("paid");

    impl Payments for TwoSteps {
        fn open(database: Database) -> Result<Self, Error> {
            let write = database.begin_write()?;
            write.open_table(BALANCES)?;
            write.open_table(PAID)?;
            write.commit()?;
            Ok(Self(Mutex::new(database)))
        }

        fn pay_once(&self, user: &str, id: &str, order: &Order) -> Result<String, Error> {
            let database = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let receipt = format!("{user} paid {} to {}", order.coins, order.payee);
            if let Some(known) = database.begin_read()?.open_table(PAID)?.get((user, id))? {
                return match known.value() == receipt {
                    true => Ok(receipt),
                    false => Err(Error::Conflict),
                };
            }
            let write = database.begin_write()?;
            {
                let mut balances = write.open_table(BALANCES)?;
                let before = balances.get(&*order.payee)?.map_or(0, |coins| coins.value());
                balances.insert(&*order.payee, before + order.coins)?;
            }
            write.commit()?;
            let write = database.begin_write()?;
            write.open_table(PAID)?.insert((user, id), &*receipt)?;
            write.commit()?;
            Ok(receipt)
        }

        fn balance(&self, payee: &str) -> Result<u64, Error> {
            let database = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let balances = database.begin_read()?.open_table(BALANCES)?;
            Ok(balances.get(payee)?.map_or(0, |coins| coins.value()))
        }
    }

    #[test]
    fn a_lock_around_two_transactions_does_not_make_them_one() {
        let failed = trial::failures(async |trial| check::<TwoSteps>(trial).await);
        assert_eq!(failed, ["the power goes off, at each write in turn"]);
    }

    /// The solution, with user and id joined.
    struct Joined(solution::Bank);

    impl Payments for Joined {
        fn open(database: Database) -> Result<Self, Error> {
            solution::Bank::open(database).map(Self)
        }

        fn pay_once(&self, user: &str, id: &str, order: &Order) -> Result<String, Error> {
            self.0.pay_once("", &format!("{id}\u{1f}{user}"), order)
        }

        fn balance(&self, payee: &str) -> Result<u64, Error> {
            self.0.balance(payee)
        }
    }

    #[test]
    fn each_separator_can_be_in_a_name() {
        let failed = trial::failures(async |trial| check::<Joined>(trial).await);
        assert_eq!(failed, ["users and ids that are the same when they are glued together"]);
    }

    #[test]
    fn the_stub_also_forgets_at_a_restart() {
        let failed = trial::failures(async |trial| check::<stub::Bank>(trial).await);
        assert!(failed.contains(&"an order that comes again after a restart"), "{failed:?}");
        assert!(failed.contains(&"Mallory sends Alice's id"), "{failed:?}");
    }
}
