//! The answer that most people find first takes a genuine token, and writes another name into it. Everybody who has seen that
//! the claims are only base64 tries this. But all three doors check a signature, and it covers the claims. The doors go
//! wrong in which key they check it with, and in what they read afterwards.

use exercises_4::three_doors::Mallory;
use jwt::lab::forge;

pub fn forge(_door: u8, mallory: &Mallory) -> String {
    let mut claims = forge::json(&mallory.token, 1).unwrap_or_default();
    claims["sub"] = "alice".into();
    let header = forge::json(&mallory.token, 0).unwrap_or_default();
    let signature = mallory.token.rsplit('.').next().unwrap_or_default();
    format!("{}.{signature}", forge::unsigned(&header, &claims))
}
