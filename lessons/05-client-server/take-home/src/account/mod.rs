//! A client's account: its own key, the pinned keys of others, and counts by which it notices what
//! the server does with its letters.
//!
//! The mistakes this prevents: a key that the server replaces; letters that are dropped, repeated
//! or shuffled without anybody noticing; a letter that is lost because its sender's program ended.

mod error;
mod files;
mod inbox;
mod numbers;
mod outbox;

use std::path::{Path, PathBuf};

use careful_encryption::public_key::{KeyPair, PublicKey};

pub use self::error::AccountError;
use self::files::{IDENTITY, Identity, Peer, STATE, State, read, write};
pub use self::inbox::{Found, Reading};
pub use self::outbox::Sent;
use crate::client::{Client, ClientError};
use crate::protocol::{Bytes, Name, Request, Response, Secret};
use crate::sealed::fingerprint;

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

async fn offered_key(client: &mut Client, name: &Name) -> Result<PublicKey, AccountError> {
    let request = |token| Request::Key { token, name: name.clone() };
    match client.call_with_token(request).await? {
        Response::Key { name: answered, key } if answered == *name => {
            PublicKey::from_bytes(&key.0).map_err(|_| AccountError::BadKey(answered))
        }
        _ => Err(ClientError::Unexpected("key").into()),
    }
}
