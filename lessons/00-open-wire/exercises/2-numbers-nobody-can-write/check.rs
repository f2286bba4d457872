//! Two ends that share a key, and Mallory on the wire between them, who has every message and its tag.

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

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// An order to pay.
    Client = 1,
    /// A receipt.
    Bank = 2,
}

/// An order or a receipt, as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who wrote it, says the message.
    pub side: Side,
    /// From 1; one more for each message of that side.
    pub number: u64,
    /// Who is paid.
    pub payee: &'a str,
    /// How many coins, as text.
    pub amount: &'a str,
}

/// What the learner writes.
pub trait Tags: Sized + 'static {
    /// One end, with the key that both have.
    fn new(key: [u8; 32]) -> Self;
    /// The tag of a message.
    fn tag(&self, message: &Message) -> Vec<u8>;
    /// Whether a message that came with this tag is taken.
    fn accept(&mut self, message: &Message, tag: &[u8]) -> bool;
}

const KEY: [u8; 32] = [0x5a; 32];

fn order<'a>(number: u64, payee: &'a str, amount: &'a str) -> Message<'a> {
    Message { side: Side::Client, number, payee, amount }
}

/// The client's end and the bank's.
fn ends<T: Tags>() -> (T, T) {
    (T::new(KEY), T::new(KEY))
}

fn taken(what: &str, accepted: bool) -> Result<(), String> {
    accepted.then_some(()).ok_or(format!("expected to be taken: {what}"))
}

/// The bank takes this under a tag that was made for something else.
fn under<T: Tags>(tag_of: Message, shown: Message, loot: &str) -> Option<String> {
    let (client, mut bank) = ends::<T>();
    bank.accept(&shown, &client.tag(&tag_of)).then(|| loot.to_owned())
}

/// The trial.
pub async fn check<T: Tags>(trial: &mut Trial) {
    trial
        .honest("Alice's orders, one after the other", async {
            let (client, mut bank) = ends::<T>();
            for number in 1..=20 {
                let order = order(number, "bob", "25");
                taken(&format!("number {number}"), bank.accept(&order, &client.tag(&order)))?;
            }
            Ok(())
        })
        .await;
    trial
        .honest("an order after one that was lost on the way", async {
            let (client, mut bank) = ends::<T>();
            for number in [1, 5, 1000] {
                let order = order(number, "carol", "1");
                taken(&format!("number {number}"), bank.accept(&order, &client.tag(&order)))?;
            }
            Ok(())
        })
        .await;
    trial
        .honest("the bank's receipts, whose numbers are their own", async {
            let (mut client, bank) = ends::<T>();
            for number in 1..=3 {
                let receipt = Message { side: Side::Bank, ..order(number, "bob", "25") };
                taken(&format!("receipt {number}"), client.accept(&receipt, &bank.tag(&receipt)))?;
            }
            Ok(())
        })
        .await;
    trial
        .attack("another payee under Alice's tag", "What does the tag cover?", async {
            under::<T>(order(1, "bob", "25"), order(1, "mallory", "25"), "Mallory is paid 25.")
        })
        .await;
    trial
        .attack("the same order again", "What does the bank remember?", async {
            let (client, mut bank) = ends::<T>();
            let paid = order(1, "mallory", "25");
            let tag = client.tag(&paid);
            bank.accept(&paid, &tag);
            bank.accept(&paid, &tag).then(|| "Mallory is paid twice.".to_owned())
        })
        .await;
    trial
        .attack("an old order under a new number", "Who chose that number?", async {
            under::<T>(
                order(1, "mallory", "25"),
                order(2, "mallory", "25"),
                "Mallory is paid again.",
            )
        })
        .await;
    trial
        .attack(
            "a coin moved from the payee's name to the amount",
            "Where does the name end?",
            async {
                under::<T>(
                    order(1, "bob1", "25"),
                    order(1, "bob", "125"),
                    "Bob is paid 125 in place of 25.",
                )
            },
        )
        .await;
    trial
        .attack(
            "a digit moved from the number to the payee's name",
            "Where does the number end?",
            async {
                under::<T>(
                    order(12, "3m", "25"),
                    order(1, "23m", "25"),
                    "A number was used that nobody had written.",
                )
            },
        )
        .await;
    trial
        .attack("the bank's own receipt, shown to it as an order", "Who wrote it?", async {
            let (_, mut bank) = ends::<T>();
            let order = order(1, "mallory", "25");
            let tag = bank.tag(&Message { side: Side::Bank, ..order });
            bank.accept(&order, &tag).then(|| "The bank pays on its own receipt.".to_owned())
        })
        .await;
    trial
        .attack("a forgery with Alice's next number", "When is a number used up?", async {
            let (client, mut bank) = ends::<T>();
            bank.accept(&order(1, "mallory", "25"), &[0; 32]);
            bank.accept(&order(u64::MAX, "mallory", "25"), &[0; 32]);
            let next = order(1, "bob", "25");
            let refused = !bank.accept(&next, &client.tag(&next));
            refused.then(|| "Alice's own order is refused, and all that follow.".to_owned())
        })
        .await;
    trial
        .attack("no tag at all, and only the beginning of one", "How long is a tag?", async {
            let (client, mut bank) = ends::<T>();
            let paid = order(1, "bob", "25");
            let tag = client.tag(&paid);
            let cut = [&tag[..0], &tag[..1.min(tag.len())], &tag[..tag.len() / 2]];
            let taken = cut.into_iter().find(|cut| bank.accept(&paid, cut))?;
            Some(format!("{} bytes were enough.", taken.len()))
        })
        .await;
}

#[cfg(test)]
mod proof {
    use super::*;

    #[test]
    fn the_solution_fails_nothing() {
        assert_eq!(trial::failures(async |trial| check::<solution::Till>(trial).await), [""; 0]);
    }

    #[test]
    fn the_naive_answer_falls_to_what_it_glued_burned_and_left_out() {
        let failed = trial::failures(async |trial| check::<naive::Till>(trial).await);
        assert_eq!(
            failed,
            [
                "a coin moved from the payee's name to the amount",
                "a digit moved from the number to the payee's name",
                "the bank's own receipt, shown to it as an order",
                "a forgery with Alice's next number",
            ]
        );
    }

    #[test]
    fn the_stub_is_unfinished() {
        assert!(trial::is_unfinished(async |trial| check::<stub::Till>(trial).await));
    }
}
