//! Reading: what came, from whom, and what is missing.

use std::collections::BTreeMap;
use std::fmt;

use super::Account;
use super::error::AccountError;
use super::numbers::{Arrived, Received};
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
        // One that says "more" and gives nothing new is not asked again and again.
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
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
