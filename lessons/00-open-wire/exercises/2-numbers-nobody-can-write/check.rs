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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    accepted.then_some(()).ok_or(format!("expected to be accepted: {what}"))
}

/// The bank takes this under a tag that was made for something else.
fn under<T: Tags>(tag_of: Message, shown: Message, loot: &str) -> Option<String> {
    let (client, mut bank) = ends::<T>();
    bank.accept(&shown, &client.tag(&tag_of)).then(|| loot.to_owned())
}

/// What people put between two parts, to show where the first one ends.
fn separators() -> impl Iterator<Item = String> {
    let words = ["||", "::", "--", ", ", "; ", "\r\n", "\u{a7}", "\u{fffd}"].map(str::to_owned);
    let named = ["&", ",", ";", " ", "|", "\n"].into_iter().flat_map(|between| {
        ["=", ":", ": "]
            .into_iter()
            .flat_map(move |is| ["amount", "payee"].map(|name| format!("{between}{name}{is}")))
    });
    let ascii = (b' '..=0x7f).chain(0..b' ').filter(|byte| !byte.is_ascii_alphanumeric());
    ascii.map(|byte| char::from(byte).to_string()).chain(words).chain(named)
}

/// Two messages of one number whose parts look the same with this text between them, in either order.
fn moved_across<T: Tags>(separator: &str) -> Option<String> {
    let [name, amount] = [format!("bob{separator}1"), format!("1{separator}25")];
    let loot =
        format!("With \"{}\" in a name, a part of it became the amount.", separator.escape_debug());
    under::<T>(order(1, &name, "25"), order(1, "bob", &amount), &loot).or_else(|| {
        let name = format!("25{separator}bob");
        under::<T>(order(1, &name, "1"), order(1, "bob", &amount), &loot)
    })
}

/// A name so long that its length, in a number of this many bytes, begins at 0 again.
fn longer_than_its_length<T: Tags>(bytes: u32) -> Option<String> {
    let lengths = 256_usize.pow(bytes);
    let width = bytes as usize;
    // The length of "25", which comes next: the most significant byte first, and last.
    [format!("{:\0>width$}", "\u{2}"), format!("{:\0<width$}", "\u{2}")].into_iter().find_map(
        |two| {
            let filler = "x".repeat(lengths - width);
            let name = format!("{two}{filler}");
            let rest = format!("{filler}{two}25");
            let loot = format!("A name of {lengths} bytes counted as one of none.");
            under::<T>(order(1, &name, "25"), order(1, "", &rest), &loot)
                .or_else(|| under::<T>(order(1, "25", &name), order(1, &rest, ""), &loot))
        },
    )
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
        .honest("a bookkeeper, who reads orders and receipts in turn", async {
            let (client, mut bookkeeper) = ends::<T>();
            for number in 1..=3 {
                for side in [Side::Client, Side::Bank] {
                    let message = Message { side, ..order(number, "bob", "25") };
                    let accepted = bookkeeper.accept(&message, &client.tag(&message));
                    taken(&format!("{side:?} {number}"), accepted)?;
                }
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
            "a digit moved from the number to the part next to it",
            "Where does the number end?",
            async {
                let loot = "A number was used that nobody had written.";
                [
                    (order(12, "3m", "25"), order(1, "23m", "25")),
                    (order(2, "m1", "25"), order(12, "m", "25")),
                    (order(12, "bob", "3"), order(1, "bob", "23")),
                    (order(2, "bob", "21"), order(12, "bob", "2")),
                ]
                .into_iter()
                .find_map(|(tag_of, shown)| under::<T>(tag_of, shown, loot))
            },
        )
        .await;
    trial
        .attack("a name with your separator in it", "Who chooses the names?", async {
            separators().find_map(|separator| moved_across::<T>(&separator))
        })
        .await;
    trial
        .attack("a name longer than its length can say", "How long may a part be?", async {
            [1, 2].into_iter().find_map(longer_than_its_length::<T>)
        })
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
    use std::marker::PhantomData;

    use aws_lc_rs::hmac;

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
                "a digit moved from the number to the part next to it",
                "the bank's own receipt, shown to it as an order",
                "a forgery with Alice's next number",
            ]
        );
    }

    /// The solution, but with other bytes under the tag.
    struct With<B>(solution::Till, PhantomData<B>);

    trait Bytes: 'static {
        fn of(message: &Message) -> Vec<u8>;
    }

    impl<B: Bytes> Tags for With<B> {
        fn new(key: [u8; 32]) -> Self {
            Self(Tags::new(key), PhantomData)
        }

        fn tag(&self, message: &Message) -> Vec<u8> {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &KEY), &B::of(message)).as_ref().to_vec()
        }

        fn accept(&mut self, message: &Message, tag: &[u8]) -> bool {
            self.tag(message) == tag && self.0.accept(message, &self.0.tag(message))
        }
    }

    /// What an answer falls to that has these bytes under the tag.
    macro_rules! falls_to {
        (|$message:ident| $bytes:expr) => {{
            struct These;
            impl Bytes for These {
                fn of($message: &Message) -> Vec<u8> {
                    $bytes
                }
            }
            trial::failures(async |trial| check::<With<These>>(trial).await)
        }};
    }

    #[test]
    fn who_knows_the_separator_moves_text_across_it() {
        let fallen = ["a name with your separator in it"];
        let pipes =
            falls_to!(|m| format!("{:?}|{}|{}|{}", m.side, m.number, m.payee, m.amount).into());
        assert_eq!(pipes, fallen);
        let zeros =
            falls_to!(|m| format!("{:?}\0{}\0{}\0{}", m.side, m.amount, m.payee, m.number).into());
        assert_eq!(zeros, fallen);
        let fields = falls_to!(|m| {
            let Message { side, number, payee, amount } = m;
            format!("side={side:?}&number={number}&payee={payee}&amount={amount}").into()
        });
        assert_eq!(fields, fallen);
        // Quotes and escapes show where a part ends, whatever is in it.
        assert_eq!(falls_to!(|m| format!("{m:?}").into()), [""; 0]);
    }

    #[test]
    fn a_length_that_is_cut_is_no_length() {
        let fallen = ["a name longer than its length can say"];
        fn head(message: &Message) -> Vec<u8> {
            format!("{:?} {} ", message.side, message.number).into()
        }
        let one = falls_to!(|m| {
            let mut bytes = head(m);
            for part in [m.payee, m.amount] {
                bytes.push(part.len() as u8);
                bytes.extend(part.as_bytes());
            }
            bytes
        });
        assert_eq!(one, fallen);
        let two = falls_to!(|m| {
            let mut bytes = head(m);
            for part in [m.amount, m.payee] {
                bytes.extend((part.len() as u16).to_le_bytes());
                bytes.extend(part.as_bytes());
            }
            bytes
        });
        assert_eq!(two, fallen);
    }

    #[test]
    fn the_stub_is_unfinished() {
        assert!(trial::is_unfinished(async |trial| check::<stub::Till>(trial).await));
    }
}
