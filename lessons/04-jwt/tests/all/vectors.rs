//! The standards' own examples.

use careful_tokens::jwks::KeySet;
use careful_tokens::keys::{self, KeyId, VerifyingKey};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::{Value, json};

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// Verifies an example, and sees every other signature of one flipped bit refused.
fn verifies(jwk: Value, algorithm: Algorithm, token: &str) -> TestResult {
    let jwk: Jwk = serde_json::from_value(jwk)?;
    let key = DecodingKey::from_jwk(&jwk)?;
    let (message, signature) = token.rsplit_once('.').ok_or("three parts")?;
    assert!(crypto::verify(signature, message.as_bytes(), &key, algorithm)?);
    let mut changed = message.as_bytes().to_vec();
    for at in 0..changed.len() {
        changed[at] ^= 1;
        assert!(!crypto::verify(signature, &changed, &key, algorithm)?, "byte {at}");
        changed[at] ^= 1;
    }
    Ok(())
}

/// RFC 7515, appendix A.1.
#[test]
fn hs256_verifies_the_example_of_its_standard() -> TestResult {
    let jwk = json!({
        "kty": "oct",
        "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
    });
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\
        .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
        .dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    verifies(jwk, Algorithm::HS256, token)
}

/// RFC 7515, appendix A.3.
#[test]
fn es256_verifies_the_example_of_its_standard() -> TestResult {
    let jwk = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    });
    let token = "eyJhbGciOiJFUzI1NiJ9\
        .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
        .DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    verifies(jwk, Algorithm::ES256, token)
}

/// RFC 8037, appendix A.4.
#[test]
fn eddsa_verifies_the_example_of_its_standard() -> TestResult {
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc\
        .hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    verifies(ed25519(), Algorithm::EdDSA, token)
}

/// RFC 8037, appendix A.2.
fn ed25519() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
}

/// RFC 8037, appendices A.2 and A.3.
#[test]
fn a_key_set_says_the_key_of_the_standard_as_the_standard_does() -> TestResult {
    let mut published = ed25519();
    published["kid"] = "rfc-8037".into();
    let set = json!({ "keys": [published] }).to_string();
    let set = KeySet::from_jwks(set.as_bytes())?;
    let read_back: Value = serde_json::from_str(&set.to_jwks()?)?;
    for name in ["kty", "crv", "x"] {
        assert_eq!(read_back["keys"][0][name], ed25519()[name]);
    }
    let jwk: Jwk = serde_json::from_value(read_back["keys"][0].clone())?;
    assert_eq!(
        jwk.thumbprint(ThumbprintHash::SHA256)?,
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
    Ok(())
}

/// RFC 7515, appendix A.3: its coordinates as an uncompressed point, there and back.
#[test]
fn a_point_of_p256_is_published_as_its_coordinates() -> TestResult {
    let set = json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "kid": "rfc-7515", "alg": "ES256", "use": "sig",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    }]});
    let read = KeySet::from_jwks(set.to_string().as_bytes())?;
    let read_back: Value = serde_json::from_str(&read.to_jwks()?)?;
    assert_eq!(read_back, set);
    let off_the_curve = [&[4_u8][..], &[1; 64]].concat();
    let id = KeyId::new("none")?;
    assert!(VerifyingKey::from_public(id, keys::Algorithm::Es256, &off_the_curve).is_err());
    Ok(())
}
