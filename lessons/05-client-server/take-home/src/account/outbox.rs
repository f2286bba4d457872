//! Sending: a letter is sealed once, and kept until the server has it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Account;
use super::error::AccountError;
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
}

impl Account {
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
}

fn is_final(error: &ClientError) -> bool {
    use Refusal::{BadRequest, Conflict, Forbidden, NoAccount};
    matches!(
        error,
        ClientError::Refused { because: BadRequest | Conflict | Forbidden | NoAccount, .. }
    )
}
