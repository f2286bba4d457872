//! Sending: a letter is sealed once, and kept until the server has it.
//!
//! The mistake this prevents: a program that says "it waits" of a letter that is nowhere, or nothing of one that
//! waits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Account;
use super::error::{AccountError, Fate, SendError};
use crate::client::{Client, ClientError};
use crate::protocol::{Bytes, MessageId, Name, Refusal, Request, Response};
use crate::sealed::{self, Letter};

/// Letters that wait to be sent.
pub(super) const MAX_OUTBOX: usize = 100;

/// Letters that are on the server's disk now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// How many.
    pub letters: usize,
    /// Of them, those that were there already: an answer had been lost.
    pub again: usize,
}

/// A letter that waits.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Outgoing {
    pub(super) to: Name,
    pub(super) id: MessageId,
    pub(super) sealed: Bytes,
    /// The public key that it was sealed for.
    #[serde(default)]
    pub(super) key: Option<Bytes>,
}

/// A letter that had waited, and that the server will never accept: it is gone.
#[derive(Debug)]
pub struct RefusedLetter {
    /// To whom.
    pub to: Name,
    /// Why.
    pub error: AccountError,
}

/// What came of sending everything that waits.
#[derive(Default)]
struct Attempt {
    sent: Sent,
    /// Why letters to these recipients stay where they are.
    stuck: BTreeMap<Name, AccountError>,
    /// Letters that will never be accepted, and are removed.
    refused: Vec<(MessageId, RefusedLetter)>,
    /// Why it ended before the last letter.
    ended: Option<AccountError>,
}

impl Account {
    // ANCHOR: send
    /// Seals a letter, keeps it until the server has it, and sends it. Those that waited go first. For a
    /// recipient whose key is pinned, all but the sending works without the server. What became of those that
    /// waited is in [`Sent`] and [`take_refused`](Self::take_refused).
    ///
    /// # Errors
    /// See [`SendError`], which says what became of the letter.
    pub async fn send(
        &mut self,
        client: &mut Client,
        to: &Name,
        text: &str,
    ) -> Result<Sent, SendError> {
        let not_kept = |error| SendError { fate: Fate::NotKept, error };
        self.settle_before_sealing(client).await.map_err(not_kept)?;
        if !self.state.peers.contains_key(to) {
            // Without a key nothing can be sealed.
            self.key_of(client, to).await.map_err(not_kept)?;
        }
        let id = self.keep(to, text).map_err(not_kept)?;
        let Attempt { sent, mut stuck, mut refused, ended } = self.send_all(client).await;
        let waits = self.state.outbox.iter().any(|letter| letter.id == id);
        let own = refused.iter().position(|(refused, _)| *refused == id);
        let own = own.map(|at| refused.remove(at).1.error);
        self.refused.extend(refused.into_iter().map(|(_, letter)| letter));
        match (own, ended) {
            (Some(error), _) => Err(not_kept(error)),
            (_, Some(error)) if waits => Err(SendError { fate: Fate::Kept, error }),
            (_, Some(error)) => Err(SendError { fate: Fate::Sent, error }),
            _ => match stuck.remove(to).filter(|_| waits) {
                Some(error) => Err(SendError { fate: Fate::Kept, error }),
                // Others may wait. This one is there.
                None => Ok(sent),
            },
        }
    }
    // ANCHOR_END: send

    /// What is sealed by a key that the server has replaced can't be opened: which of two keys it has, must be known
    /// first. A password can wait.
    async fn settle_before_sealing(&mut self, client: &mut Client) -> Result<(), AccountError> {
        match self.settle(client).await {
            Err(error) if self.identity.next_key.is_some() => {
                Err(AccountError::Unsettled(Box::new(error)))
            }
            _ => Ok(()),
        }
    }

    // ANCHOR: keep
    /// Seals a letter and writes it to the disk, before anything is sent: the same id and the same box,
    /// however often it is tried. After an error, all is as it was.
    fn keep(&mut self, to: &Name, text: &str) -> Result<MessageId, AccountError> {
        if self.state.outbox.len() >= MAX_OUTBOX {
            return Err(AccountError::OutboxFull);
        }
        let before = self.state.clone();
        let id = MessageId::random().ok_or(AccountError::NoRandom)?;
        let key = self.pinned(to)?.ok_or_else(|| AccountError::BadKey(to.clone()))?;
        let peer = self.state.peers.get_mut(to).ok_or_else(|| AccountError::BadKey(to.clone()))?;
        let letter = Letter { number: peer.sent + 1, text: text.to_owned() };
        let sender = (&self.identity.name, &self.pair);
        let sealed = Bytes(sealed::seal(sender, (to, &key), id, &letter)?);
        peer.sent = letter.number;
        let key = Some(peer.key.clone());
        self.state.outbox.push(Outgoing { to: to.clone(), id, sealed, key });
        match self.save() {
            Ok(()) => Ok(id),
            Err(error) => {
                self.state = before;
                Err(error)
            }
        }
    }
    // ANCHOR_END: keep

    /// How many letters wait to be sent.
    pub fn waiting(&self) -> usize {
        self.state.outbox.len()
    }

    /// For whom letters wait to be sent, and how many.
    pub fn waiting_for(&self) -> BTreeMap<Name, usize> {
        let mut waiting = BTreeMap::new();
        for letter in &self.state.outbox {
            *waiting.entry(letter.to.clone()).or_default() += 1;
        }
        waiting
    }

    /// Letters that had waited, and that the server has refused for good since this was asked last. Say so to
    /// the one who wrote them: they are gone.
    pub fn take_refused(&mut self) -> Vec<RefusedLetter> {
        std::mem::take(&mut self.refused)
    }

    /// Sends the letters that wait. See [`take_refused`](Self::take_refused) for those that will never be
    /// accepted.
    ///
    /// # Errors
    /// Why the first of those that still wait could not be sent.
    pub async fn send_waiting(&mut self, client: &mut Client) -> Result<Sent, AccountError> {
        let Attempt { sent, stuck, refused, ended } = self.send_all(client).await;
        self.refused.extend(refused.into_iter().map(|(_, letter)| letter));
        match ended.or_else(|| stuck.into_values().next()) {
            None => Ok(sent),
            Some(error) => Err(error),
        }
    }

    /// Throws away the letters that wait, without sending them. Returns how many there were.
    ///
    /// # Errors
    /// See [`AccountError`]: then they still wait.
    pub fn drop_waiting(&mut self) -> Result<usize, AccountError> {
        let dropped = std::mem::take(&mut self.state.outbox);
        let count = dropped.len();
        if let Err(error) = self.save() {
            self.state.outbox = dropped;
            return Err(error);
        }
        Ok(count)
    }

    /// Letters that were sealed for a key which isn't pinned any more are of no use: removes them, and
    /// says how many there were.
    pub(super) fn forget_waiting(&mut self, to: &Name, pinned: &Bytes) -> usize {
        let before = self.state.outbox.len();
        let of_use = |letter: &Outgoing| {
            letter.to != *to || letter.key.as_ref().is_none_or(|key| key == pinned)
        };
        self.state.outbox.retain(of_use);
        before - self.state.outbox.len()
    }

    /// What keeps the letters to one recipient doesn't keep those to another one.
    async fn send_all(&mut self, client: &mut Client) -> Attempt {
        let mut attempt = Attempt::default();
        let mut at = 0;
        let mut checked = Vec::new();
        while let Some(next) = self.state.outbox.get(at).cloned() {
            let Outgoing { to, id, .. } = &next;
            if attempt.stuck.contains_key(to) {
                at += 1;
                continue;
            }
            // Once: a letter for a key that its recipient has replaced could not be read.
            let sent = match checked.contains(to) {
                true => self.send_one(client, &next).await,
                false => match self.key_of(client, to).await {
                    Ok(_pinned) => {
                        checked.push(to.clone());
                        self.send_one(client, &next).await
                    }
                    Err(error) => Err(error),
                },
            };
            match sent {
                Ok(again) => {
                    attempt.sent.letters += 1;
                    attempt.sent.again += usize::from(again);
                }
                Err(error) if stays(&error) => {
                    attempt.stuck.insert(to.clone(), error);
                    at += 1;
                    continue;
                }
                // What will never be accepted does not stand in the way of the next one.
                Err(error) if is_final(&error) => {
                    attempt.refused.push((*id, RefusedLetter { to: to.clone(), error }));
                }
                Err(error) => {
                    attempt.ended = Some(error);
                    return attempt;
                }
            }
            self.state.outbox.remove(at);
            if let Err(error) = self.save() {
                attempt.ended = Some(error);
                return attempt;
            }
        }
        attempt
    }

    /// Whether the server had it already.
    async fn send_one(
        &mut self,
        client: &mut Client,
        letter: &Outgoing,
    ) -> Result<bool, AccountError> {
        let request = |token| {
            let Outgoing { to, id, sealed, .. } = letter.clone();
            Request::Send { token, to, id, sealed }
        };
        match client.call_with_token(request).await? {
            Response::Stored { again } => Ok(again),
            _ => Err(ClientError::Unexpected("send").into()),
        }
    }
}

/// It waits for its recipient: to make room, or to say which key is the right one.
fn stays(error: &AccountError) -> bool {
    use AccountError::{BadKey, Client, KeyChanged};
    let full = |because| because == Refusal::Full;
    match error {
        KeyChanged { .. } | BadKey(_) => true,
        Client(ClientError::Refused { because, .. }) => full(*because),
        _ => false,
    }
}

fn is_final(error: &AccountError) -> bool {
    use Refusal::{BadRequest, Conflict, Forbidden, NoAccount};
    matches!(
        error,
        AccountError::Client(ClientError::Refused {
            because: BadRequest | Conflict | Forbidden | NoAccount,
            ..
        })
    )
}
