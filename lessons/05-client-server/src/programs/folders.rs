//! The accounts of this machine: a folder for each, in `clients`, next to two small files.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use careful_files::{ReplaceError, if_there};
use careful_mailbox::account::Account;
use careful_mailbox::protocol::Name;

/// The largest file with a name in it, in bytes.
const MAX_NAME: u64 = 64;
/// Before a name: no account is called like one of the files here, or like a device of Windows
/// (`con`, `aux`, `com1`).
const PREFIX: &str = "account-";
/// How long to wait for another program of this folder.
const PATIENCE: Duration = Duration::from_secs(60);

/// The folder of an account.
pub fn folder(data: &Path, name: &Name) -> PathBuf {
    clients(data).join(format!("{PREFIX}{name}"))
}

fn clients(data: &Path) -> PathBuf {
    data.join("clients")
}

/// The accounts of this machine, and what is wrong with those that can't be loaded. Other files and folders
/// are left alone.
pub fn all(data: &Path) -> anyhow::Result<Vec<(Name, anyhow::Result<Account>)>> {
    let folder = clients(data);
    let entries = std::fs::read_dir(&folder)
        .with_context(|| format!("no accounts in {}: mailbox register NAME", folder.display()))?;
    let mut accounts = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let Some(name) = name.and_then(|name| Name::new(name).ok()) else { continue };
        accounts.push((name.clone(), load(data, &name)));
    }
    accounts.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(accounts)
}

/// Loads an account.
pub fn load(data: &Path, name: &Name) -> anyhow::Result<Account> {
    let folder = existing(data, name)?;
    let account = Account::load(&folder)?;
    if account.name() != name {
        bail!("{} holds the account {}: rename the folder", folder.display(), account.name());
    }
    Ok(account)
}

/// The folder of an account that is there.
pub fn existing(data: &Path, name: &Name) -> anyhow::Result<PathBuf> {
    let folder = folder(data, name);
    if !folder.exists() {
        bail!("{name} has no account in {}: mailbox register {name}", data.display());
    }
    Ok(folder)
}

/// Who sends, if nothing else is said.
pub fn current(data: &Path) -> anyhow::Result<Option<Name>> {
    let name = if_there(careful_files::read(&clients(data).join("current"), MAX_NAME))?;
    Ok(match name {
        Some(name) => Some(Name::new(String::from_utf8_lossy(&name).trim())?),
        None => None,
    })
}

/// Makes an account the one that sends.
pub fn set_current(data: &Path, name: &Name) -> anyhow::Result<()> {
    let file = clients(data).join("current");
    let replaced = careful_files::replace(&file, name.as_str().as_bytes());
    ReplaceError::in_place(replaced)?;
    Ok(())
}

/// Forgets that this account sends.
pub fn unset_current(data: &Path, name: &Name) -> anyhow::Result<()> {
    if current(data)?.as_ref() == Some(name) {
        std::fs::remove_file(clients(data).join("current"))?;
    }
    Ok(())
}

/// Two that send at once would number their letters alike. Held until it is dropped; `None` if the file
/// system has no locks.
pub fn lock(data: &Path, warn: impl Fn(&str)) -> anyhow::Result<Option<File>> {
    let folder = clients(data);
    let cannot = || format!("cannot lock {}", folder.display());
    let file = careful_files::create_folder(&folder)
        .and_then(|()| File::create(folder.join("lock")))
        .with_context(cannot)?;
    let began = Instant::now();
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                warn(
                    "warning: this file system has no locks. Run one mailbox program at a time, or use another \
                     --data",
                );
                adopt(&folder)?;
                return Ok(None);
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
            Err(TryLockError::WouldBlock) if began.elapsed() > PATIENCE => {
                bail!("another mailbox program has {} for a minute now: stop it", folder.display())
            }
            Err(TryLockError::WouldBlock) => {
                if !std::mem::replace(&mut told, true) {
                    warn("Waiting for another mailbox program of this folder.");
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
    adopt(&folder)?;
    Ok(Some(file))
}

/// Accounts of an earlier version had folders without the prefix.
fn adopt(clients: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(clients)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with(PREFIX)) else { continue };
        let to = clients.join(format!("{PREFIX}{name}"));
        let old = Name::new(name).is_ok() && entry.path().join("account.json").is_file();
        if old && !to.exists() {
            std::fs::rename(entry.path(), &to)
                .with_context(|| format!("cannot rename {}", entry.path().display()))?;
        }
    }
    Ok(())
}
