//! The answer that most people find first. Because of the bill that was paid twice, POST is not retried any more, and because
//! of the nine seconds, each try gets a third of the budget. But a POST that never left may be sent again, and so may one with an id, and those customers now
//! get an error for no reason. And dividing the budget by three leaves no time for the pauses, whose length the server
//! decides.

use std::time::Duration;

use exercises_1::retry::{Failed, Method, Request, Wire};

pub fn ask(wire: &mut Wire, request: &Request, budget: Duration) -> Result<String, Failed> {
    let tries = if request.method == Method::Get { 3 } else { 1 };
    let mut last = Failed::NotSent;
    for _ in 0..tries {
        match wire.send(request, budget / 3) {
            Ok(answer) => return Ok(answer),
            Err(failed) => last = failed,
        }
        if let Failed::Busy(pause) = last {
            wire.sleep(pause);
        }
    }
    Err(last)
}
