//! Decides whether a token is accepted.
//!
//! The mistakes this prevents are those that jsonwebtoken's defaults leave open (observed with
//! 11.1.0): a claim is checked only if it is there; `nbf` and `iat` are not checked; `exp` may lie
//! as far ahead as it likes; `typ` and `crit` are not looked at; a list of issuers counts if one of
//! them is ours.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::{Header, Validation};
use rustls_pki_types::CertificateDer;
use serde::de::{self, DeserializeOwned, IgnoredAny, Visitor, value};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::binding::Confirmation;
use crate::claims::{Claims, REGISTERED, there};
use crate::clock::Clock;
use crate::denylist::{DenyList, DenyListFull};
use crate::jwks::KeySet;
use crate::keys::{KeyId, VerifyingKey};
use crate::profile::Profile;

/// The longest token that is looked at, in bytes.
pub const LONGEST_TOKEN: usize = 8 * 1024;

/// A token was refused. Its text is the same whatever the reason, so that it may go to a client;
/// [`reason`](Self::reason) is for your log.
#[derive(Clone, PartialEq, Eq)]
pub struct Refused(Reason);

/// Why a token was refused. For the log of the one who refused it, never for the one who sent it:
/// each answer would tell an attacker how far he came. No token, no claim's value and no key stands
/// in it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Reason {
    /// Longer than [`LONGEST_TOKEN`].
    #[error("expected at most {LONGEST_TOKEN} bytes, got {0}")]
    TooLong(usize),
    /// Not three parts of base64url, the first of them the header of a signed token.
    #[error("not a signed token: {0}")]
    Malformed(&'static str),
    /// It names no key, or one that is not in the set.
    #[error("signed with a key that is not in the set")]
    UnknownKey,
    /// Another algorithm than its key's.
    #[error("expected the algorithm {expected}, got {got}")]
    Algorithm {
        /// The key's.
        expected: &'static str,
        /// The token's.
        got: String,
    },
    /// The signature is not its key's.
    #[error("the signature is not valid")]
    Signature,
    /// It has extensions that must be understood (RFC 7515 section 4.1.11).
    #[error("critical extensions (crit) that this verifier does not know")]
    Critical,
    /// A token of another kind.
    #[error("expected the kind {0}, got another kind or none")]
    Kind(&'static str),
    /// Claims are missing or of another type.
    #[error("claims: {0}")]
    Claims(String),
    /// Another issuer.
    #[error("another issuer")]
    Issuer,
    /// For another service.
    #[error("for another audience")]
    Audience,
    /// Over.
    #[error("expired {0} s ago")]
    Expired(u64),
    /// Too early.
    #[error("not valid before {0} s from now")]
    NotYet(u64),
    /// Issued in the future.
    #[error("issued {0} s from now")]
    FromTheFuture(u64),
    /// It lives longer than the profile allows, or not at all.
    #[error("expected a lifetime of 1 to {most} s")]
    Lifetime {
        /// In seconds.
        most: u64,
    },
    /// On the deny list.
    #[error("on the deny list")]
    Denied,
    /// Bound to a holder who did not show who he is.
    #[error("bound to the holder of another certificate, or presented without one")]
    NotTheHolder,
    /// A bearer token where only bound ones are accepted.
    #[error("expected a token that is bound to its holder")]
    NotBound,
    /// The keys are too old to be trusted, and there are no newer ones.
    #[error("no fresh keys")]
    NoKeys,
}

const PARTS: &str = "expected three parts";

/// Verifies tokens of one profile.
pub struct Verifier {
    profile: Profile,
    clock: Clock,
    keys: BTreeMap<KeyId, (VerifyingKey, Validation)>,
    denied: Option<Arc<DenyList>>,
}

impl Verifier {
    // ANCHOR: new
    /// Its profile says what a token must say, each key of the set how it must be signed.
    pub fn new(profile: Profile, keys: KeySet, clock: Clock) -> Self {
        let keys = keys.into_keys().map(|key| {
            let mut validation = Validation::new(key.algorithm.of_jsonwebtoken());
            validation.set_issuer(&[&profile.issuer]);
            validation.set_audience(&[&profile.audience]);
            validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
            // The times are checked below, by our own clock.
            validation.validate_exp = false;
            validation.validate_nbf = false;
            (key.id.clone(), (key, validation))
        });
        Self { keys: keys.collect(), profile, clock, denied: None }
    }
    // ANCHOR_END: new

    /// Refuses what stands on this list, too.
    pub fn with_deny_list(mut self, denied: Arc<DenyList>) -> Self {
        self.denied = Some(denied);
        self
    }

    /// The claims of a bearer token.
    ///
    /// # Errors
    /// [`Refused`]; a token that is bound to a holder, too.
    pub fn verify<T: DeserializeOwned>(&self, token: &str) -> Result<Claims<T>, Refused> {
        let claims = self.check(token).map_err(Refused)?;
        match claims.cnf {
            None => Ok(claims),
            Some(_) => Err(Refused(Reason::NotTheHolder)),
        }
    }

    /// The claims of a token that is bound to the holder of this certificate: the one with which
    /// the client proved itself on this TLS connection.
    ///
    /// # Errors
    /// [`Refused`]; a bearer token, too.
    pub fn verify_bound<T: DeserializeOwned>(
        &self,
        token: &str,
        certificate: &CertificateDer<'_>,
    ) -> Result<Claims<T>, Refused> {
        let claims = self.check(token).map_err(Refused)?;
        match &claims.cnf {
            Some(holder) if holder.fits(certificate) => Ok(claims),
            Some(_) => Err(Refused(Reason::NotTheHolder)),
            None => Err(Refused(Reason::NotBound)),
        }
    }

    // ANCHOR: check
    fn check<T: DeserializeOwned>(&self, token: &str) -> Result<Claims<T>, Reason> {
        if token.len() > LONGEST_TOKEN {
            return Err(Reason::TooLong(token.len()));
        }
        // The header is the sender's word: it finds the key, and decides nothing.
        let header = decoded_header(token)?;
        let header = untrusted_header(&header)?;
        let id = header.kid.as_ref().ok_or(Reason::UnknownKey)?.0.as_ref();
        let (key, validation) = self.keys.get(id).ok_or(Reason::UnknownKey)?;
        if header.alg != key.algorithm.of_jsonwebtoken() {
            let got = format!("{:?}", header.alg);
            return Err(Reason::Algorithm { expected: key.algorithm.name(), got });
        }
        if let Some(name) = registered_name_in::<T>() {
            return Err(Reason::Claims(format!("your own have the registered name {name}")));
        }
        let decoded = jsonwebtoken::decode::<Claims<T>>(token, &key.decoding, validation)
            .map_err(|error| after_header(error, token))?;
        // From here on it is the issuer's word.
        self.check_header(&decoded.header, header.crit.is_some())?;
        self.check_claims(&decoded.claims)?;
        Ok(decoded.claims)
    }
    // ANCHOR_END: check

    // ANCHOR: rules
    fn check_header(&self, header: &Header, crit: bool) -> Result<(), Reason> {
        if crit {
            return Err(Reason::Critical);
        }
        let kind = &self.profile.kind;
        match header.typ.as_deref().is_some_and(|typ| kind.is(typ)) {
            true => Ok(()),
            false => Err(Reason::Kind(kind.as_str())),
        }
    }

    fn check_claims<T>(&self, claims: &Claims<T>) -> Result<(), Reason> {
        let (now, leeway) = (self.clock.now(), self.profile.leeway);
        if claims.sub.is_empty() || claims.jti.is_empty() {
            return Err(Reason::Claims("an empty sub or jti".to_owned()));
        }
        let most = self.profile.lifetime;
        if claims.exp <= claims.iat || claims.exp - claims.iat > most {
            return Err(Reason::Lifetime { most });
        }
        // RFC 7519 section 4.1.4: on or after exp, it must not be accepted.
        if now >= claims.exp.saturating_add(leeway) {
            return Err(Reason::Expired(now - claims.exp));
        }
        if claims.iat > now.saturating_add(leeway) {
            return Err(Reason::FromTheFuture(claims.iat - now));
        }
        if let Some(nbf) = claims.nbf.filter(|&nbf| nbf > now.saturating_add(leeway)) {
            return Err(Reason::NotYet(nbf - now));
        }
        match &self.denied {
            Some(denied) if denied.has(claims) => Err(Reason::Denied),
            _ => Ok(()),
        }
    }
    // ANCHOR_END: rules

    /// Refuses a token from now on that it would accept: after a logout, or a theft. Remembered at
    /// least until [`MOST_LEEWAY`](crate::profile::MOST_LEEWAY) after it expires: so long a
    /// verifier that shares the list could accept it.
    ///
    /// # Errors
    /// The list is full, or there is none: then its size is 0.
    pub fn deny<T>(&self, claims: &Claims<T>) -> Result<(), DenyListFull> {
        let nowhere = DenyList::new(0);
        self.denied.as_deref().unwrap_or(&nowhere).deny(claims, self.clock.now())
    }
}

impl Refused {
    /// For your log.
    pub fn reason(&self) -> &Reason {
        &self.0
    }

    pub(crate) fn because(reason: Reason) -> Self {
        Self(reason)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the token is refused")
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refused({:?})", self.0)
    }
}

impl std::error::Error for Refused {}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("profile", &self.profile)
            .field("keys", &self.keys.len())
            .finish()
    }
}

/// What is needed of a header before the signature is checked. The whole of it is parsed by jsonwebtoken.
#[derive(Deserialize)]
struct UntrustedHeader<'a> {
    alg: jsonwebtoken::Algorithm,
    #[serde(borrow, default)]
    kid: Option<Text<'a>>,
    /// Even as `null`: jsonwebtoken takes that for none (observed with 11.1.0).
    #[serde(default, deserialize_with = "there")]
    crit: Option<IgnoredAny>,
}

/// Borrowed where it has no escapes. (serde borrows no text inside an `Option` by itself.)
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The first of the parts; jsonwebtoken counts them.
fn decoded_header(token: &str) -> Result<Vec<u8>, Reason> {
    let (header, _) = token.split_once('.').ok_or(Reason::Malformed(PARTS))?;
    BASE64_URL_SAFE_NO_PAD.decode(header).map_err(|_| Reason::Malformed("a part is not base64url"))
}

fn untrusted_header(json: &[u8]) -> Result<UntrustedHeader<'_>, Reason> {
    serde_json::from_slice(json)
        .map_err(|_| Reason::Malformed("the header is not one of a signed token"))
}

fn after_header(error: JwtError, token: &str) -> Reason {
    match error.kind() {
        // Also a signature that is no base64url, or the wrong number of bytes.
        ErrorKind::InvalidSignature | ErrorKind::Base64(_) => Reason::Signature,
        ErrorKind::InvalidIssuer => Reason::Issuer,
        ErrorKind::InvalidAudience => Reason::Audience,
        ErrorKind::MissingRequiredClaim(name) => {
            Reason::Claims(format!("missing or of another type: {name}"))
        }
        ErrorKind::Json(error) => Reason::Claims(without_values(error, token)),
        ErrorKind::InvalidToken => Reason::Malformed(PARTS),
        _ => Reason::Malformed("not accepted by the library"),
    }
}

/// What serde says, if it names a field only; its other texts quote the value that it found.
fn without_values(error: &serde_json::Error, token: &str) -> String {
    let text = error.to_string();
    let names = text.starts_with("missing field") || text.starts_with("duplicate field");
    match text.split(" at line").next() {
        Some(named) if names => named.to_owned(),
        _ => match wrong_claim(token) {
            Some(name) => format!("{name} is not of the expected type"),
            None => "one of your own is not of the expected type".to_owned(),
        },
    }
}

/// The registered claim that has another type than [`Claims`] has. The signature was checked before.
fn wrong_claim(token: &str) -> Option<&'static str> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Map<String, Value> = serde_json::from_slice(&claims).ok()?;
    REGISTERED.into_iter().find(|&name| {
        let fits = |value: &Value| match name {
            "exp" | "iat" | "nbf" => value.is_u64(),
            "cnf" => Confirmation::deserialize(value).is_ok(),
            _ => value.is_string(),
        };
        claims.get(name).is_some_and(|value| !fits(value))
    })
}

/// The first of the registered names that is a field of `T`, if `T` is a struct. [`Claims`] would take the claim, and an
/// optional field of `T` would be `None`, whatever the token says.
fn registered_name_in<'de, T: Deserialize<'de>>() -> Option<&'static str> {
    let mut fields: &'static [&'static str] = &[];
    let _always_an_error = T::deserialize(FieldsOf(&mut fields));
    REGISTERED.into_iter().find(|name| fields.contains(name))
}

/// Asks a struct for its fields' names, and gives it nothing.
struct FieldsOf<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldsOf<'_> {
    type Error = value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(de::Error::custom(""))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom(""))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::NoMore;
    use crate::issuer::Issuer;
    use crate::keys::{KeyId, SigningKey};
    use crate::profile::TokenType;

    const NOW: u64 = 1_795_600_000;

    fn profile(audience: &str) -> Profile {
        Profile::new("https://login.test", audience, TokenType::ACCESS).expect("a profile")
    }

    /// An issuer for one audience, a verifier for it, and the clock of both.
    fn pair() -> (Issuer, Verifier, Clock) {
        let clock = Clock::settable(NOW);
        let key = SigningKey::ed25519(KeyId::new("2026-11").expect("an id")).expect("a key");
        let keys = KeySet::new([key.verifying()]).expect("a set");
        let issuer = Issuer::new(profile("https://accounts.test"), key, clock.clone());
        let verifier = Verifier::new(profile("https://accounts.test"), keys, clock.clone());
        (issuer, verifier, clock)
    }

    #[test]
    fn a_token_is_accepted_until_the_second_it_expires() {
        let (issuer, verifier, clock) = pair();
        let token = issuer.issue("alice", &NoMore {}).expect("a token");
        let claims = verifier.verify::<NoMore>(token.expose()).expect("accepted");
        assert_eq!(claims.sub, "alice");
        clock.set(claims.exp - 1);
        assert!(verifier.verify::<NoMore>(token.expose()).is_ok());
        clock.set(claims.exp + crate::profile::MOST_LEEWAY.as_secs());
        assert!(verifier.verify::<NoMore>(token.expose()).is_err());
    }

    #[test]
    fn a_token_for_another_service_is_refused() {
        let (_, verifier, clock) = pair();
        let key = SigningKey::ed25519(KeyId::new("2026-11").expect("an id")).expect("a key");
        let keys = KeySet::new([key.verifying()]).expect("a set");
        let elsewhere = Issuer::new(profile("https://photos.test"), key, clock.clone());
        let token = elsewhere.issue("alice", &NoMore {}).expect("a token");
        let same_key = Verifier::new(profile("https://accounts.test"), keys, clock);
        assert!(same_key.verify::<NoMore>(token.expose()).is_err());
        assert!(verifier.verify::<NoMore>(token.expose()).is_err(), "and another key");
    }

    #[test]
    fn a_changed_token_is_refused_with_the_one_answer() {
        let (issuer, verifier, _) = pair();
        let token = issuer.issue("alice", &NoMore {}).expect("a token");
        let (unsigned, _signature) = token.expose().rsplit_once('.').expect("three parts");
        let refused =
            |token: &str| verifier.verify::<NoMore>(token).expect_err("refused").to_string();
        let answers = [
            refused(&format!("{unsigned}.")),
            refused(&format!("{unsigned}.AAAA")),
            refused(&format!("x{}", token.expose())),
            refused("not a token"),
        ];
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
}
