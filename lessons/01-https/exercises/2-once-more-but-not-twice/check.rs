//! A wire that fails as it's told, and a bank at its other end that counts what it pays.

use std::collections::BTreeSet;
use std::time::Duration;

use trial::Trial;

#[cfg(test)]
#[path = "naive.rs"]
mod naive;
#[cfg(test)]
#[path = "solution.rs"]
mod solution;
#[cfg(test)]
#[path = "stub.rs"]
mod stub;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Asks, and changes nothing.
    Get,
    /// Pays.
    Post,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it does.
    pub method: Method,
    /// By which the server recognizes a request that comes again.
    pub id: Option<u64>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// There was no connection: it did not arrive.
    NotSent,
    /// It was sent, and the answer was cut off.
    Cut,
    /// It was sent, and no answer came in time.
    TooLate,
    /// The server did nothing, and asks for this pause (503 with Retry-After).
    Busy(Duration),
}

/// What happens to one try.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    NotSent,
    Cut,
    /// The server carries it out, and answers after so long.
    After(Duration),
    Busy(Duration),
}

/// A wire to the bank. Its time is its own.
pub struct Wire {
    now: Duration,
    /// For one try after the other; the last one is for all that follow.
    fates: Vec<Fate>,
    tries: usize,
    paid: u32,
    known: BTreeSet<u64>,
    /// When the pause is over that the server asked for.
    busy_until: Duration,
    /// It was asked before.
    early: bool,
}

const SECOND: Duration = Duration::from_secs(1);
/// What a try takes that ends by itself.
const ROUND_TRIP: Duration = Duration::from_millis(50);
/// What the clock says when a request begins.
const START: Duration = Duration::from_secs(5000);

impl Wire {
    fn new(fates: &[Fate]) -> Self {
        Self {
            now: START,
            fates: fates.to_vec(),
            tries: 0,
            paid: 0,
            known: BTreeSet::new(),
            busy_until: START,
            early: false,
        }
    }

    /// The time, on a clock that began some day.
    pub fn now(&self) -> Duration {
        self.now
    }

    fn took(&self) -> Duration {
        self.now - START
    }

    /// Waits.
    pub fn sleep(&mut self, pause: Duration) {
        self.now += pause;
    }

    /// One try, which takes at most so long.
    pub fn send(&mut self, request: &Request, patience: Duration) -> Result<String, Failed> {
        let fate =
            self.fates.get(self.tries).or(self.fates.last()).copied().unwrap_or(Fate::Answered);
        self.tries += 1;
        assert!(self.tries < 10_000, "ten thousand tries");
        self.early |= self.now < self.busy_until;
        let takes = match fate {
            Fate::After(long) => long,
            _ => ROUND_TRIP,
        };
        let in_time = takes <= patience;
        self.now += takes.min(patience);
        match fate {
            Fate::NotSent => return Err(Failed::NotSent),
            Fate::Busy(pause) => {
                self.busy_until = self.now + pause;
                return Err(Failed::Busy(pause));
            }
            _ => self.carry_out(request),
        }
        match fate {
            _ if !in_time => Err(Failed::TooLate),
            Fate::Cut => Err(Failed::Cut),
            _ => Ok("done".to_owned()),
        }
    }

    fn carry_out(&mut self, request: &Request) {
        let known = request.id.is_some_and(|id| !self.known.insert(id));
        if request.method == Method::Post && !known {
            self.paid += 1;
        }
    }
}

/// What the learner writes.
pub type Ask = fn(&mut Wire, &Request, Duration) -> Result<String, Failed>;

const GET: Request = Request { method: Method::Get, id: None };
const POST: Request = Request { method: Method::Post, id: None };
const POST_WITH_ID: Request = Request { method: Method::Post, id: Some(17) };

/// The budget of every request here.
const BUDGET: Duration = Duration::from_secs(4);

fn answered(ask: Ask, request: Request, fates: &[Fate]) -> Result<(), String> {
    let mut wire = Wire::new(fates);
    match ask(&mut wire, &request, BUDGET) {
        Ok(_) if wire.took() > BUDGET => Err(format!("it took {:?} of {BUDGET:?}", wire.took())),
        Ok(_) if wire.early => {
            Err("the server was asked again before its pause was over".to_owned())
        }
        Ok(_) => Ok(()),
        Err(failed) => {
            Err(format!("expected an answer, got {failed:?} after tries: {}", wire.tries))
        }
    }
}

/// How often it is paid.
fn paid(ask: Ask, request: Request, fates: &[Fate]) -> Option<String> {
    let mut wire = Wire::new(fates);
    let _ = ask(&mut wire, &request, BUDGET);
    (wire.paid > 1).then(|| format!("The bill is paid {} times.", wire.paid))
}

/// How long it takes, with small and large budgets.
fn takes(ask: Ask, request: Request, fates: &[Fate]) -> Option<String> {
    [BUDGET, SECOND / 2, 5 * BUDGET].into_iter().find_map(|budget| {
        let mut wire = Wire::new(fates);
        let _ = ask(&mut wire, &request, budget);
        let took = wire.took();
        (took > budget).then(|| format!("It takes {took:?}; the budget is {budget:?}."))
    })
}

/// A server asks for a longer pause than there is time, which the caller hears at once.
fn waits_for_nothing(ask: Ask) -> Option<String> {
    let pause = 3600 * SECOND;
    let mut wire = Wire::new(&[Fate::Busy(pause)]);
    match ask(&mut wire, &GET, BUDGET) {
        Err(Failed::Busy(asked)) if asked == pause && wire.took() <= SECOND => None,
        Err(Failed::Busy(asked)) if asked == pause => Some(format!(
            "The caller waits {:?}, and hears only then that it was for nothing.",
            wire.took()
        )),
        other => Some(format!("The caller doesn't hear for how long to wait, but {other:?}.")),
    }
}

/// A caller who hears that nothing was done writes another bill, with another id.
fn billed_again(ask: Ask, fates: &[Fate]) -> Option<String> {
    let mut wire = Wire::new(fates);
    let failed = ask(&mut wire, &POST_WITH_ID, BUDGET).err()?;
    if matches!(failed, Failed::NotSent | Failed::Busy(_)) {
        wire.carry_out(&Request { id: Some(18), ..POST_WITH_ID });
    }
    (wire.paid > 1).then(|| {
        format!(
            "{failed:?} says that nothing was done. So a new bill is written, and paid as well."
        )
    })
}

/// The trial.
pub async fn check(trial: &mut Trial, ask: Ask) {
    let slow = Fate::After(100 * SECOND);
    trial
        .honest("an answer at once", async move {
            answered(ask, GET, &[Fate::Answered])?;
            answered(ask, POST, &[Fate::Answered])
        })
        .await;
    trial
        .honest("a GET after two tries that failed", async move {
            answered(ask, GET, &[Fate::Cut, Fate::NotSent, Fate::Answered])?;
            answered(ask, GET, &[Fate::After(100 * SECOND), Fate::Answered])
        })
        .await;
    trial
        .honest("a server that takes two seconds for its answer", async move {
            answered(ask, GET, &[Fate::After(2 * SECOND)])?;
            answered(ask, POST, &[Fate::After(2 * SECOND)])
        })
        .await;
    trial
        .honest("a POST that had not left", async move {
            answered(ask, POST, &[Fate::NotSent, Fate::Answered])
        })
        .await;
    trial
        .honest("a POST whose id the server knows, after its answer was cut off", async move {
            answered(ask, POST_WITH_ID, &[Fate::Cut, Fate::Cut, Fate::Answered])
        })
        .await;
    trial
        .honest("a server that is busy, and asks for a second", async move {
            answered(ask, POST, &[Fate::Busy(SECOND), Fate::Answered])
        })
        .await;
    trial
        .attack("the answer to a POST is cut off", "Was it carried out?", async move {
            paid(ask, POST, &[Fate::Cut, Fate::Answered])
        })
        .await;
    trial
        .attack("the answer to a POST comes too late", "Was it carried out?", async move {
            paid(ask, POST, &[slow, slow, Fate::Answered])
        })
        .await;
    trial
        .attack("an answer is cut off, and then nobody answers", "Did it arrive?", async move {
            billed_again(ask, &[Fate::Cut, Fate::NotSent])
                .or_else(|| billed_again(ask, &[Fate::Cut, Fate::Busy(SECOND)]))
        })
        .await;
    trial
        .attack(
            "a server that hangs, at each try",
            "How long may all tries take together?",
            async move { takes(ask, GET, &[slow]).or_else(|| takes(ask, POST_WITH_ID, &[slow])) },
        )
        .await;
    trial
        .attack(
            "a server that asks for a pause of an hour",
            "Who decides how long you wait?",
            async move {
                takes(ask, GET, &[Fate::Busy(3600 * SECOND)])
                    .or_else(|| takes(ask, POST, &[Fate::Busy(3600 * SECOND)]))
                    .or_else(|| waits_for_nothing(ask))
            },
        )
        .await;
    trial
        .attack(
            "a server that asks for three seconds, and then hangs",
            "What is left after the pause?",
            async move { takes(ask, GET, &[Fate::Busy(3 * SECOND), slow]) },
        )
        .await;
    trial
        .attack("a server that is down", "How often does it help to ask?", async move {
            let mut wire = Wire::new(&[Fate::NotSent]);
            let _ = ask(&mut wire, &GET, BUDGET);
            (wire.tries > 10).then(|| format!("It is asked {} times in {BUDGET:?}.", wire.tries))
        })
        .await;
}

#[cfg(test)]
mod proof {
    use super::*;

    #[test]
    fn the_solution_fails_nothing() {
        assert_eq!(trial::failures(async |trial| check(trial, solution::ask).await), [""; 0]);
    }

    #[test]
    fn the_naive_answer_gives_up_where_it_could_go_on() {
        let failed = trial::failures(async |trial| check(trial, naive::ask).await);
        assert_eq!(
            failed,
            [
                "a server that takes two seconds for its answer",
                "a POST that had not left",
                "a POST whose id the server knows, after its answer was cut off",
                "a server that is busy, and asks for a second",
            ]
        );
    }

    /// The solution, for a try of this length, and as often as it likes.
    fn impatient(wire: &mut Wire, request: &Request, budget: Duration) -> Result<String, Failed> {
        let mut said = Err(Failed::NotSent);
        for _ in 0..3 {
            said = wire.send(request, budget.min(Duration::from_millis(51)));
            if said.is_ok() {
                break;
            }
        }
        said
    }

    #[test]
    fn a_client_that_is_too_impatient_for_an_honest_server_is_noticed() {
        let failed = trial::failures(async |trial| check(trial, impatient).await);
        assert!(failed.contains(&"a server that takes two seconds for its answer"), "{failed:?}");
    }

    /// The solution, but a server that is down is asked at once again, twenty times.
    fn hot(wire: &mut Wire, request: &Request, budget: Duration) -> Result<String, Failed> {
        let end = wire.now() + budget;
        let mut said = Failed::NotSent;
        for _ in 0..20 {
            let left = end.saturating_sub(wire.now());
            said = match wire.send(request, left.min(3 * SECOND)) {
                Err(Failed::NotSent) => Failed::NotSent,
                Err(Failed::Busy(pause)) if wire.now() + pause < end => {
                    wire.sleep(pause);
                    Failed::Busy(pause)
                }
                Err(unsure @ (Failed::Cut | Failed::TooLate)) if *request != POST => unsure,
                answer => return answer,
            };
        }
        Err(said)
    }

    #[test]
    fn a_server_that_is_down_is_not_stormed() {
        let failed = trial::failures(async |trial| check(trial, hot).await);
        assert!(failed.contains(&"a server that is down"), "{failed:?}");
    }

    /// The solution, but it sleeps out what is left before it gives up.
    fn sleepy(wire: &mut Wire, request: &Request, budget: Duration) -> Result<String, Failed> {
        let end = wire.now() + budget;
        let answer = solution::ask(wire, request, budget);
        if answer.is_err() {
            wire.sleep(end.saturating_sub(wire.now()));
        }
        answer
    }

    #[test]
    fn nobody_sleeps_out_a_budget_before_giving_up() {
        let failed = trial::failures(async |trial| check(trial, sleepy).await);
        assert_eq!(failed, ["a server that asks for a pause of an hour"]);
    }

    #[test]
    fn the_stub_pays_twice_and_takes_three_times_as_long() {
        let failed = trial::failures(async |trial| check(trial, stub::ask).await);
        assert_eq!(
            failed,
            [
                "the answer to a POST is cut off",
                "the answer to a POST comes too late",
                "an answer is cut off, and then nobody answers",
                "a server that hangs, at each try",
                "a server that asks for a pause of an hour",
                "a server that asks for three seconds, and then hangs",
            ]
        );
    }
}
