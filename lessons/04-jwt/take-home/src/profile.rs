//! What issuer and verifier agree on. Neither can be built without it.
//!
//! The mistakes this prevents: a token of another issuer, for another service or of another kind
//! that is taken for ours (RFC 8725 sections 3.8, 3.9, 3.11).

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// The longest leeway: RFC 7519 section 4.1.4 speaks of "no more than a few minutes".
pub const MOST_LEEWAY: Duration = Duration::from_secs(120);

/// The longest lifetime: RFC 6750 section 5.3 recommends "one hour or less".
pub const MOST_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// The kind of a token, in the header's `typ`: tokens of two kinds are never taken for one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenType(&'static str);

impl TokenType {
    /// An access token. The kind is that of RFC 9068 section 2.1, whose tokens also have a `client_id` (section 2.2): add
    /// it to your own claims if you follow that RFC.
    pub const ACCESS: Self = Self("at+jwt");

    /// A kind of your own, as `receipt+jwt` (RFC 8725 section 3.11). [`Profile::new`] checks it.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// As it stands in a header.
    pub fn as_str(&self) -> &'static str {
        self.0
    }

    /// Media types are compared without case, and `application/` may stand before them (RFC 7515
    /// section 4.1.9).
    pub(crate) fn is(&self, typ: &str) -> bool {
        let prefix = "application/";
        let typ = match typ.get(..prefix.len()) {
            Some(start) if start.eq_ignore_ascii_case(prefix) => &typ[prefix.len()..],
            _ => typ,
        };
        typ.eq_ignore_ascii_case(self.0)
    }
}

impl fmt::Display for TokenType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Why there is no profile.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ProfileError {
    /// A name is empty.
    #[error("expected the name of the {0}, got an empty one")]
    NoName(&'static str),
    /// Not a kind that only these tokens have. `JWT` is what ID tokens and many others are.
    #[error("expected a kind of letters and digits before +jwt, as receipt+jwt, got {0:?}")]
    Kind(&'static str),
    /// No lifetime at all.
    #[error("expected a lifetime of at least a second")]
    NoLifetime,
    /// A thief has so long.
    #[error("expected a lifetime of at most {MOST_LIFETIME:?}, got {0:?}")]
    Lifetime(Duration),
    /// A clock may not be that wrong.
    #[error("expected a leeway of at most {MOST_LEEWAY:?}, got {0:?}: set your clocks")]
    Leeway(Duration),
}

// ANCHOR: profile
/// Who issues a kind of token, for which service, and how long it lives.
#[derive(Clone, Debug)]
pub struct Profile {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) kind: TokenType,
    pub(crate) lifetime: u64,
    pub(crate) leeway: u64,
}

impl Profile {
    /// Tokens that live for ten minutes, and five seconds of leeway between the clocks.
    ///
    /// # Errors
    /// [`ProfileError::NoName`], [`ProfileError::Kind`]
    pub fn new(issuer: &str, audience: &str, kind: TokenType) -> Result<Self, ProfileError> {
        for (what, name) in [("issuer", issuer), ("audience", audience)] {
            if name.is_empty() {
                return Err(ProfileError::NoName(what));
            }
        }
        let fits =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        let own =
            kind.0.strip_suffix("+jwt").filter(|own| !own.is_empty() && own.bytes().all(fits));
        own.ok_or(ProfileError::Kind(kind.0))?;
        let (issuer, audience) = (issuer.to_owned(), audience.to_owned());
        Ok(Self { issuer, audience, kind, lifetime: 600, leeway: 5 })
    }
    // ANCHOR_END: profile

    /// How long a token lives, in whole seconds: the issuer gives it that, the verifier refuses
    /// more. At most [`MOST_LIFETIME`].
    ///
    /// # Errors
    /// [`ProfileError::NoLifetime`], [`ProfileError::Lifetime`]
    pub fn lifetime(mut self, lifetime: Duration) -> Result<Self, ProfileError> {
        self.lifetime = lifetime.as_secs();
        match self.lifetime {
            0 => Err(ProfileError::NoLifetime),
            _ if lifetime > MOST_LIFETIME => Err(ProfileError::Lifetime(lifetime)),
            _ => Ok(self),
        }
    }

    /// How far the clocks of issuer and verifier may differ, in whole seconds.
    ///
    /// # Errors
    /// [`ProfileError::Leeway`]
    pub fn leeway(mut self, leeway: Duration) -> Result<Self, ProfileError> {
        self.leeway = leeway.as_secs();
        if leeway > MOST_LEEWAY { Err(ProfileError::Leeway(leeway)) } else { Ok(self) }
    }
}
