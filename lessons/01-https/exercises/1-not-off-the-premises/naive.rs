//! The answer that most people find first: only our own domain, so compare the end of the host's name. It looks like what one
//! says aloud. But a name's end isn't a domain (`evilbank.test`), another host of the domain is run by somebody else, another
//! port is another program, and http is everybody who can see the wire. And nobody counts.

use reqwest::redirect::Policy;

pub fn policy() -> Policy {
    Policy::custom(|attempt| match attempt.url().host_str() {
        Some(host) if host.ends_with("bank.test") => attempt.follow(),
        _ => attempt.stop(),
    })
}
