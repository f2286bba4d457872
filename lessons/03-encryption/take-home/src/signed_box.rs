//! Signed, then sealed: for one recipient's eyes, and proved to come from one sender.
//!
//! The mistakes this prevents: a signed text that its recipient seals again for somebody else, as if it had been meant
//! for them (Davis, "Defective Sign & Encrypt", 2001); a sender that a thief of the *recipient's* key can pose as,
//! which the authenticated mode of HPKE allows (RFC 9180 section 9.1.1).
//!
//! A box of [`public_key`](crate::public_key) whose text is
//!
//! ```text
//! offset  length  what
//!      0      64  signature (Ed25519)
//!     64       n  text
//! ```
//!
//! The signature covers the suite, the recipient's public key, the [`Context`] and the text. The seal covers the
//! sender's public key and the context.
//!
//! It is not a proof of *when*: nothing stops a replay. Put a number or an id into the context, and keep a list of those
//! that were used.

use crate::context::{Context, Kind};
use crate::public_key::{BoxError, KeyPair, PublicKey, Suite};
use crate::signing::{NotSigned, SIGNATURE, SigningKey, VerifyingKey};

/// What a signed box had in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The text.
    pub text: Vec<u8>,
    /// The sender's signature, to be shown to a third party: see [`verify`].
    pub signature: [u8; SIGNATURE],
}

// ANCHOR: seal
/// Signs a text for one recipient and seals it for them. Works with both suites.
///
/// # Errors
/// [`BoxError::Key`]: the recipient's key can't be used.
pub fn seal<S: Suite>(
    sender: &SigningKey,
    recipient: &PublicKey<S>,
    context: &Context,
    text: &[u8],
) -> Result<Vec<u8>, BoxError> {
    let signature = sender.sign(&signed(recipient, context), text);
    recipient.seal(&sealed(&sender.public(), context), &[&signature, text].concat())
}

/// Opens a box that `sender` signed for this recipient.
///
/// # Errors
/// [`BoxError::Format`]; [`BoxError::NotAuthentic`]: wrong key, wrong sender, wrong context, signed for somebody else,
/// changed.
pub fn open<S: Suite>(
    recipient: &KeyPair<S>,
    sender: &VerifyingKey,
    context: &Context,
    bytes: &[u8],
) -> Result<Opened, BoxError> {
    let opened = recipient.open(&sealed(sender, context), bytes)?;
    let (signature, text) = opened.split_first_chunk().ok_or(BoxError::NotAuthentic)?;
    verify(sender, &recipient.public(), context, text, signature)
        .map_err(|_| BoxError::NotAuthentic)?;
    Ok(Opened { text: text.to_vec(), signature: *signature })
}
// ANCHOR_END: seal

/// Whether `sender` signed this text for this recipient and this context. Who shows it to a third party gives the text
/// away, and needs no private key for it.
///
/// # Errors
/// [`NotSigned`]
pub fn verify<S: Suite>(
    sender: &VerifyingKey,
    recipient: &PublicKey<S>,
    context: &Context,
    text: &[u8],
    signature: &[u8; SIGNATURE],
) -> Result<(), NotSigned> {
    sender.verify(&signed(recipient, context), text, signature)
}

// ANCHOR: signed
/// What the signature covers with the text: for whom, and for what.
fn signed<S: Suite>(recipient: &PublicKey<S>, context: &Context) -> Context {
    let signed = Context::of_kind(Kind::SignedBox).with([S::ID]).with(recipient.to_bytes());
    signed.with(context.as_bytes())
}

/// What the seal is bound to: from whom, and for what.
fn sealed(sender: &VerifyingKey, context: &Context) -> Context {
    Context::of_kind(Kind::SignedBox).with(sender.to_bytes()).with(context.as_bytes())
}
// ANCHOR_END: signed

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public_key::{Classical, PostQuantum};

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    fn context() -> Context {
        Context::new("letter").with("number 1")
    }

    /// Bob has all that he needs: the signature, the text, and Carol's public key.
    fn sent_on<S: Suite>() -> TestResult {
        let (alice, bob, carol) =
            (SigningKey::random()?, KeyPair::<S>::random(), KeyPair::<S>::random());
        let letter = seal(&alice, &bob.public(), &context(), b"I love you")?;
        let opened = open(&bob, &alice.public(), &context(), &letter)?;
        assert_eq!(opened.text, b"I love you");
        let again = [opened.signature.as_slice(), &opened.text].concat();
        let again = carol.public().seal(&sealed(&alice.public(), &context()), &again)?;
        let refused = open(&carol, &alice.public(), &context(), &again);
        assert_eq!(refused, Err(BoxError::NotAuthentic));
        Ok(())
    }

    #[test]
    fn nobody_sends_it_on_as_meant_for_another() -> TestResult {
        sent_on::<Classical>()?;
        sent_on::<PostQuantum>()
    }

    #[test]
    fn without_a_signature_it_is_refused() -> TestResult {
        let (alice, bob) = (SigningKey::random()?, KeyPair::<Classical>::random());
        for text in [vec![], vec![0; SIGNATURE - 1], vec![0; SIGNATURE], vec![0; 200]] {
            let made = bob.public().seal(&sealed(&alice.public(), &context()), &text)?;
            let refused = open(&bob, &alice.public(), &context(), &made);
            assert_eq!(refused, Err(BoxError::NotAuthentic), "{} bytes", text.len());
        }
        Ok(())
    }
}
