//! A bank whose lines end in a checksum, its client, and the learner between them.

use std::collections::BTreeMap;

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

/// Where a line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A payment.
    ToBank,
    /// Its receipt.
    ToClient,
}

/// All bytes, added with exclusive or, as two hexadecimal digits. What marine instruments use (NMEA 0183).
pub fn checksum(text: &str) -> String {
    format!("{:02X}", text.bytes().fold(0, |sum, byte| sum ^ byte))
}

/// What the learner writes.
pub type Act = fn(Direction, &str) -> String;

fn line(text: &str) -> String {
    format!("{text}*{}", checksum(text))
}

/// The text of a line whose checksum is right.
fn checked(line: &str) -> Result<&str, String> {
    match line.rsplit_once('*') {
        Some((text, sum)) if sum == checksum(text) => Ok(text),
        _ => Err(format!("the line \"{}\" has a wrong checksum", line.escape_debug())),
    }
}

#[derive(Default)]
struct Bank(BTreeMap<String, u32>);

impl Bank {
    fn answer(&mut self, request: &str) -> String {
        let paid = checked(request).and_then(|text| match *text.split(' ').collect::<Vec<_>>() {
            ["PAY", amount, payee] => {
                let amount: u32 = amount.parse().map_err(|_| "no amount".to_owned())?;
                *self.0.entry(payee.to_owned()).or_default() += amount;
                Ok(format!("OK paid {amount} to {payee}"))
            }
            _ => Err("no payment".to_owned()),
        });
        line(&paid.unwrap_or_else(|error| format!("NO {error}")))
    }
}

/// A client pays, with the learner on the wire: what the bank has in its book, and what the client reads.
fn pay(act: Act, amount: u32, payee: &str) -> (Bank, Result<String, String>) {
    let mut bank = Bank::default();
    let request = act(Direction::ToBank, &line(&format!("PAY {amount} {payee}")));
    let answer = act(Direction::ToClient, &bank.answer(&request));
    let read = checked(&answer).map(str::to_owned);
    (bank, read)
}

fn expect(what: &str, expected: &str, got: &str) -> Result<(), String> {
    match expected == got {
        true => Ok(()),
        false => Err(format!("expected {what} \"{expected}\", got \"{}\"", got.escape_debug())),
    }
}

/// The trial.
pub async fn check(trial: &mut Trial, act: Act) {
    trial
        .goal("the bank pays Mallory the 25 coins that Bob was to get", async move {
            let (bank, read) = pay(act, 25, "bob");
            match bank.0.get("mallory") {
                Some(25) => Ok(()),
                _ => Err(format!("the bank answered \"{}\"", read.unwrap_or_else(|error| error))),
            }
        })
        .await;
    trial
        .goal("the client reads that Bob was paid, and its checksum is right", async move {
            let (_, read) = pay(act, 25, "bob");
            expect("the receipt", "OK paid 25 to bob", &read?)
        })
        .await;
    trial
        .goal("another amount is Mallory's, too", async move {
            let (bank, read) = pay(act, 1_000_000, "bob");
            expect("Mallory's coins", "1000000", &bank.0.get("mallory").unwrap_or(&0).to_string())?;
            expect("the receipt", "OK paid 1000000 to bob", &read?)
        })
        .await;
    trial
        .goal("a payment to somebody else passes, so that nobody looks", async move {
            for payee in ["carol", "bobby", "bobcat", "malloryson", "jim-bob"] {
                let (bank, read) = pay(act, 7, payee);
                expect(payee, "7", &bank.0.get(payee).unwrap_or(&0).to_string())?;
                expect("the receipt", &format!("OK paid 7 to {payee}"), &read?)?;
            }
            Ok(())
        })
        .await;
    trial
        .goal(
            "bytes that aren't a line of this protocol, such as a TLS record, pass unchanged",
            async move {
                let record = "\u{17}\u{3}\u{3}\u{0}\u{2a}8q*k2 to the bank";
                match act(Direction::ToBank, record) == record {
                    true => Ok(()),
                    false => Err("a record of TLS was changed".to_owned()),
                }
            },
        )
        .await;
}

#[cfg(test)]
mod proof {
    use super::*;

    #[test]
    fn the_solution_fails_nothing() {
        assert_eq!(trial::failures(async |trial| check(trial, solution::act).await), [""; 0]);
    }

    #[test]
    fn names_that_only_contain_bob_or_mallory_are_other_names() {
        fn with_replace(direction: Direction, text: &str) -> String {
            let Some((text, _sum)) = text.rsplit_once('*') else { return text.to_owned() };
            line(&naive::act(direction, text))
        }
        let failed = trial::failures(async |trial| check(trial, with_replace).await);
        assert_eq!(
            failed,
            [
                "a payment to somebody else passes, so that nobody looks",
                "bytes that aren't a line of this protocol, such as a TLS record, pass unchanged",
            ]
        );
    }

    #[test]
    fn the_naive_answer_leaves_the_sum_and_is_refused() {
        let failed = trial::failures(async |trial| check(trial, naive::act).await);
        assert_eq!(
            failed,
            [
                "the bank pays Mallory the 25 coins that Bob was to get",
                "the client reads that Bob was paid, and its checksum is right",
                "another amount is Mallory's, too",
                "a payment to somebody else passes, so that nobody looks",
            ]
        );
    }

    #[test]
    fn the_stub_is_unfinished() {
        assert!(trial::is_unfinished(async |trial| check(trial, stub::act).await));
    }

    #[test]
    fn the_lines_of_the_task_are_right() {
        let task = include_str!("exercise.md");
        for text in ["PAY 25 bob", "OK paid 25 to bob"] {
            assert!(task.contains(&line(text)), "{}", line(text));
        }
    }
}
