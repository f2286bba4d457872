//! The attacks of this lesson, on code that leaves something out.

use std::error::Error;

use encryption::lab::careless;
use encryption::lab::gcm::{OneBlock, forge, hash_key};

type TestResult = Result<(), Box<dyn Error>>;

/// The key of all tags is found from two messages of one nonce. Then a message falls whose nonce
/// came once.
#[test]
fn a_nonce_used_twice_costs_the_other_messages_of_the_key_too() -> TestResult {
    let (key, twice, once) = ([7; 32], [9; 12], [8; 12]);
    let sealed = |nonce: &[u8; 12], text: &[u8; 16]| {
        let sealed = careless::seal(&key, nonce, text).map_err(|_| "not sealed")?;
        OneBlock::new(&sealed).ok_or("not one block")
    };
    let first = sealed(&twice, b"PAY BOB   $00100")?;
    let second = sealed(&twice, b"PAY ALICE $00042")?;
    let h = hash_key(&first, &second);
    let third = sealed(&once, b"PAY CAROL $00007")?;
    let forged = forge(&third, *b"PAY CAROL $00007", *b"PAY EVE   $99999", h);
    let opened = careless::open(&key, &once, &forged).map_err(|_| "refused")?;
    assert_eq!(opened, b"PAY EVE   $99999");
    let blind = forge(&third, *b"PAY CAROL $00007", *b"PAY EVE   $99999", h ^ h);
    assert!(careless::open(&key, &once, &blind).is_err(), "without H it is refused");
    Ok(())
}
