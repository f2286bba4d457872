//! A client's account: its own key, the pinned keys of others, and counts by which it notices what
//! the server does with its letters.
//!
//! The mistakes this prevents: a key that the server replaces; letters that are dropped, repeated
//! or shuffled without anybody noticing; a letter that is lost because its sender's program ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use careful_encryption::public_key::{KeyPair, PublicKey};
use careful_files::{FileError, ReplaceError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::client::{Client, ClientError};
use crate::protocol::{
    Bytes, Delivery, MAX_DELETE, MessageId, Name, Refusal, Request, Response, Secret,
};
use crate::sealed::{self, Letter, SealError, fingerprint};

/// Gaps in the numbers of one sender that are remembered, so that late letters are told from
/// repeated ones.
const MAX_GAPS: usize = 32;
/// Letters that wait to be sent.
const MAX_OUTBOX: usize = 100;
/// The largest file of an account, in bytes: a full outbox takes a tenth of it.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// Why something could not be done.
#[derive(Debug, Error)]
pub enum AccountError {
    /// The folder cannot be made.
    #[error("the account's folder cannot be made: {}", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    /// A file of the account cannot be read.
    #[error("the account's file cannot be read: {}", .0.display())]
    Read(PathBuf, #[source] FileError),
    /// A file of the account cannot be written.
    #[error("the account's file cannot be written: {}", .0.display())]
    Write(PathBuf, #[source] ReplaceError),
    /// A file holds something else.
    #[error("expected an account in this file, found something else: {}", .0.display())]
    Broken(PathBuf),
    /// There is an account already.
    #[error("there is an account already in {}", .0.display())]
    Exists(PathBuf),
    /// The server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A letter was not sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The key that the server gives is none.
    #[error("the server gives a key for {0} that is none")]
    BadKey(Name),
    /// The key that the server gives is not the one that is pinned.
    #[error(
        "THE KEY OF {name} HAS CHANGED, so nothing was sent to or read from {name}. Pinned: {pinned}. \
         Offered: {offered}. Ask {name}, but not by this mailbox, which is right. If it is the \
         offered one: mailbox trust {name}, and that fingerprint"
    )]
    KeyChanged {
        /// Whose.
        name: Name,
        /// The fingerprint of the pinned key.
        pinned: String,
        /// The fingerprint of the other one.
        offered: String,
    },
    /// The key that the server gives is not the one that was compared.
    #[error("the server gives another key for {name} than the one you compared: {offered}")]
    NotCompared {
        /// Whose.
        name: Name,
        /// The fingerprint of what the server gives.
        offered: String,
    },
    /// Too many letters wait to be sent.
    #[error("expected at most {MAX_OUTBOX} letters that wait to be sent")]
    OutboxFull,
    /// The system has no random bytes.
    #[error("the system gave no random bytes")]
    NoRandom,
}

/// Letters that are on the server's disk now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// How many.
    pub letters: usize,
    /// Of them, those that were there already: an answer had been lost.
    pub again: usize,
}

/// What was found in the mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A letter.
    Letter {
        /// Who wrote it: proved by the seal.
        from: Name,
        /// Its number among the letters of this sender.
        number: u64,
        /// Its text.
        text: String,
        /// It comes after a later one.
        late: bool,
    },
    /// So many letters of this sender are missing before the next one.
    Missing {
        /// Of whom.
        from: Name,
        /// How many.
        count: u64,
    },
    /// A letter that was read before. It is not shown again.
    Repeated {
        /// Of whom.
        from: Name,
        /// Which.
        number: u64,
    },
    /// A box that the sender did not seal for this account, under this id.
    NotAuthentic {
        /// Who is said to have sent it.
        from: Name,
    },
}

/// In one line. A letter is another one's text: what could steer a terminal is escaped.
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Letter { from, number, text, late } => {
                let text: String = text.chars().map(printable).collect();
                let late = if *late { ", late" } else { "" };
                write!(f, "letter {number} of {from}{late}: {text}")
            }
            Found::Missing { from, count: 1 } => {
                write!(f, "WARNING: a letter of {from} is missing before the next one")
            }
            Found::Missing { from, count } => {
                write!(f, "WARNING: {count} letters of {from} are missing before the next one")
            }
            Found::Repeated { from, number } => {
                write!(f, "letter {number} of {from} came again, and is not shown again")
            }
            Found::NotAuthentic { from } => {
                write!(f, "WARNING: a box that is said to come from {from}, and does not")
            }
        }
    }
}

fn printable(c: char) -> String {
    // Control characters, those that turn the direction of a text, and those that end a line.
    let turns = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    if c.is_control() || turns { c.escape_default().to_string() } else { c.to_string() }
}

/// A page of the mailbox.
pub struct Reading {
    /// What was found, in order.
    pub found: Vec<Found>,
    /// Why the reading stopped before the next letter, which stays where it is.
    pub stopped: Option<AccountError>,
    /// Whether there is another page.
    pub more: bool,
    /// To be deleted from the server.
    numbers: Vec<u64>,
    /// The last of them.
    read: u64,
    /// The counts of each sender when all this has been shown. Nothing else of the account is in
    /// here: what is sent or trusted in between stays.
    received: BTreeMap<Name, BTreeMap<String, Received>>,
}

/// The part that does not change.
#[derive(Serialize, Deserialize)]
struct Identity {
    name: Name,
    password: Secret,
    key: Bytes,
}

/// The part that does.
#[derive(Clone, Default, Serialize, Deserialize)]
struct State {
    /// The number in the mailbox up to which everything was read, of this run: a server that was
    /// restored from a backup counts from a smaller one, and what was not deleted is deleted then.
    #[serde(skip)]
    read: u64,
    peers: BTreeMap<Name, Peer>,
    outbox: Vec<Outgoing>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Peer {
    /// Pinned.
    key: Bytes,
    /// The number of the last letter to them. It only grows, whatever key they have.
    sent: u64,
    /// What came from them under each key that was ever pinned, by its hexadecimal digits: whoever
    /// has another key counts anew, and an earlier key does not make old letters new.
    received: BTreeMap<String, Received>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Received {
    /// The largest number of a letter.
    seen: u64,
    /// Smaller numbers that have not come: from the first to the last of each gap.
    missing: Vec<(u64, u64)>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Outgoing {
    to: Name,
    id: MessageId,
    sealed: Bytes,
}

/// An account in a folder.
pub struct Account {
    folder: PathBuf,
    identity: Identity,
    pair: KeyPair,
    state: State,
}

impl Account {
    /// Makes an account in this folder, with a fresh key. The server does not know it yet.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn create(folder: &Path, name: Name, password: Secret) -> Result<Self, AccountError> {
        if folder.join(IDENTITY).exists() {
            return Err(AccountError::Exists(folder.to_owned()));
        }
        careful_files::create_folder(folder)
            .map_err(|error| AccountError::Folder(folder.to_owned(), error))?;
        let pair = KeyPair::random();
        let identity = Identity { name, password, key: Bytes(pair.expose().to_vec()) };
        let json = serde_json::to_vec(&identity).unwrap_or_default();
        write(folder.join(IDENTITY), &json)?;
        Ok(Self { folder: folder.to_owned(), identity, pair, state: State::default() })
    }

    /// Loads it.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn load(folder: &Path) -> Result<Self, AccountError> {
        let identity: Identity = read(&folder.join(IDENTITY))?;
        let broken = |_| AccountError::Broken(folder.join(IDENTITY));
        let pair = KeyPair::from_bytes(&identity.key.0).map_err(broken)?;
        let state = match read(&folder.join(STATE)) {
            // It has not written one yet.
            Err(AccountError::Read(_, error)) if error.is_missing() => State::default(),
            state => state?,
        };
        Ok(Self { folder: folder.to_owned(), identity, pair, state })
    }

    /// Whose it is.
    pub fn name(&self) -> &Name {
        &self.identity.name
    }

    /// The password, for the server.
    pub fn password(&self) -> Secret {
        self.identity.password.clone()
    }

    /// What others compare.
    pub fn own_fingerprint(&self) -> String {
        fingerprint(self.name(), &self.pair.public())
    }

    /// Tells the server of it.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn register(&self, client: &mut Client) -> Result<(), AccountError> {
        let request = Request::Register {
            name: self.name().clone(),
            password: self.password(),
            key: Bytes(self.pair.public().to_bytes()),
        };
        match client.call(&request).await? {
            Response::Registered {} => Ok(()),
            _ => Err(ClientError::Unexpected("register").into()),
        }
    }

    // ANCHOR: send
    /// Seals a letter, keeps it until the server has it, and sends it. Those that waited go first.
    ///
    /// # Errors
    /// See [`AccountError`]. A letter that was sealed waits, and goes with the next
    /// [`send`](Self::send) or [`send_waiting`](Self::send_waiting).
    pub async fn send(
        &mut self,
        client: &mut Client,
        to: &Name,
        text: &str,
    ) -> Result<Sent, AccountError> {
        let key = self.key_of(client, to).await?;
        if self.state.outbox.len() >= MAX_OUTBOX {
            return Err(AccountError::OutboxFull);
        }
        let id = MessageId::random().ok_or(AccountError::NoRandom)?;
        let number = self.state.peers.get(to).map_or(0, |peer| peer.sent) + 1;
        let letter = Letter { number, text: text.to_owned() };
        let sender = (&self.identity.name, &self.pair);
        let sealed = Bytes(sealed::seal(sender, (to, &key), id, &letter)?);
        if let Some(peer) = self.state.peers.get_mut(to) {
            peer.sent = number;
        }
        // On the disk before it is sent: the same id and the same box, however often it is tried.
        self.state.outbox.push(Outgoing { to: to.clone(), id, sealed });
        self.save()?;
        let (sent, full) = self.send_all(client).await?;
        match full {
            Some(error) if self.state.outbox.iter().any(|waits| waits.id == id) => {
                Err(error.into())
            }
            // Others may wait for room. This one is there.
            _ => Ok(sent),
        }
    }
    // ANCHOR_END: send

    /// How many letters wait to be sent.
    pub fn waiting(&self) -> usize {
        self.state.outbox.len()
    }

    /// Sends the letters that wait.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn send_waiting(&mut self, client: &mut Client) -> Result<Sent, AccountError> {
        match self.send_all(client).await? {
            (sent, None) => Ok(sent),
            (_, Some(full)) => Err(full.into()),
        }
    }

    /// A full mailbox of one does not stand in the way of letters to another one.
    async fn send_all(
        &mut self,
        client: &mut Client,
    ) -> Result<(Sent, Option<ClientError>), AccountError> {
        let mut sent = Sent::default();
        let (mut at, mut full, mut refused) = (0, BTreeSet::new(), None);
        while let Some(next) = self.state.outbox.get(at).cloned() {
            let Outgoing { to, id, sealed } = next;
            if full.contains(&to) {
                at += 1;
                continue;
            }
            let request =
                |token| Request::Send { token, to: to.clone(), id, sealed: sealed.clone() };
            match client.call_with_token(request).await {
                Ok(Response::Stored { again }) => {
                    sent.letters += 1;
                    sent.again += usize::from(again);
                }
                Ok(_) => return Err(ClientError::Unexpected("send").into()),
                Err(error @ ClientError::Refused { because: Refusal::Full, .. }) => {
                    refused.get_or_insert(error);
                    full.insert(to);
                    at += 1;
                    continue;
                }
                Err(error) => {
                    // What will never be accepted does not stand in the way of the next one.
                    if is_final(&error) {
                        self.state.outbox.remove(at);
                        self.save()?;
                    }
                    return Err(error.into());
                }
            }
            self.state.outbox.remove(at);
            self.save()?;
        }
        Ok((sent, refused))
    }

    // ANCHOR: read
    /// Reads a page of what has come. Nothing is forgotten yet: show it, and then call
    /// [`finish`](Self::finish). If the program ends in between, it is shown again.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn read(&mut self, client: &mut Client) -> Result<Reading, AccountError> {
        let after = self.state.read;
        let request = |token| Request::Fetch { token, after };
        let Response::Messages { messages, more } = client.call_with_token(request).await? else {
            return Err(ClientError::Unexpected("fetch").into());
        };
        let mut reading = Reading {
            found: Vec::new(),
            stopped: None,
            more,
            numbers: Vec::new(),
            read: after,
            received: BTreeMap::new(),
        };
        for delivery in messages {
            // A server that answers with older ones is not followed.
            if delivery.number <= reading.read {
                continue;
            }
            if let Err(error) = self.open(client, &delivery, &mut reading).await {
                reading.stopped = Some(error);
                reading.more = false;
                break;
            }
            reading.read = delivery.number;
            reading.numbers.push(delivery.number);
        }
        // One that says "more" and gives nothing new is not asked for ever.
        reading.more &= !reading.numbers.is_empty();
        Ok(reading)
    }

    /// What was read has been shown: it is remembered, and deleted from the server.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn finish(
        &mut self,
        client: &mut Client,
        reading: Reading,
    ) -> Result<(), AccountError> {
        for (name, received) in reading.received {
            if let Some(peer) = self.state.peers.get_mut(&name) {
                peer.received = received;
            }
        }
        self.state.read = reading.read;
        self.save()?;
        for numbers in reading.numbers.chunks(MAX_DELETE) {
            let request = |token| Request::Delete { token, numbers: numbers.to_vec() };
            client.call_with_token(request).await?;
        }
        Ok(())
    }

    async fn open(
        &mut self,
        client: &mut Client,
        delivery: &Delivery,
        reading: &mut Reading,
    ) -> Result<(), AccountError> {
        let from = delivery.from.clone();
        let key = match self.key_of(client, &from).await {
            Ok(key) => key,
            // Nobody can have sealed it.
            Err(AccountError::Client(ClientError::Refused {
                because: Refusal::NoAccount, ..
            })) => {
                reading.found.push(Found::NotAuthentic { from });
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let own = (&self.identity.name, &self.pair);
        let opened = sealed::open(own, (&from, &key), delivery.id, &delivery.sealed.0);
        let Ok(Letter { number, text }) = opened else {
            reading.found.push(Found::NotAuthentic { from });
            return Ok(());
        };
        let known = self.state.peers.get(&from).map(|peer| peer.received.clone());
        let counts = reading.received.entry(from.clone()).or_insert(known.unwrap_or_default());
        // Under another key than before, another count.
        match counts.entry(hex(&key.to_bytes())).or_default().arrived(number) {
            Arrived::Next { missing } => {
                if missing > 0 {
                    let from = from.clone();
                    reading.found.push(Found::Missing { from, count: missing });
                }
                reading.found.push(Found::Letter { from, number, text, late: false });
            }
            Arrived::Late => {
                reading.found.push(Found::Letter { from, number, text, late: true });
            }
            Arrived::Again => reading.found.push(Found::Repeated { from, number }),
        }
        Ok(())
    }
    // ANCHOR_END: read

    // ANCHOR: key_of
    /// The key of another account: what the server says, pinned at its first use. Another one after
    /// that is refused.
    async fn key_of(
        &mut self,
        client: &mut Client,
        name: &Name,
    ) -> Result<PublicKey, AccountError> {
        let offered = offered_key(client, name).await?;
        match self.state.peers.get(name) {
            Some(peer) if peer.key.0 == offered.to_bytes() => Ok(offered),
            Some(peer) => {
                let pinned = PublicKey::from_bytes(&peer.key.0);
                let pinned = pinned.map_err(|_| AccountError::BadKey(name.clone()))?;
                Err(AccountError::KeyChanged {
                    name: name.clone(),
                    pinned: fingerprint(name, &pinned),
                    offered: fingerprint(name, &offered),
                })
            }
            None => {
                self.state.peers.insert(name.clone(), Peer::new(&offered));
                self.save()?;
                Ok(offered)
            }
        }
    }
    // ANCHOR_END: key_of

    /// The fingerprint of another account's key, and whether it was pinned before.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn fingerprint_of(
        &mut self,
        client: &mut Client,
        name: &Name,
    ) -> Result<(String, bool), AccountError> {
        let known = self.state.peers.contains_key(name);
        let key = self.key_of(client, name).await?;
        Ok((fingerprint(name, &key), known))
    }

    /// Pins the key of this fingerprint, which people have compared. If it is the key that is
    /// pinned already, nothing changes.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn trust(
        &mut self,
        client: &mut Client,
        name: &Name,
        compared: &str,
    ) -> Result<(), AccountError> {
        let key = offered_key(client, name).await?;
        let offered = fingerprint(name, &key);
        // Between the comparing and now the server may have changed its mind.
        if !offered.split(' ').eq(compared.split_whitespace()) {
            return Err(AccountError::NotCompared { name: name.clone(), offered });
        }
        let peer = self.state.peers.entry(name.clone()).or_insert(Peer::new(&key));
        peer.key = Bytes(key.to_bytes());
        self.save()
    }

    fn save(&self) -> Result<(), AccountError> {
        let json = serde_json::to_vec(&self.state).unwrap_or_default();
        write(self.folder.join(STATE), &json)
    }
}

const IDENTITY: &str = "account.json";
const STATE: &str = "state.json";

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, AccountError> {
    let json = careful_files::read_private(path, MAX_FILE)
        .map_err(|error| AccountError::Read(path.to_owned(), error))?;
    serde_json::from_slice(&json).map_err(|_| AccountError::Broken(path.to_owned()))
}

fn write(path: PathBuf, json: &[u8]) -> Result<(), AccountError> {
    // What could not be read again is not written.
    let written = match json.len() as u64 > MAX_FILE {
        true => Err(ReplaceError::Write(io::ErrorKind::FileTooLarge.into())),
        false => careful_files::replace(&path, json),
    };
    written.map_err(|error| AccountError::Write(path, error))
}

async fn offered_key(client: &mut Client, name: &Name) -> Result<PublicKey, AccountError> {
    let request = |token| Request::Key { token, name: name.clone() };
    match client.call_with_token(request).await? {
        Response::Key { name: answered, key } if answered == *name => {
            PublicKey::from_bytes(&key.0).map_err(|_| AccountError::BadKey(answered))
        }
        _ => Err(ClientError::Unexpected("key").into()),
    }
}

fn is_final(error: &ClientError) -> bool {
    use Refusal::{BadRequest, Conflict, Forbidden, NoAccount};
    matches!(
        error,
        ClientError::Refused { because: BadRequest | Conflict | Forbidden | NoAccount, .. }
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How a letter's number stands to those before it.
#[derive(Debug, PartialEq, Eq)]
enum Arrived {
    Next { missing: u64 },
    Late,
    Again,
}

impl Peer {
    fn new(key: &PublicKey) -> Self {
        Self { key: Bytes(key.to_bytes()), sent: 0, received: BTreeMap::new() }
    }
}

impl Received {
    // ANCHOR: arrived
    fn arrived(&mut self, number: u64) -> Arrived {
        if number > self.seen {
            let missing = number - self.seen - 1;
            if missing > 0 {
                self.missing.push((self.seen + 1, number - 1));
            }
            self.seen = number;
            self.forget_gaps();
            return Arrived::Next { missing };
        }
        let in_gap = |(first, last): &(u64, u64)| (*first..=*last).contains(&number);
        let Some(at) = self.missing.iter().position(in_gap) else {
            return Arrived::Again;
        };
        let (first, last) = self.missing[at];
        // No number is 0, and the last one of a gap is smaller than `seen`.
        let rest = [(first, number - 1), (number + 1, last)];
        self.missing.splice(at..=at, rest.into_iter().filter(|(from, to)| from <= to));
        self.forget_gaps();
        Arrived::Late
    }

    /// The oldest ones: what a sender or a server leaves out must not fill the file.
    fn forget_gaps(&mut self) {
        let old = self.missing.len().saturating_sub(MAX_GAPS);
        self.missing.drain(..old);
    }
    // ANCHOR_END: arrived
}
