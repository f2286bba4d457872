//! The origin of the first request, compared as a whole, and a count.

use reqwest::redirect::Policy;

const MOST: usize = 3;

pub fn policy() -> Policy {
    Policy::custom(|attempt| {
        let (first, next) = (&attempt.previous()[0], attempt.url());
        if first.origin() != next.origin() {
            return attempt.error("expected a redirect within the origin of the first request");
        }
        if attempt.previous().len() > MOST {
            return attempt.error("expected at most three redirects");
        }
        attempt.follow()
    })
}
