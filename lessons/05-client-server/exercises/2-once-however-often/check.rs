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
    /// Something came after that.
    refused: bool,
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

    /// Something was refused, because the power was off.
    fn is_off(&self) -> bool {
        self.state().refused
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.state();
        if state.power.is_some_and(|power| state.operations >= power) {
            state.refused = true;
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
        let cut = disk.is_off();
        // If it is paid already, the power goes off now.
        disk.lose_power_after(0);
        drop(bank);
        let State { written, synced, .. } = disk.state().clone();
        for (how, left) in [("the process is killed", written), ("the power goes off", synced)] {
            let bank: P = Disk::with(left).bank()?;
            // A receipt was given, so the payment is there, before the client asks again.
            if paid && bank.balance("bob").map_err(text)? != 5 {
                return Ok(Some(format!(
                    "Alice has a receipt. When {how} at operation {operation} of the disk, Bob has nothing."
                )));
            }
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
        // The power was on to the end.
        if paid && !cut {
            return Ok(None);
        }
    }
    Err("an order is not paid after 10,000 operations of the disk".to_owned())
}

/// What people put between two names. All of it may stand in a name.
fn separators() -> impl Iterator<Item = String> {
    let ascii = (b' '..=0x7f).chain(0..b' ').filter(|byte| !byte.is_ascii_alphanumeric());
    let longer = ["||", "::", "--", "__", ", ", "->", "\0\0", "<sep>", "\u{a7}"].map(str::to_owned);
    let one = ascii.map(|byte| char::from(byte).to_string());
    [String::new()].into_iter().chain(one).chain(longer)
}

/// What the learner's own code puts between a user and an id on the disk, if that is text.
fn between_names<P: Payments>() -> Result<Option<String>, String> {
    const USER: &[u8] = b"user-4711-user";
    const ID: &[u8] = b"id-4712-id";
    let disk = Disk::default();
    let bank: P = disk.bank()?;
    bank.pay_once("user-4711-user", "id-4712-id", &order("bob", 1)).map_err(text)?;
    drop(bank);
    let written = disk.state().written.clone();
    let found = |name: &[u8]| -> Vec<(usize, usize)> {
        let at = written.windows(name.len()).enumerate().filter(|(_, part)| *part == name);
        at.map(|(from, _)| (from, from + name.len())).collect()
    };
    let (users, ids) = (found(USER), found(ID));
    let both = |one: &[(usize, usize)], other: &[(usize, usize)]| {
        let gaps = one.iter().flat_map(|one| other.iter().map(|other| (one.1, other.0)));
        gaps.filter(|(from, to)| from <= to && to - from < 64).min_by_key(|(from, to)| to - from)
    };
    let gap = both(&users, &ids).or_else(|| both(&ids, &users));
    Ok(gap.and_then(|(from, to)| String::from_utf8(written[from..to].to_vec()).ok()))
}

/// Two of user and id that are different, and easily mistaken for each other.
fn lookalikes() -> Vec<[(String, String); 2]> {
    let owned = |(user, id): (&str, &str)| (user.to_owned(), id.to_owned());
    let mut pairs: Vec<_> = [
        [("alice", "1"), ("Alice", "1")],
        [("alice", "a"), ("alice", "A")],
        [("alice", "1"), ("alice ", "1")],
        [("alice", "1"), ("alice", " 1")],
        [("", "alice"), ("alice", "")],
        [("1", "alice"), ("alice", "1")],
        [("alice", "1"), ("alice", "01")],
        // Lengths in text, without an end.
        [("1", "bbbbbbbbb1a"), ("11bbbbbbbbb", "a")],
        [("bbbbbbbbb1a", "1"), ("a", "11bbbbbbbbb")],
    ]
    .iter()
    .map(|pair| pair.map(owned))
    .collect();
    // Lengths in one byte, and in two.
    for (long, short) in [(1 << 8, usize::from(b'a')), (1 << 16, usize::from(b'a') * 257)] {
        let (long, short) = ("a".repeat(long), "x".repeat(short));
        let both = format!("{long}{short}");
        pairs.push([(long.clone(), short.clone()), (String::new(), both.clone())]);
        pairs.push([(short, long), (both, String::new())]);
    }
    pairs
}

/// Users and ids that are the same with a separator between them, or otherwise look the same. How many orders were
/// carried out.
fn glued<P: Payments>() -> Result<Option<String>, String> {
    let own = between_names::<P>()?;
    let bank: P = Disk::default().bank()?;
    for separator in separators().chain(own) {
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
    for (number, pair) in lookalikes().iter().enumerate() {
        // A new bank, because the names come again.
        let bank: P = Disk::default().bank()?;
        for (user, id) in pair.iter().chain(pair) {
            let _ = bank.pay_once(user, id, &order("bob", 1));
        }
        let coins = bank.balance("bob").map_err(text)?;
        if coins != 2 {
            let [one, other] = pair.each_ref().map(|(user, id)| {
                let short = |name: &str| name.chars().take(20).collect::<String>();
                format!("{:?} with {:?}", short(user), short(id))
            });
            let pair = format!("pair {}, {one} and {other}", number + 1);
            return Ok(Some(format!("Of {pair}: Bob has {coins} coins of two orders for 1.")));
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
                expect("Bob's coins", 17, bank.balance("bob").map_err(text)?)?;
                bank.pay_once("alice", "d", &order("carol", 1_000_000)).map_err(text)?;
                expect("Carol's coins", 1_000_000, bank.balance("carol").map_err(text)?)
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
            "eight different orders at the same moment",
            "Who changes the balance between reading and writing it?",
            async {
                let bank = match Disk::slow().bank::<P>() {
                    Ok(bank) => Arc::new(bank),
                    Err(error) => return Some(error),
                };
                let mut rounds = (0..10).map(|round| eight_orders(&bank, round));
                match rounds.find(|coins| *coins != Ok(40)).unwrap_or(Ok(40)) {
                    Ok(40) => None,
                    Ok(coins) => {
                        Some(format!("Eight orders for 5 coins each, and Bob has {coins}."))
                    }
                    Err(said) => Some(said),
                }
            },
        )
        .await;
    trial
        .attack(
            "the process is killed or the power goes off, at each write in turn",
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
                let first = bank.pay_once("alice", "a", &order("bob", 5)).map_err(text)?;
                bank.pay_once("alice", "b", &order("carol1", 5)).map_err(text)?;
                let others = [
                    ("a", order("mallory", 5)),
                    ("a", order("bob", 50)),
                    ("b", order("carol", 15)),
                ];
                let said = others.map(|(id, other)| bank.pay_once("alice", id, &other));
                for (payee, coins) in [("bob", 5), ("carol1", 5), ("mallory", 0), ("carol", 0)] {
                    let what = format!("A conflict changes nothing, but {payee}'s coins");
                    expect(&what, coins, bank.balance(payee).map_err(text)?)?;
                }
                let again = bank.pay_once("alice", "a", &order("bob", 5));
                match again {
                    Ok(receipt) if receipt == first => Ok(said),
                    other => Err(format!(
                        "Afterwards the first order gets {:?}, and not its receipt.",
                        other.map_err(text)
                    )),
                }
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
    at_once(bank, &format!("payee-{round}"), |_| format!("id-{round}"))
}

/// Eight orders for five coins each, at the same moment. What was paid.
fn eight_orders<P: Payments>(bank: &Arc<P>, round: u32) -> Result<u64, String> {
    at_once(bank, &format!("payee-{round}"), |number| format!("id-{round}-{number}"))
}

fn at_once<P: Payments>(
    bank: &Arc<P>,
    payee: &str,
    id: impl Fn(u32) -> String,
) -> Result<u64, String> {
    let gate = Arc::new(Barrier::new(8));
    let copy = |number| {
        let (bank, gate) = (bank.clone(), gate.clone());
        let (id, order) = (id(number), order(payee, 5));
        std::thread::spawn(move || {
            gate.wait();
            bank.pay_once("alice", &id, &order).map(drop)
        })
    };
    let copies: Vec<_> = (0..8).map(copy).collect();
    for copy in copies {
        copy.join().map_err(|_| "it panicked")?.map_err(text)?;
    }
    bank.balance(payee).map_err(text)
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
                "the process is killed or the power goes off, at each write in turn",
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
        assert_eq!(failed, ["the process is killed or the power goes off, at each write in turn"]);
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

    /// The solution's tables, and one mistake.
    struct Wrong<const MISTAKE: u8>(Database);

    const NOT_DURABLE: u8 = 1;
    const COMMIT_IGNORED: u8 = 2;
    const BALANCE_READ_BEFORE: u8 = 3;
    const CONFLICT_PAYS: u8 = 4;
    const LOWER_CASE: u8 = 5;
    const RARE_SEPARATOR: u8 = 6;
    const ONE_BYTE: u8 = 7;
    const EMPTY_ID_FORGOTTEN: u8 = 8;

    const BY_TEXT: TableDefinition<&[u8], &str> = TableDefinition::new("by-text");

    impl<const MISTAKE: u8> Payments for Wrong<MISTAKE> {
        fn open(database: Database) -> Result<Self, Error> {
            let write = database.begin_write()?;
            write.open_table(BALANCES)?;
            write.open_table(BY_TEXT)?;
            write.commit()?;
            Ok(Self(database))
        }

        fn pay_once(&self, user: &str, id: &str, order: &Order) -> Result<String, Error> {
            let earlier = self.balance(&order.payee)?;
            let mut write = self.0.begin_write()?;
            if MISTAKE == NOT_DURABLE {
                write.set_durability(redb::Durability::None)?;
            }
            let receipt = format!("{user:?} paid {} to {:?}", order.coins, order.payee);
            let mut key = Vec::new();
            match MISTAKE {
                RARE_SEPARATOR => key.extend_from_slice(format!("{user}<~#~>{id}").as_bytes()),
                LOWER_CASE => {
                    key.extend_from_slice(format!("{user:?}{id:?}").to_lowercase().as_bytes());
                }
                ONE_BYTE => {
                    for name in [user, id] {
                        key.push(name.len() as u8);
                        key.extend_from_slice(name.as_bytes());
                    }
                }
                _ => key.extend_from_slice(format!("{user:?}{id:?}").as_bytes()),
            }
            {
                let (mut paid, mut balances) =
                    (write.open_table(BY_TEXT)?, write.open_table(BALANCES)?);
                let known = paid.get(&*key)?.map(|known| known.value().to_owned());
                let conflict = match known {
                    Some(known) if known == receipt => return Ok(receipt),
                    Some(_) if MISTAKE != CONFLICT_PAYS => return Err(Error::Conflict),
                    known => known.is_some(),
                };
                let before = balances.get(&*order.payee)?.map_or(0, |coins| coins.value());
                let before = if MISTAKE == BALANCE_READ_BEFORE { earlier } else { before };
                balances.insert(&*order.payee, before + order.coins)?;
                if !(conflict || MISTAKE == EMPTY_ID_FORGOTTEN && id.is_empty()) {
                    paid.insert(&*key, &*receipt)?;
                }
                if conflict {
                    drop((paid, balances));
                    write.commit()?;
                    return Err(Error::Conflict);
                }
            }
            match write.commit() {
                Err(_ignored) if MISTAKE == COMMIT_IGNORED => {}
                committed => committed?,
            }
            Ok(receipt)
        }

        fn balance(&self, payee: &str) -> Result<u64, Error> {
            let balances = self.0.begin_read()?.open_table(BALANCES)?;
            Ok(balances.get(payee)?.map_or(0, |coins| coins.value()))
        }
    }

    #[test]
    fn what_only_looks_like_once_is_noticed() {
        const POWER: &str = "the process is killed or the power goes off, at each write in turn";
        const GLUED: &str = "users and ids that are the same when they are glued together";
        fn fails_exactly<P: Payments>(expected: &[&str]) {
            let failed = trial::failures(async |trial| check::<P>(trial).await);
            assert_eq!(failed, expected, "{}", std::any::type_name::<P>());
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                fails_exactly::<Wrong<0>>(&[]);
                fails_exactly::<Wrong<NOT_DURABLE>>(&[POWER]);
                fails_exactly::<Wrong<COMMIT_IGNORED>>(&[POWER]);
                fails_exactly::<Wrong<CONFLICT_PAYS>>(&["the same id with another order"]);
            });
            scope.spawn(|| {
                let at_once = "eight different orders at the same moment";
                fails_exactly::<Wrong<BALANCE_READ_BEFORE>>(&[at_once]);
                fails_exactly::<Wrong<LOWER_CASE>>(&[GLUED]);
                fails_exactly::<Wrong<RARE_SEPARATOR>>(&[GLUED]);
                fails_exactly::<Wrong<ONE_BYTE>>(&[GLUED]);
                fails_exactly::<Wrong<EMPTY_ID_FORGOTTEN>>(&[GLUED]);
            });
        });
    }

    #[test]
    fn the_stub_also_forgets_at_a_restart() {
        let failed = trial::failures(async |trial| check::<stub::Bank>(trial).await);
        assert!(failed.contains(&"an order that comes again after a restart"), "{failed:?}");
        assert!(failed.contains(&"Mallory sends Alice's id"), "{failed:?}");
    }
}
