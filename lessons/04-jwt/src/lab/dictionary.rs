//! A dictionary attack on an HMAC secret: one captured token is enough to try in private.

use crate::lab::forge;

/// A hundred secrets that people choose, or leave as they were.
pub const WORDS: &str = "\
123456 password 123456789 12345678 12345 qwerty 1234567 111111 1234567890 123123 abc123 1234 password1
iloveyou 1q2w3e4r 000000 qwerty123 zaq12wsx dragon sunshine princess letmein 654321 monkey 1qaz2wsx
123321 qwertyuiop superman asdfghjkl football baseball welcome shadow master michael jennifer hunter2
trustno1 admin administrator root toor guest test test123 testing demo default changeme change-me
please-change-me secret secret1 secret123 secretkey secret-key secret_key mysecret my-secret my_secret_key
supersecret super-secret topsecret jwt jwtsecret jwt-secret jwt_secret jwt_secret_key jwtsecretkey token
tokensecret token-secret key private privatekey private-key signingkey signing-key hmac hmacsecret hs256
your-256-bit-secret your_secret your-secret-key yoursecretkey app appsecret app-secret example development
dev devsecret production prod staging local localhost server api apikey api-key api_secret";

/// What a search came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Search {
    /// How many secrets were tried.
    pub tries: usize,
    /// The one that fits.
    pub found: Option<&'static str>,
}

// ANCHOR: search
/// Tries each word against the signature of one token.
pub fn search(token: &str) -> Search {
    let (unsigned, _signature) = token.rsplit_once('.').unwrap_or_default();
    let mut tries = 0;
    for word in WORDS.split_whitespace() {
        tries += 1;
        if forge::hs256(word.as_bytes(), unsigned) == token {
            return Search { tries, found: Some(word) };
        }
    }
    Search { tries, found: None }
}
// ANCHOR_END: search
