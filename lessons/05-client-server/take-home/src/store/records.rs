//! What the values of the tables are made of, in bytes. Integers are big-endian.
//!
//! The mistake this prevents: text encodings on the disk, which make each letter a third larger; and a
//! damaged value that is taken for another one, because something could be read.

use careful_tokens::clock::Clock;

use super::error::StoreError;
use crate::protocol::{Bytes, MessageId, Name};

/// Changes whenever everything that was issued to an account before must end: tokens carry it. Random, so that
/// an account doesn't get one that an account of the same name had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation(pub [u8; 8]);

impl Generation {
    /// A new one; `None` if the system has no random bytes.
    pub fn random() -> Option<Self> {
        let mut bytes = [0; 8];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Of the text that its [`Display`](std::fmt::Display) writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let generation = Self(u64::from_str_radix(text, 16).ok()?.to_be_bytes());
        (generation.to_string() == text).then_some(generation)
    }
}

/// 16 hexadecimal digits, as in tokens.
impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What is stored of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The password's hash, in the PHC format.
    pub password: String,
    /// The public key.
    pub key: Bytes,
    /// What its tokens must carry.
    pub generation: Generation,
}

impl Account {
    /// `generation ‖ length of the key (2 bytes) ‖ key ‖ password hash`
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        let length = u16::try_from(self.key.0.len()).map_err(|_| StoreError::Broken)?;
        let (length, password) = (length.to_be_bytes(), self.password.as_bytes());
        Ok([&self.generation.0[..], &length, &self.key.0, password].concat())
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let (generation, rest) = split(bytes)?;
        let (length, rest) = split(rest)?;
        let length = usize::from(u16::from_be_bytes(length));
        let (key, password) = rest.split_at_checked(length).ok_or(StoreError::Broken)?;
        let (key, password) = (Bytes(key.to_vec()), text(password)?.to_owned());
        Ok(Self { password, key, generation: Generation(generation) })
    }
}

/// A message in a mailbox.
pub(super) struct StoredMessage {
    pub(super) from: Name,
    pub(super) id: MessageId,
    pub(super) sealed: Vec<u8>,
}

impl StoredMessage {
    /// `id ‖ length of the sender's name (1 byte) ‖ sender's name ‖ box`
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let name = self.from.as_str().as_bytes();
        // A name has at most 32 bytes.
        [&self.id.0[..], &[name.len() as u8], name, &self.sealed].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let (id, rest) = split(bytes)?;
        let ([length], rest) = split(rest)?;
        let parts = rest.split_at_checked(usize::from(length)).ok_or(StoreError::Broken)?;
        let (from, sealed) = (name(parts.0)?, parts.1.to_vec());
        Ok(Self { from, id: MessageId(id), sealed })
    }
}

/// What is remembered of a message that was sent, so that it isn't stored twice.
#[derive(PartialEq, Eq)]
pub(super) struct StoredId {
    pub(super) to: Name,
    pub(super) number: u64,
    /// SHA-256 of the box.
    pub(super) hash: [u8; 32],
}

impl StoredId {
    /// `number (8 bytes) ‖ hash ‖ recipient's name`
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&self.number.to_be_bytes()[..], &self.hash, self.to.as_str().as_bytes()].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let (number, rest) = split(bytes)?;
        let (hash, to) = split(rest)?;
        Ok(Self { to: name(to)?, number: u64::from_be_bytes(number), hash })
    }
}

/// What is counted of a mailbox and its owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MailboxCounts {
    /// The number of the last message that came. Numbers aren't used again.
    pub(super) last: u64,
    pub(super) messages: u64,
    /// Of the boxes together.
    pub(super) bytes: u64,
    /// Messages that this account sent, and that have not expired.
    pub(super) sent: u64,
}

impl MailboxCounts {
    /// Four times 8 bytes, in the order of the fields.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let Self { last, messages, bytes, sent } = self;
        [last, messages, bytes, sent].map(u64::to_be_bytes).concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let (last, rest) = split(bytes)?;
        let (messages, rest) = split(rest)?;
        let (bytes, rest) = split(rest)?;
        let (sent, rest) = split(rest)?;
        if !rest.is_empty() {
            return Err(StoreError::Broken);
        }
        let [last, messages, bytes, sent] = [last, messages, bytes, sent].map(u64::from_be_bytes);
        Ok(Self { last, messages, bytes, sent })
    }
}

/// How long a store has been open in its life, in seconds. Messages expire by it.
///
/// The mistake this prevents: a machine that starts with a wrong date deletes everybody's letters. Here nobody's
/// date is asked. What it costs: while the server is down, no letter gets older.
#[derive(Clone, Debug)]
pub(super) struct StoreClock {
    before: u64,
    clock: Clock,
    opened: std::time::Duration,
}

impl StoreClock {
    pub(super) fn new(before: u64, clock: Clock) -> Self {
        let opened = clock.elapsed();
        Self { before, clock, opened }
    }

    pub(super) fn now(&self) -> u64 {
        let open = self.clock.elapsed().saturating_sub(self.opened);
        self.before.saturating_add(open.as_secs())
    }
}

fn split<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), StoreError> {
    let (first, rest) = bytes.split_first_chunk().ok_or(StoreError::Broken)?;
    Ok((*first, rest))
}

fn text(bytes: &[u8]) -> Result<&str, StoreError> {
    std::str::from_utf8(bytes).map_err(|_| StoreError::Broken)
}

fn name(bytes: &[u8]) -> Result<Name, StoreError> {
    Name::new(text(bytes)?).map_err(|_| StoreError::Broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Name {
        Name::new("alice").expect("a name")
    }

    #[test]
    fn values_have_these_bytes_and_are_read_again() -> Result<(), StoreError> {
        let account = Account {
            password: "hash".to_owned(),
            key: Bytes(vec![1, 2, 3]),
            generation: Generation([7; 8]),
        };
        let bytes = account.to_bytes()?;
        assert_eq!(bytes, b"\x07\x07\x07\x07\x07\x07\x07\x07\x00\x03\x01\x02\x03hash");
        assert_eq!(Account::from_bytes(&bytes)?, account);

        let message = StoredMessage { from: alice(), id: MessageId([9; 16]), sealed: vec![4; 2] };
        let bytes = message.to_bytes();
        assert_eq!(bytes, [&[9; 16][..], b"\x05alice\x04\x04"].concat());
        let again = StoredMessage::from_bytes(&bytes)?;
        assert_eq!((again.from, again.id, again.sealed), (alice(), message.id, vec![4; 2]));

        let id = StoredId { to: alice(), number: 258, hash: [5; 32] };
        let bytes = id.to_bytes();
        assert_eq!(bytes, [b"\0\0\0\0\0\0\x01\x02", &[5; 32][..], b"alice"].concat());
        assert!(StoredId::from_bytes(&bytes)? == id);

        let counts = MailboxCounts { last: 1, messages: 2, bytes: 3, sent: 4 };
        let bytes = counts.to_bytes();
        assert_eq!(bytes.len(), 32);
        assert_eq!((bytes[7], bytes[15], bytes[23], bytes[31]), (1, 2, 3, 4));
        assert_eq!(MailboxCounts::from_bytes(&bytes)?, counts);
        Ok(())
    }

    #[test]
    fn values_that_are_cut_or_no_text_are_broken() {
        for length in 0..32 {
            let bytes = vec![0xff; length];
            assert!(MailboxCounts::from_bytes(&bytes).is_err(), "{length}");
            assert!(Account::from_bytes(&bytes).is_err(), "{length}");
            assert!(StoredMessage::from_bytes(&bytes).is_err(), "{length}");
            assert!(StoredId::from_bytes(&bytes).is_err(), "{length}");
        }
        assert!(MailboxCounts::from_bytes(&[0; 33]).is_err());
        assert!(Account::from_bytes(b"\0\0\0\0\0\0\0\0\0\x01\x01\xff").is_err());
        let not_a_name = [&[0; 16][..], b"\x05Alice"].concat();
        assert!(StoredMessage::from_bytes(&not_a_name).is_err());
    }

    #[test]
    fn the_stores_clock_goes_on_where_it_was_and_has_no_date() {
        let clock = Clock::settable(1_795_600_000);
        clock.advance(std::time::Duration::from_secs(5));
        let store = StoreClock::new(100, clock.clone());
        clock.set(0);
        assert_eq!(store.now(), 100);
        clock.advance(std::time::Duration::from_secs(60));
        assert_eq!(store.now(), 160);
    }
}
