//! The trial of an exercise: it calls what the learner wrote, and judges each call in a sentence.
//!
//! First come the honest peers. If one of them isn't served, the attacks don't run, because a defense that refuses
//! everybody isn't one. Otherwise all of them run. In an exercise whose subject is an attack, the learner reaches goals.
//!
//! Each call has a deadline, and a panic in it is caught and shown with its line: a trial never hangs, and never ends
//! without a verdict.

mod caught;

use std::fmt;
use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use caught::{Ended, caught};

const WIDTH: usize = 80;
const LABEL: usize = 16;
/// For one peer, attack or goal. An honest one takes milliseconds.
const DEADLINE: Duration = Duration::from_secs(10);

/// What somebody asked of the learner's code came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An honest peer was served; an attack got nowhere; a goal was reached.
    Good,
    /// An honest peer was not served, or a goal not reached: what was expected, and what came.
    NotYet(String),
    /// An attack works: its loot.
    Works(String),
    /// There is a `todo!()` where it was called: its place.
    Unfinished(String),
    /// The code panicked: what it said, and where.
    Panicked(String),
    /// The deadline is over.
    TooLate,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody who must be served.
    Honest,
    /// Nobody: it's what the learner's own attack has to achieve.
    Goal,
    /// Somebody who must get nowhere.
    Attack,
}

impl Kind {
    /// What a verdict begins with, if it's good and if not.
    fn labels(self) -> [&'static str; 2] {
        match self {
            Self::Honest => ["served", "NOT SERVED"],
            Self::Goal => ["reached", "NOT YET"],
            Self::Attack => ["held", "ATTACK WORKS"],
        }
    }
}

/// Who asked, and what it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Who.
    pub kind: Kind,
    /// The peer, the attack or the goal, in plain words.
    pub name: &'static str,
    /// What it came to.
    pub outcome: Outcome,
}

/// One run of one exercise's check.
pub struct Trial {
    out: Box<dyn Write + Send>,
    deadline: Duration,
    judged: Vec<Judged>,
    /// A peer was not served, so the attacks were left out.
    left_out: bool,
}

impl Trial {
    /// Prints nothing: for the proof, which looks at [`judged`](Self::judged).
    pub fn silent() -> Self {
        Self::to(io::sink())
    }

    fn to(out: impl Write + Send + 'static) -> Self {
        Self { out: Box::new(out), deadline: DEADLINE, judged: Vec::new(), left_out: false }
    }

    /// All that was judged, in order.
    pub fn judged(&self) -> &[Judged] {
        &self.judged
    }

    /// An honest peer, who must be served. An error says what was expected, and what came instead.
    pub async fn honest<F>(&mut self, name: &'static str, peer: F)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let outcome = judge(self.deadline, peer, |served| {
            served.map_or_else(Outcome::NotYet, |()| Outcome::Good)
        });
        self.note(Kind::Honest, name, outcome.await);
    }

    /// Something that the learner's own attack has to achieve.
    pub async fn goal<F>(&mut self, name: &'static str, goal: F)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let outcome = judge(self.deadline, goal, |reached| {
            reached.map_or_else(Outcome::NotYet, |()| Outcome::Good)
        });
        self.note(Kind::Goal, name, outcome.await);
    }

    /// An attack, which must get nowhere. It returns its loot if it works. The question leads to the next thought.
    pub async fn attack<F>(&mut self, name: &'static str, question: &'static str, attack: F)
    where
        F: Future<Output = Option<String>> + Send + 'static,
    {
        self.left_out |=
            self.judged.iter().any(|judged| judged.is_bad() && judged.kind != Kind::Attack);
        if self.left_out {
            return;
        }
        let outcome =
            judge(self.deadline, attack, |loot| loot.map_or(Outcome::Good, Outcome::Works)).await;
        let works = matches!(outcome, Outcome::Works(_));
        self.note(Kind::Attack, name, outcome);
        if works {
            self.say("", question);
        }
    }

    fn note(&mut self, kind: Kind, name: &'static str, outcome: Outcome) {
        let [good, bad] = kind.labels();
        let (label, more) = match &outcome {
            Outcome::Good => (good, None),
            Outcome::NotYet(why) | Outcome::Works(why) => (bad, Some(why.clone())),
            Outcome::Unfinished(place) => ("UNFINISHED", Some(format!("todo!() in {place}"))),
            Outcome::Panicked(said) => ("PANICKED", Some(said.clone())),
            Outcome::TooLate => {
                let seconds = self.deadline.as_secs();
                (
                    "TOO LATE",
                    Some(format!("It took longer than {seconds} seconds, so it was given up.")),
                )
            }
        };
        self.say(label, name);
        if let Some(more) = more {
            self.say("", &more);
        }
        self.judged.push(Judged { kind, name, outcome });
    }

    /// A label and a sentence, or what belongs to the line above it.
    fn say(&mut self, label: &str, text: &str) {
        let hanging = " ".repeat(3 + LABEL);
        let options = textwrap::Options::new(WIDTH)
            .initial_indent(&hanging)
            .subsequent_indent(&hanging)
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
            .break_words(false);
        let filled = textwrap::fill(text, options);
        let line =
            format!("   {label:LABEL$}{}\n", filled.get(hanging.len()..).unwrap_or_default());
        // Nobody may be reading (`| head`); the exit code says it all the same.
        let _ = self.out.write_all(line.as_bytes());
    }

    /// The last sentence, and whether the exercise is solved.
    fn end(&mut self) -> bool {
        let bad = self.judged.iter().filter(|judged| judged.is_bad()).count();
        let all = self.judged.len();
        let solved = bad == 0 && all > 0;
        let attacks = match self.left_out {
            true => "\nThe attacks did not run, because not everybody honest was served.",
            false => "",
        };
        let text = match solved {
            true => format!("Passed: {all} of {all}."),
            false => format!("Not yet: {} of {all}.{attacks}", all - bad),
        };
        let _ =
            self.out.write_all(format!("\n{text}\n").as_bytes()).and_then(|()| self.out.flush());
        solved
    }
}

impl Judged {
    fn is_bad(&self) -> bool {
        self.outcome != Outcome::Good
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("judged", &self.judged).finish_non_exhaustive()
    }
}

async fn judge<F>(
    deadline: Duration,
    work: F,
    verdict: impl FnOnce(F::Output) -> Outcome,
) -> Outcome
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    // A task of its own: a loop without an end keeps one thread busy, and not the one that looks at the clock.
    let task = tokio::spawn(caught(work));
    match tokio::time::timeout(deadline, task).await {
        Ok(Ok(Ended::Returned(output))) => verdict(output),
        Ok(Ok(Ended::Unfinished(place))) => Outcome::Unfinished(place),
        Ok(Ok(Ended::Panicked(said))) => Outcome::Panicked(said),
        Ok(Err(error)) => Outcome::Panicked(error.to_string()),
        Err(_elapsed) => Outcome::TooLate,
    }
}

/// Runs an exercise's check as a program: 0 if it is solved, 1 if not.
pub fn run(check: impl AsyncFnOnce(&mut Trial)) -> ExitCode {
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = writeln!(io::stderr(), "error: the trial cannot start: {error}");
                return ExitCode::FAILURE;
            }
        };
    let mut trial = Trial::to(io::stdout());
    runtime.block_on(check(&mut trial));
    let solved = trial.end();
    // What hangs is left behind.
    runtime.shutdown_background();
    if solved { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the proof of an exercise says of one answer: the names of all that is not good.
///
/// # Panics
/// No runtime can be started.
pub fn failures(check: impl AsyncFnOnce(&mut Trial)) -> Vec<&'static str> {
    judged(check).into_iter().filter(Judged::is_bad).map(|judged| judged.name).collect()
}

/// Whether each call of an answer ended in `todo!()`, and there was one.
///
/// # Panics
/// No runtime can be started.
pub fn is_unfinished(check: impl AsyncFnOnce(&mut Trial)) -> bool {
    let judged = judged(check);
    !judged.is_empty()
        && judged.iter().all(|judged| matches!(judged.outcome, Outcome::Unfinished(_)))
}

fn judged(check: impl AsyncFnOnce(&mut Trial)) -> Vec<Judged> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut trial = Trial::silent();
    runtime.block_on(check(&mut trial));
    runtime.shutdown_background();
    trial.judged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::todo, reason = "that is what is looked for")]
    fn each_end_of_a_call_has_its_outcome() {
        let judged = judged(async |trial: &mut Trial| {
            trial.honest("Alice", async { Ok(()) }).await;
            trial.attack("a forgery", "who signed?", async { None }).await;
            trial.attack("a replay", "how often?", async { Some("25 coins".to_owned()) }).await;
            trial.attack("a flood", "how many?", async { panic!("no room") }).await;
            trial.attack("a lie", "what did they say?", async { todo!() }).await;
        });
        let outcome = |at: usize| judged[at].outcome.clone();
        assert_eq!([outcome(0), outcome(1)], [Outcome::Good, Outcome::Good]);
        assert_eq!(outcome(2), Outcome::Works("25 coins".to_owned()));
        assert!(
            matches!(outcome(3), Outcome::Panicked(said) if said.contains("no room") && said.contains("lib.rs"))
        );
        assert!(matches!(outcome(4), Outcome::Unfinished(place) if place.contains("lib.rs")));
    }

    #[test]
    fn attacks_do_not_run_if_somebody_honest_is_not_served() {
        let judged = judged(async |trial: &mut Trial| {
            trial.honest("Alice", async { Err("she got nothing".to_owned()) }).await;
            trial.honest("Bob", async { Ok(()) }).await;
            trial.attack("a forgery", "who signed?", async { Some("everything".to_owned()) }).await;
        });
        assert_eq!(judged.iter().map(|judged| judged.name).collect::<Vec<_>>(), ["Alice", "Bob"]);
    }

    #[test]
    fn what_hangs_is_given_up() {
        let judged = judged(async |trial: &mut Trial| {
            trial.deadline = Duration::from_millis(50);
            trial.goal("it waits without an end", std::future::pending()).await;
            // With an end after all, so that the test has one.
            let busy = || async {
                std::thread::sleep(Duration::from_secs(1));
                Ok(())
            };
            trial.goal("a loop that never awaits", busy()).await;
        });
        assert_eq!(judged[0].outcome, Outcome::TooLate);
        assert_eq!(judged[1].outcome, Outcome::TooLate);
    }

    #[test]
    fn an_empty_trial_is_not_passed() {
        assert!(!Trial::silent().end());
        assert!(!is_unfinished(async |_trial: &mut Trial| {}));
    }
}
