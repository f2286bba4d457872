//! What client and server say to one another: JSON in frames, one answer to each request, in order.
//!
//! The book's page on the protocol says the same in words.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use zeroize::Zeroizing;

/// The application protocol (ALPN).
pub const ALPN: &[u8] = b"mailbox/1";
/// The largest frame, in bytes, without its length.
pub const MAX_FRAME: usize = 128 * 1024;
/// The largest sealed message, in bytes.
pub const MAX_SEALED: usize = 48 * 1024;
/// The most numbers in one request to delete.
pub const MAX_DELETE: usize = 1000;
const MAX_NAME: usize = 32;

/// The name of an account: 1 to 32 of `a` to `z`, `0` to `9` and `-`, the first of them a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

/// Not a [`Name`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("expected a name of 1 to 32 of a-z, 0-9 and '-', with a letter first")]
pub struct BadName;

impl Name {
    /// Checks the form.
    ///
    /// # Errors
    /// [`BadName`]
    pub fn new(name: &str) -> Result<Self, BadName> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        match first && name.len() <= MAX_NAME && name.bytes().all(fits) {
            true => Ok(Self(name.to_owned())),
            false => Err(BadName),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The id of a message: 16 random bytes, chosen by its sender, 32 hexadecimal digits in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub [u8; 16]);

impl MessageId {
    /// A fresh one; none if the system has no random bytes.
    pub fn random() -> Option<Self> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u128::from_str_radix(&text, 16);
        match number {
            // One form for each id: no sign, no capitals.
            Ok(number) if Self(number.to_be_bytes()).to_string() == text => {
                Ok(Self(number.to_be_bytes()))
            }
            _ => Err(D::Error::custom("expected 32 hexadecimal digits")),
        }
    }
}

/// Bytes, in base64 in JSON.
#[derive(Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD.decode(text);
        bytes.map(Self).map_err(|_| D::Error::custom("expected base64"))
    }
}

/// A password or a token: not printed, and wiped when it is dropped. The copies that a frame and
/// the parser made of it are not.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, to be sent or compared.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

// ANCHOR: request
/// A request: an object whose member `do` says what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is named for what it is")]
pub enum Request {
    /// Is anybody there?
    Ping {},
    /// A new account: a password for the server, a public key for the others.
    Register { name: Name, password: Secret, key: Bytes },
    /// A pair of tokens for a password.
    LogIn { name: Name, password: Secret },
    /// The next pair for a refresh token, which is used up.
    Refresh { refresh: Secret },
    /// Ends a login. Its access token ends with it only if it is here, too.
    LogOut {
        refresh: Secret,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<Secret>,
    },
    /// Another password, for the one of now. Ends all logins.
    ChangePassword { token: Secret, password: Secret, new: Secret },
    /// Another public key. Ends all logins.
    ChangeKey { token: Secret, password: Secret, key: Bytes },
    /// Ends all logins of the account, and their access tokens, this one among them.
    EndLogins { token: Secret },
    /// Deletes the account and what lies in its mailbox. The next one who registers the name is somebody else.
    DeleteAccount { token: Secret, password: Secret },
    /// The public key of an account.
    Key { token: Secret, name: Name },
    /// Stores a sealed message. The same one twice is stored once.
    Send { token: Secret, to: Name, id: MessageId, sealed: Bytes },
    /// Messages whose number is larger than `after`, in order.
    Fetch { token: Secret, after: u64 },
    /// Deletes messages by their numbers.
    Delete { token: Secret, numbers: Vec<u64> },
    /// The server's counters, for an operator.
    Status { token: Secret },
}
// ANCHOR_END: request

impl Request {
    /// Its name, for a log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ping {} => "ping",
            Self::Register { .. } => "register",
            Self::LogIn { .. } => "log_in",
            Self::Refresh { .. } => "refresh",
            Self::LogOut { .. } => "log_out",
            Self::ChangePassword { .. } => "change_password",
            Self::ChangeKey { .. } => "change_key",
            Self::EndLogins { .. } => "end_logins",
            Self::DeleteAccount { .. } => "delete_account",
            Self::Key { .. } => "key",
            Self::Send { .. } => "send",
            Self::Fetch { .. } => "fetch",
            Self::Delete { .. } => "delete",
            Self::Status { .. } => "status",
        }
    }
}

// ANCHOR: response
/// An answer: an object whose member `is` says what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is named for what it is")]
pub enum Response {
    /// To `ping`.
    Pong {},
    /// To `register`.
    Registered {},
    /// To `log_in` and `refresh`. The access token lives for so many seconds.
    Tokens { access: Secret, refresh: Secret, seconds: u64 },
    /// To `log_out`.
    LoggedOut {},
    /// To `change_password`, `change_key`, `end_logins` and `delete_account`: it is done, and so many
    /// logins were ended.
    Ended { logins: usize },
    /// To `key`.
    Key { name: Name, key: Bytes },
    /// To `send`: it is on the disk. `again` if it was there already.
    Stored { again: bool },
    /// To `fetch`. `more`: there are more than fit into one frame.
    Messages { messages: Vec<Delivery>, more: bool },
    /// To `delete`: so many were there.
    Deleted { count: usize },
    /// To `status`.
    Status(Status),
    /// To any request. `request` is its id in the server's log.
    Refused { because: Refusal, request: String },
}
// ANCHOR_END: response

/// A message on its way to its recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// Its number in this mailbox: larger than those before it.
    pub number: u64,
    /// Who sent it, as the server says. The seal proves it.
    pub from: Name,
    /// Its sender's id for it.
    pub id: MessageId,
    /// The box.
    pub sealed: Bytes,
}

// ANCHOR: status
/// What an operator is told. Each number counts from the start of the server, if nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// For how many seconds the server has been running.
    pub uptime: u64,
    /// When its certificate expires, in seconds since 1970.
    pub certificate_expires: u64,
    /// Connections that are open now and have shaken hands.
    pub connections: u64,
    /// Requests that were answered, refusals among them.
    pub requests: u64,
    /// Requests that were refused, for whatever reason.
    pub refused: u64,
    /// Messages that were stored. One that came twice counts once.
    pub stored: u64,
    /// Messages that lie in the mailboxes now.
    pub waiting: u64,
    /// Logins that were refused for a wrong name or password.
    pub failed_logins: u64,
    /// Refresh tokens that came a second time: somebody had a copy of each.
    pub reused_tokens: u64,
    /// Connections that the server refused or ended: no handshake, no login in time, a broken frame, or
    /// over a limit.
    pub dropped: u64,
    /// Log lines that could not be written.
    pub lines_lost: u64,
    /// Log lines that were left out, because others can't choose how long the log gets.
    pub lines_left_out: u64,
}
// ANCHOR_END: status

/// Why a request was refused. Nothing more is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// A wrong password, or a token that is not accepted: log in again.
    #[error(
        "not authenticated: the name or password is wrong, or the server doesn't accept the token"
    )]
    Unauthorized,
    /// Authenticated, and not allowed.
    #[error("not allowed")]
    Forbidden,
    /// Not a request, or not within its limits. The connection is closed.
    #[error("not a request of this protocol")]
    BadRequest,
    /// No account of that name.
    #[error("no account of that name")]
    NoAccount,
    /// The name is in use.
    #[error("the name is in use")]
    Taken,
    /// A message of that id and other content is there already.
    #[error("another message has that id")]
    Conflict,
    /// The recipient's mailbox, the sender's quota or the server is full.
    #[error("full: try again later")]
    Full,
    /// Too many logins, registrations or refreshes, of this account or from this network.
    #[error("too many logins: try again in some minutes")]
    TooManyAttempts,
    /// Too much to do.
    #[error("busy: try again")]
    Busy,
    /// The server cannot do it now: usually because of its disk.
    #[error("the server has a problem: try again later")]
    Unavailable,
}
