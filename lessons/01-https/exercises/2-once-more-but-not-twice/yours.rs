//! Exercise 1.2: fix `ask`.

use std::time::Duration;

use exercises_1::retry::{Failed, Method, Request, Wire};

/// Sends a request, and again if that helps and can't do harm, within the budget. The answer, or the
/// failure that says what happened to the request.
pub fn ask(wire: &mut Wire, request: &Request, budget: Duration) -> Result<String, Failed> {
    let mut last = Failed::NotSent;
    for _ in 0..3 {
        match wire.send(request, Duration::from_secs(3)) {
            Ok(answer) => return Ok(answer),
            Err(Failed::Busy(pause)) => wire.sleep(pause),
            Err(failed) => last = failed,
        }
    }
    Err(last)
}
