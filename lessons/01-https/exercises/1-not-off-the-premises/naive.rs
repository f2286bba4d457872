//! The answer that most people find first allows only our own domain, and compares the end of the host's name. That is how
//! you would say the rule aloud. But a host can end in the same letters without being in the domain (`evilbank.test`).
//! Somebody else may run another host of the domain, another port is another program, and over http everybody on the wire
//! can read the key. And nothing counts the redirects.

use reqwest::redirect::Policy;

pub fn policy() -> Policy {
    Policy::custom(|attempt| match attempt.url().host_str() {
        Some(host) if host.ends_with("bank.test") => attempt.follow(),
        _ => attempt.stop(),
    })
}
