//! A client's account: its own key, the pinned keys of others, and counts by which it notices what
//! the server does with its letters.
//!
//! The mistakes this prevents: a key that the server replaces; letters that are dropped, repeated
//! or shuffled without anybody noticing; a letter that is lost because its sender's program ended.

mod error;
mod files;
mod inbox;
mod names;
mod numbers;
mod outbox;

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use careful_encryption::public_key::{KeyPair, PublicKey};
use careful_files::ReplaceError;
use zeroize::Zeroizing;

pub use self::error::{AccountError, Fate, SendError};
pub use self::files::{Disk, Storage};
use self::files::{IDENTITY, Identity, Peer, STATE, State, hex, read, write};
pub use self::inbox::{Found, Order, Reading, printable};
pub use self::outbox::{RefusedLetter, Sent};
use crate::client::{Client, ClientError};
use crate::protocol::{Bytes, Name, Refusal, Request, Response, Secret};
use crate::sealed::fingerprint;

/// An account in a folder.
pub struct Account {
    folder: PathBuf,
    storage: Box<dyn Storage>,
    identity: Identity,
    pair: KeyPair,
    state: State,
    not_synced: bool,
    refused: Vec<RefusedLetter>,
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
        if folder.join(STATE).exists() {
            return Err(AccountError::NoIdentity(folder.join(IDENTITY)));
        }
        careful_files::create_folder(folder)
            .map_err(|error| AccountError::Folder(folder.to_owned(), error))?;
        let pair = KeyPair::random();
        let key = private(&pair);
        let identity = Identity { name, password, key, next_password: None, next_key: None };
        let mut account = Self {
            folder: folder.to_owned(),
            storage: Box::new(Disk),
            identity,
            pair,
            state: State::default(),
            not_synced: false,
            refused: Vec::new(),
        };
        // An account is there when its identity is: it comes last.
        account.start_over()?;
        account.save_identity()?;
        Ok(account)
    }

    /// Loads it.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn load(folder: &Path) -> Result<Self, AccountError> {
        Self::load_from(folder, Box::new(Disk))
    }

    /// Loads it from another storage than the disk.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn load_from(folder: &Path, storage: Box<dyn Storage>) -> Result<Self, AccountError> {
        let mut account = Self::load_identity(folder, storage)?;
        let name = || account.identity.name.clone();
        let file = folder.join(STATE);
        account.state = match read(&*account.storage, &file) {
            Err(AccountError::Read(_, error)) if error.is_missing() => {
                return Err(AccountError::NoState { name: name(), file });
            }
            state => state?,
        };
        // While a change of the key isn't settled, it may be of either.
        let next = account.identity.next_key.as_ref().and_then(pair_of);
        let own = [Some(&account.pair), next.as_ref()].map(|pair| pair.map(public));
        match &account.state.owner {
            Some(owner) if !own.contains(&Some(owner.clone())) => {
                Err(AccountError::NotOneAccount { folder: folder.to_owned(), name: name() })
            }
            _ => Ok(account),
        }
    }

    /// Loads the identity of an account whose state is lost, and begins with a new state: no key is pinned,
    /// and letters are counted from 1 again. Others are warned when they read the next one. On disk nothing
    /// is changed yet: see [`start_over`](Self::start_over).
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn load_without_state(folder: &Path) -> Result<Self, AccountError> {
        Self::load_identity(folder, Box::new(Disk))
    }

    fn load_identity(folder: &Path, storage: Box<dyn Storage>) -> Result<Self, AccountError> {
        let file = folder.join(IDENTITY);
        let identity: Identity = read(&*storage, &file)?;
        let pair = pair_of(&identity.key).ok_or(AccountError::Broken(file))?;
        let (folder, state) = (folder.to_owned(), State::default());
        let (not_synced, refused) = (false, Vec::new());
        Ok(Self { folder, storage, identity, pair, state, not_synced, refused })
    }

    /// Takes away the two files of an account that the server certainly doesn't know, and the folder, if nothing else
    /// is in it.
    pub fn discard(self) {
        // What stays is harmless: nobody knows this key.
        for file in [IDENTITY, STATE] {
            let _ = std::fs::remove_file(self.folder.join(file));
        }
        let _ = std::fs::remove_dir(&self.folder);
    }

    /// Replaces the state by a new one.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn start_over(&mut self) -> Result<(), AccountError> {
        let owner = Some(public(&self.pair));
        self.state = State { owner, ..State::default() };
        self.save()
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

    /// Whether a file was written, but its folder could not be synced: after a power loss the file may be as
    /// it was before. Some network and FUSE file systems cannot do it at all.
    pub fn was_not_synced(&self) -> bool {
        self.not_synced
    }

    /// Tells the server of it.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn register(&self, client: &mut Client) -> Result<(), AccountError> {
        let request = Request::Register {
            name: self.name().clone(),
            password: self.password(),
            key: public(&self.pair),
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
        match self.pinned(name)? {
            Some(pinned) if pinned.to_bytes() == offered.to_bytes() => Ok(offered),
            Some(pinned) => Err(AccountError::KeyChanged {
                own: self.name().clone(),
                name: name.clone(),
                pinned: fingerprint(name, &pinned),
                offered: fingerprint(name, &offered),
            }),
            None => {
                self.state.peers.insert(name.clone(), Peer::new(&offered));
                if let Err(error) = self.save() {
                    self.state.peers.remove(name);
                    return Err(error);
                }
                Ok(offered)
            }
        }
    }
    // ANCHOR_END: key_of

    fn pinned(&self, name: &Name) -> Result<Option<PublicKey>, AccountError> {
        let pinned = self.state.peers.get(name).map(|peer| PublicKey::from_bytes(&peer.key.0));
        pinned.transpose().map_err(|_| AccountError::BadKey(name.clone()))
    }

    /// Somebody whose key is pinned, or the owner, if people could take this name for theirs.
    pub fn looks_like(&self, name: &Name) -> Option<Name> {
        let look = names::look(name);
        let mut known = self.state.peers.keys().chain([self.name()]);
        known.find(|other| *other != name && names::look(other) == look).cloned()
    }

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

    /// The fingerprint of the key that is pinned, without the server.
    pub fn pinned_fingerprint(&self, name: &Name) -> Option<String> {
        let pinned = self.pinned(name).ok().flatten();
        pinned.map(|key| fingerprint(name, &key))
    }

    /// Pins the key of this fingerprint, which people have compared. If it is the key that is
    /// pinned already, nothing changes. Letters that wait for them under another key could not be read:
    /// they are removed, and this says how many.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn trust(
        &mut self,
        client: &mut Client,
        name: &Name,
        compared: &str,
    ) -> Result<usize, AccountError> {
        let groups: Vec<&str> = compared.split_whitespace().collect();
        let fits = |group: &&str| group.len() == 4 && group.bytes().all(|b| b.is_ascii_hexdigit());
        if groups.len() != 8 || !groups.iter().all(fits) {
            return Err(AccountError::NotAFingerprint(compared.to_owned()));
        }
        let key = offered_key(client, name).await?;
        let offered = fingerprint(name, &key);
        // Between the comparing and now the server may have changed its mind.
        if !offered.split(' ').eq(groups.iter().map(|group| group.to_ascii_lowercase())) {
            return Err(AccountError::NotCompared { name: name.clone(), offered });
        }
        let before = self.state.clone();
        let key = Bytes(key.to_bytes());
        if let Some(peer) = self.state.peers.get_mut(name) {
            // What was sealed by the key before can still be opened, with a warning.
            peer.received.entry(hex(&peer.key.0)).or_default();
            peer.key = key.clone();
        } else {
            let peer = Peer { key: key.clone(), sent: 0, received: Default::default() };
            self.state.peers.insert(name.clone(), peer);
        }
        let removed = self.forget_waiting(name, &key);
        // What was left on the server because of the other key is read now.
        self.state.read = 0;
        if let Err(error) = self.save() {
            self.state = before;
            return Err(error);
        }
        Ok(removed)
    }

    // ANCHOR: change_password
    /// Another password. Both are on the disk before the server is asked, and until it has answered: a lost
    /// answer locks nobody out. Ends all logins; returns how many.
    ///
    /// # Errors
    /// See [`AccountError`]. After a lost answer, [`settle`](Self::settle) finds out which one it is.
    pub async fn change_password(
        &mut self,
        client: &mut Client,
        new: Secret,
    ) -> Result<usize, AccountError> {
        self.settle(client).await?;
        self.identity.next_password = Some(new.clone());
        self.save_identity()?;
        let password = self.password();
        let request = |token| {
            let (password, new) = (password.clone(), new.clone());
            Request::ChangePassword { token, password, new }
        };
        let logins = ended(client.call_with_token_once(request).await?)?;
        self.take_next_password(client).map_err(done)?;
        Ok(logins)
    }
    // ANCHOR_END: change_password

    /// Another key, after a theft for example: a thief with the old one can read what was sealed for it, and
    /// write to this account in anybody's name. Read everything first, and send what waits. Everybody else is
    /// warned, and has to compare the new fingerprint. Ends all logins; returns how many.
    ///
    /// # Errors
    /// See [`AccountError`]. [`AccountError::LettersWait`] while letters wait to be sent. After a lost
    /// answer, [`settle`](Self::settle) finds out which one it is.
    pub async fn change_key(&mut self, client: &mut Client) -> Result<usize, AccountError> {
        self.settle(client).await?;
        if self.waiting() > 0 {
            return Err(AccountError::LettersWait(self.waiting()));
        }
        let pair = KeyPair::random();
        self.identity.next_key = Some(private(&pair));
        self.save_identity()?;
        let password = self.password();
        let key = public(&pair);
        let request = |token| {
            let (password, key) = (password.clone(), key.clone());
            Request::ChangeKey { token, password, key }
        };
        let logins = ended(client.call_with_token_once(request).await?)?;
        self.take_next_key(pair).map_err(done)?;
        Ok(logins)
    }

    /// After a change whose answer was lost: finds out whether the server made it. Without such a change it
    /// does nothing.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn settle(&mut self, client: &mut Client) -> Result<(), AccountError> {
        if self.identity.next_password.is_some() {
            match client.log_in_with(self.name().clone(), self.password()).await {
                Ok(()) => {}
                Err(error) if error.is(Refusal::Unauthorized) => {
                    let next = self.identity.next_password.clone();
                    let next = next.unwrap_or_else(|| self.password());
                    client.log_in_with(self.name().clone(), next).await?;
                    self.take_next_password(client)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let Some(pair) = self.identity.next_key.as_ref().and_then(pair_of) else { return Ok(()) };
        let own = self.name().clone();
        if offered_key(client, &own).await?.to_bytes() == pair.public().to_bytes() {
            self.take_next_key(pair)?;
        }
        Ok(())
    }

    /// Ends all logins of this account, on whatever machine. Returns how many there were.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn end_logins(&mut self, client: &mut Client) -> Result<usize, AccountError> {
        let request = |token| Request::EndLogins { token };
        ended(client.call_with_token_once(request).await?)
    }

    /// Deletes the account on the server, with the letters that lie there. The folder stays.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn delete(&mut self, client: &mut Client) -> Result<usize, AccountError> {
        let password = self.password();
        let request = |token| Request::DeleteAccount { token, password: password.clone() };
        ended(client.call_with_token_once(request).await?)
    }

    fn take_next_password(&mut self, client: &mut Client) -> Result<(), AccountError> {
        if let Some(next) = self.identity.next_password.take() {
            self.identity.password = next;
        }
        client.set_login(self.name().clone(), self.password());
        self.save_identity()
    }

    /// The state first: until the identity is written, too, it has both keys.
    fn take_next_key(&mut self, pair: KeyPair) -> Result<(), AccountError> {
        self.state.owner = Some(public(&pair));
        self.state.had_another_key = true;
        self.save()?;
        self.identity.key = private(&pair);
        self.identity.next_key = None;
        self.pair = pair;
        self.save_identity()
    }

    fn save(&mut self) -> Result<(), AccountError> {
        let json = serde_json::to_vec(&self.state).unwrap_or_default();
        self.write(STATE, &json)
    }

    fn save_identity(&mut self) -> Result<(), AccountError> {
        let json = Zeroizing::new(serde_json::to_vec(&self.identity).unwrap_or_default());
        self.write(IDENTITY, &json)
    }

    fn write(&mut self, file: &str, json: &[u8]) -> Result<(), AccountError> {
        match write(&*self.storage, self.folder.join(file), json) {
            // It is there. What is missing is said once, by the program.
            Err(AccountError::Write(_, ReplaceError::NotSynced(_))) => {
                self.not_synced = true;
                Ok(())
            }
            written => written,
        }
    }
}

fn done(error: AccountError) -> AccountError {
    AccountError::Done(Box::new(error))
}

fn ended(response: Response) -> Result<usize, AccountError> {
    match response {
        Response::Ended { logins } => Ok(logins),
        _ => Err(ClientError::Unexpected("a change of the account").into()),
    }
}

fn public(pair: &KeyPair) -> Bytes {
    Bytes(pair.public().to_bytes())
}

fn private(pair: &KeyPair) -> Secret {
    Secret::new(BASE64_STANDARD.encode(pair.expose()))
}

fn pair_of(key: &Secret) -> Option<KeyPair> {
    let bytes = Zeroizing::new(BASE64_STANDARD.decode(key.expose()).ok()?);
    KeyPair::from_bytes(&bytes).ok()
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
