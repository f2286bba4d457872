//! Reading: what came, from whom, and what is missing.

use std::collections::BTreeMap;
use std::fmt;

use super::Account;
use super::error::AccountError;
use super::files::{Peer, hex};
use super::numbers::{Arrived, Received};
use careful_encryption::public_key::PublicKey;

use crate::client::{Client, ClientError};
use crate::protocol::{Delivery, MAX_DELETE, Name, Refusal, Request, Response};
use crate::sealed::{self, Letter};

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
        /// How it stands to those before it.
        order: Order,
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
    /// A box that the sender did not seal for this account's key, under this id.
    NotAuthentic {
        /// Who is said to have sent it.
        from: Name,
        /// This account had another key before, so the sender may have sealed it for that one.
        had_another_key: bool,
    },
    /// The next letter of this sender is sealed by a key that was replaced: it is theirs, or of somebody who has
    /// stolen that key.
    EarlierKey {
        /// Of whom.
        from: Name,
    },
    /// A box of a sender who has no account any more, and whose key was never pinned: it can't be opened.
    NoSender {
        /// Who is said to have sent it.
        from: Name,
    },
    /// The first letter of a sender whose name could be taken for another one.
    LooksLike {
        /// Who wrote it.
        from: Name,
        /// Somebody with whom this account has to do, or its owner.
        other: Name,
    },
}

/// How a letter stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Its number is larger than all before it.
    Next,
    /// It comes after a later one.
    Late,
    /// Another letter had its number.
    Reused,
}

/// In one line. A letter is another one's text: what could steer a terminal is escaped.
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Letter { from, number, text, order } => {
                let text: String = text.chars().map(printable).collect();
                let order = match order {
                    Order::Next => "",
                    Order::Late => ", late",
                    Order::Reused => {
                        ", WARNING: another letter had that number, so the sender was restored from a copy, \
                         or this is an old letter"
                    }
                };
                write!(f, "letter {number} from {from}{order}: {text}")
            }
            Found::Missing { from, count: 1 } => {
                write!(f, "WARNING: a letter from {from} is missing before the next one")
            }
            Found::Missing { from, count } => {
                write!(f, "WARNING: {count} letters from {from} are missing before the next one")
            }
            Found::Repeated { from, number } => {
                write!(f, "letter {number} from {from} came again, and is not shown again")
            }
            Found::NotAuthentic { from, had_another_key: false } => {
                write!(f, "WARNING: a box claims to be from {from} but isn't")
            }
            Found::NotAuthentic { from, had_another_key: true } => write!(
                f,
                "WARNING: a box claims to be from {from}. Either it isn't, or it was sealed for the key that you have \
                 replaced. Ask {from}"
            ),
            Found::EarlierKey { from } => write!(
                f,
                "WARNING: the next letter from {from} is sealed with a key that {from} has replaced. If that key was \
                 stolen, the letter may be the thief's. Ask {from}"
            ),
            Found::NoSender { from } => write!(
                f,
                "WARNING: a box claims to be from {from}, who no longer has an account, so it can't be opened"
            ),
            Found::LooksLike { from, other } => {
                write!(f, "WARNING: the next letter is from {from}, which is not {other}")
            }
        }
    }
}

/// A character, or its number if it could steer a terminal or can't be seen: control characters, those that
/// turn the direction of a text, those that end a line, and those that a display leaves out
/// (`Default_Ignorable_Code_Point` of Unicode 16, `DerivedCoreProperties.txt`), with the blanks of Braille
/// and the fillers of Hangul. Some emoji are made of several characters and come apart by that.
pub fn printable(c: char) -> String {
    let steers = matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffc}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    );
    if c.is_control() || steers { c.escape_default().to_string() } else { c.to_string() }
}

/// A page of the mailbox.
pub struct Reading {
    /// What was found, in order.
    pub found: Vec<Found>,
    /// Why the reading stopped before the next letter, which stays where it is.
    pub stopped: Option<AccountError>,
    /// Senders whose letters stay on the server, and why: for example because their key has changed. They are read
    /// after [`trust`](Account::trust), or by the next program.
    pub left: BTreeMap<Name, AccountError>,
    /// Whether there is another page.
    pub more: bool,
    /// Whose key this reading has pinned, because it is the first letter from them: their fingerprints are to
    /// be compared.
    pub pinned: Vec<Name>,
    /// To be deleted from the server.
    numbers: Vec<u64>,
    /// The last number that was looked at.
    read: u64,
    looked_at: usize,
    /// The counts of each sender when all this has been shown. Nothing else of the account is in
    /// here: what is sent or trusted in between stays.
    received: BTreeMap<Name, BTreeMap<String, Received>>,
}

impl Reading {
    /// How many letters of the server's this is about, those that are left among them.
    pub fn looked_at(&self) -> usize {
        self.looked_at
    }
}

impl Account {
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
            left: BTreeMap::new(),
            more,
            pinned: Vec::new(),
            numbers: Vec::new(),
            read: after,
            looked_at: 0,
            received: BTreeMap::new(),
        };
        for delivery in messages {
            // A server that answers with older ones is not followed.
            if delivery.number <= reading.read {
                continue;
            }
            match self.open(client, &delivery, &mut reading).await {
                Ok(()) => reading.numbers.push(delivery.number),
                // One sender with another key doesn't keep the letters of the others.
                Err(error @ (AccountError::KeyChanged { .. } | AccountError::BadKey(_))) => {
                    reading.left.entry(delivery.from).or_insert(error);
                }
                Err(error) => {
                    reading.stopped = Some(error);
                    reading.more = false;
                    break;
                }
            }
            reading.read = delivery.number;
            reading.looked_at += 1;
        }
        // One that says "more" and gives nothing new is not asked again and again.
        reading.more &= reading.read > after;
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
        let new = !self.state.peers.contains_key(&from);
        let key = match (self.key_of(client, &from).await, self.pinned(&from)?) {
            (Ok(key), _) => key,
            // The account was deleted after it was sent.
            (Err(AccountError::Client(error)), pinned) if error.is(Refusal::NoAccount) => {
                let Some(pinned) = pinned else {
                    reading.found.push(Found::NoSender { from });
                    return Ok(());
                };
                pinned
            }
            (Err(error), _) => return Err(error),
        };
        if new {
            reading.pinned.push(from.clone());
        }
        let own = (&self.identity.name, &self.pair);
        let opened = |key: PublicKey| {
            let letter = sealed::open(own, (&from, &key), delivery.id, &delivery.sealed.0).ok()?;
            Some((letter, key))
        };
        let earlier = self.state.peers.get(&from).into_iter().flat_map(Peer::earlier_keys);
        let current = key.to_bytes();
        let Some((Letter { number, text }, key)) =
            opened(key).or_else(|| earlier.flat_map(opened).next())
        else {
            let had_another_key = self.state.had_another_key;
            reading.found.push(Found::NotAuthentic { from, had_another_key });
            return Ok(());
        };
        if new && let Some(other) = self.looks_like(&from) {
            let from = from.clone();
            reading.found.push(Found::LooksLike { from, other });
        }
        if key.to_bytes() != current {
            reading.found.push(Found::EarlierKey { from: from.clone() });
        }
        let known = self.state.peers.get(&from).map(|peer| peer.received.clone());
        let counts = reading.received.entry(from.clone()).or_insert(known.unwrap_or_default());
        // Under another key than before, another count.
        let order =
            match counts.entry(hex(&key.to_bytes())).or_default().arrived(number, delivery.id) {
                Arrived::Next { missing } => {
                    if missing > 0 {
                        let from = from.clone();
                        reading.found.push(Found::Missing { from, count: missing });
                    }
                    Order::Next
                }
                Arrived::Late => Order::Late,
                Arrived::Reused => Order::Reused,
                Arrived::Again => {
                    reading.found.push(Found::Repeated { from, number });
                    return Ok(());
                }
            };
        reading.found.push(Found::Letter { from, number, text, order });
        Ok(())
    }
    // ANCHOR_END: read
}
