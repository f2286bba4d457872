//! An error with all its causes.
//!
//! The mistake this prevents: `println!("{error}")` prints the outermost layer only. For
//! a refused certificate, reqwest's is "error sending request for url (…)"; the reason is
//! two causes below.

use std::error::Error;
use std::fmt;

/// Displays an error and every [`source`](Error::source) below it on one line, outermost
/// first, joined by `: `.
///
/// ```
/// use careful_errors::ErrorChain;
/// let inner = std::io::Error::other("the disk is full");
/// let outer = std::io::Error::other(inner);
/// assert_eq!(ErrorChain(&outer).to_string(), "the disk is full");
/// ```
///
/// It prints what the errors say. An error that carries a secret (a URL with a token in
/// its query) must be cleaned before: `reqwest::Error::without_url`.
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'static));

impl<'a> ErrorChain<'a> {
    /// The text of each layer, outermost first, with control characters escaped: a peer's
    /// text must not move the cursor of anybody who reads the log.
    ///
    /// A layer that only repeats the one above it is left out: `io::Error::other` and
    /// `#[error(transparent)]` make such layers.
    pub fn layers(&self) -> Vec<String> {
        let mut layers: Vec<String> = Vec::new();
        let mut next: Option<&(dyn Error + 'static)> = Some(self.0);
        while let Some(error) = next {
            let text: String = error.to_string().chars().map(printable).collect();
            if layers.last() != Some(&text) {
                layers.push(text);
            }
            next = error.source();
        }
        layers
    }

    /// The first error of type `E` in the chain, looking also into the error that an
    /// `io::Error` wraps, which its `source()` skips.
    pub fn find<E: Error + 'static>(&self) -> Option<&'a E> {
        let mut next: Option<&'a (dyn Error + 'static)> = Some(self.0);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<E>() {
                return Some(found);
            }
            let wrapped = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
            next = match wrapped {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }
}

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.layers().join(": "))
    }
}

fn printable(c: char) -> String {
    if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thiserror::Error;

    #[derive(Debug, Error)]
    #[error("cannot pay")]
    struct Outer(#[source] std::io::Error);

    #[derive(Debug, Error)]
    #[error("the certificate expired")]
    struct Inner;

    #[test]
    fn every_layer_is_printed_once() {
        let error = Outer(std::io::Error::other(Inner));
        assert_eq!(ErrorChain(&error).to_string(), "cannot pay: the certificate expired");
    }

    #[test]
    fn control_characters_are_escaped() {
        let error = std::io::Error::other("two\nlines and \u{1b}[31m color");
        assert_eq!(ErrorChain(&error).to_string(), "two\\nlines and \\u{1b}[31m color");
    }

    #[test]
    fn an_error_wrapped_in_an_io_error_is_found() {
        let error = Outer(std::io::Error::other(Inner));
        assert!(ErrorChain(&error).find::<Inner>().is_some());
        assert!(ErrorChain(&error).find::<std::fmt::Error>().is_none());
    }
}
