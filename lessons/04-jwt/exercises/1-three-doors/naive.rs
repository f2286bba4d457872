//! The answer that most people find first: take a genuine token, and write another name into it. It's what everybody
//! tries who has seen that the claims are only base64. But all three doors check a signature, and it covers the claims. The
//! mistakes aren't in the signature; they are in what is believed after it, or by which key.

use exercises_4::three_doors::Mallory;
use jwt::lab::forge;

pub fn forge(_door: u8, mallory: &Mallory) -> String {
    let mut claims = forge::json(&mallory.token, 1).unwrap_or_default();
    claims["sub"] = "alice".into();
    let header = forge::json(&mallory.token, 0).unwrap_or_default();
    let signature = mallory.token.rsplit('.').next().unwrap_or_default();
    format!("{}.{signature}", forge::unsigned(&header, &claims))
}
