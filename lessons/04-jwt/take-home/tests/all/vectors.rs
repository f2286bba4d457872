//! The byte vectors of this crate's keys and tokens, `../vectors.json`: what Python made is read, published and verified
//! here, byte for byte. A format that is changed by mistake fails here, without a foreign peer.

use std::error::Error;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use careful_tokens::binding::Confirmation;
use careful_tokens::claims::Claims;
use careful_tokens::clock::Clock;
use careful_tokens::issuer::Issuer;
use careful_tokens::jwks::KeySet;
use careful_tokens::keys::{Algorithm, KeyId, SigningKey};
use careful_tokens::profile::{Profile, TokenType};
use careful_tokens::verifier::{Reason, Verifier};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

type TestResult = Result<(), Box<dyn Error>>;

/// What the tokens have besides the registered claims.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Scope {
    scope: String,
}

/// One vector.
struct Vector(Value);

impl Vector {
    fn of(kind: &str) -> Vec<Self> {
        let all: Value = serde_json::from_str(include_str!("../vectors.json")).expect("JSON");
        let vectors = all[kind].as_array().expect("vectors of this kind").clone();
        assert!(!vectors.is_empty(), "{kind}");
        vectors.into_iter().map(Self).collect()
    }

    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_else(|| panic!("expected a text {name}"))
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let digits = self.text(name).as_bytes().chunks(2);
        let pair = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16);
        digits.map(|digits| pair(digits).expect("hexadecimal")).collect()
    }

    fn algorithm(&self) -> Algorithm {
        let all = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Hs256];
        let named = all.into_iter().find(|algorithm| algorithm.name() == self.text("alg"));
        named.unwrap_or_else(|| panic!("expected an algorithm"))
    }

    /// The signing key of a token's vector.
    fn key(&self) -> Result<SigningKey, Box<dyn Error>> {
        let (id, secret) = (KeyId::new(self.text("kid"))?, self.bytes("secret"));
        if self.algorithm() == Algorithm::Hs256 {
            return Ok(SigningKey::hs256(id, secret.as_slice().try_into()?)?);
        }
        let of_this_key = |key: &Self| key.text("secret") == self.text("secret");
        let key = Self::of("key").into_iter().find(of_this_key).ok_or("a key of this secret")?;
        Ok(SigningKey::from_pkcs8(id, self.algorithm(), &key.bytes("pkcs8"))?)
    }

    fn profile(&self) -> Result<Profile, Box<dyn Error>> {
        let claim =
            |name: &str| self.0["claims"][name].as_str().ok_or("a claim").map(str::to_owned);
        let kind = TokenType::new(self.text("typ").to_owned().leak());
        Ok(Profile::new(&claim("iss")?, &claim("aud")?, kind)?)
    }
}

/// Header and claims, as they are before base64.
fn parts(token: &str) -> Result<[String; 2], Box<dyn Error>> {
    let mut parts = token.split('.').map(|part| BASE64_URL_SAFE_NO_PAD.decode(part));
    let mut next = || -> Result<String, Box<dyn Error>> {
        Ok(String::from_utf8(parts.next().ok_or("a part")??)?)
    };
    Ok([next()?, next()?])
}

#[test]
fn keys_are_read_kept_and_published_so() -> TestResult {
    for vector in Vector::of("key") {
        let id = KeyId::new(vector.text("kid"))?;
        let key = SigningKey::from_pkcs8(id, vector.algorithm(), &vector.bytes("pkcs8"))?;
        assert_eq!(*key.expose(), vector.bytes("pkcs8"));
        let published = KeySet::new([key.verifying()])?.to_jwks()?;
        assert_eq!(published, json!({ "keys": [vector.0["jwk"]] }).to_string());
        let read = KeySet::from_jwks(published.as_bytes())?;
        assert_eq!(read.to_jwks()?, published);
    }
    Ok(())
}

#[test]
fn thumbprints_are_these() -> TestResult {
    for vector in Vector::of("thumbprint") {
        let certificate = CertificateDer::from(vector.bytes("certificate"));
        let confirmation = Confirmation::of_certificate(&certificate);
        let expected = json!({ "x5t#S256": vector.text("thumbprint") });
        assert_eq!(serde_json::to_value(&confirmation)?, expected);
    }
    Ok(())
}

#[test]
fn tokens_are_accepted_and_made_so() -> TestResult {
    let holder = CertificateDer::from(Vector::of("thumbprint")[0].bytes("certificate"));
    for vector in Vector::of("token") {
        let claims: Claims<Scope> = serde_json::from_value(vector.0["claims"].clone())?;
        let clock = Clock::settable(claims.iat);
        let keys = KeySet::new([vector.key()?.verifying()])?;
        let verifier = Verifier::new(vector.profile()?, keys, clock.clone());
        let token = vector.text("token");
        let (bearer, bound) =
            (verifier.verify::<Scope>(token), verifier.verify_bound::<Scope>(token, &holder));
        let (accepted, refused) = match claims.cnf {
            None => (bearer, (bound, Reason::NotBound)),
            Some(_) => (bound, (bearer, Reason::NotTheHolder)),
        };
        assert_eq!(accepted.as_ref(), Ok(&claims));
        assert_eq!(refused.0.expect_err("refused").reason(), &refused.1);

        // What is issued now differs in its id alone, and in what depends on that.
        let issuer = Issuer::new(vector.profile()?, vector.key()?, clock);
        let made = match &claims.cnf {
            None => issuer.issue(&claims.sub, &claims.more)?,
            Some(holder) => issuer.issue_bound(&claims.sub, holder.clone(), &claims.more)?,
        };
        let ours = match &claims.cnf {
            None => verifier.verify::<Scope>(made.expose())?.jti,
            Some(_) => verifier.verify_bound::<Scope>(made.expose(), &holder)?.jti,
        };
        let [header, payload] = parts(made.expose())?;
        assert_eq!([header, payload.replace(&ours, &claims.jti)], parts(token)?);

        for at in 0..token.len() {
            let mut changed = token.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed)?;
            assert!(verifier.verify::<Scope>(&changed).is_err(), "{changed}");
            assert!(verifier.verify_bound::<Scope>(&changed, &holder).is_err(), "{changed}");
        }
    }
    Ok(())
}
