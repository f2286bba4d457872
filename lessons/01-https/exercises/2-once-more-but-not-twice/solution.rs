//! One deadline for the whole call, computed once. After each failure, the question is whether the request may be sent again.

use std::time::Duration;

use exercises_1::retry::{Failed, Method, Request, Wire};

/// For one try, so that a server that hangs doesn't use up the budget alone.
const TRY: Duration = Duration::from_secs(3);

pub fn ask(wire: &mut Wire, request: &Request, budget: Duration) -> Result<String, Failed> {
    let end = wire.now() + budget;
    // The failure after which nobody knows whether the server carried out the request. No later failure settles that.
    let mut unknown = None;
    // Each pause is twice as long as the one before, so that a server that is down isn't stormed.
    let mut next_pause = Duration::from_millis(200);
    loop {
        let left = end.saturating_sub(wire.now());
        let failed = match wire.send(request, left.min(TRY)) {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        if matches!(failed, Failed::Cut | Failed::TooLate) {
            unknown = Some(failed);
        }
        let pause = match failed {
            Failed::Busy(pause) => pause,
            _ => next_pause,
        };
        next_pause *= 2;
        if !may_be_repeated(request, failed) || wire.now() + pause >= end {
            return Err(unknown.unwrap_or(failed));
        }
        wire.sleep(pause);
    }
}

fn may_be_repeated(request: &Request, failed: Failed) -> bool {
    match failed {
        Failed::NotSent | Failed::Busy(_) => true,
        Failed::Cut | Failed::TooLate => request.method == Method::Get || request.id.is_some(),
    }
}
