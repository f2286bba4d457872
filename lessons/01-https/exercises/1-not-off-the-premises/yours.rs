//! Exercise 1.1: write `policy`.

use reqwest::redirect::Policy;

/// Up to three redirects, and only within the origin of the first request.
pub fn policy() -> Policy {
    todo!()
}
