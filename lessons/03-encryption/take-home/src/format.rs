//! A strict reader of bytes that a stranger may have made.
//!
//! The mistake this prevents: slicing at positions that the input itself names. Every read is
//! checked, nothing is allocated before it is there, and an error says at which offset what was
//! expected.

use thiserror::Error;

/// Bytes that do not have the format. It says where and what; of the bytes it tells only numbers
/// of the header.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("at byte {offset}: expected {expected}, got {got}")]
pub struct FormatError {
    /// From 0.
    pub offset: usize,
    /// What the format has there.
    pub expected: &'static str,
    /// What was there, in words.
    pub got: String,
}

impl FormatError {
    /// The same error of a part that begins after `bytes` others.
    #[must_use]
    pub fn after(mut self, bytes: usize) -> Self {
        self.offset += bytes;
        self
    }
}

/// Reads from the front.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts at offset 0.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn array<const N: usize>(
        &mut self,
        expected: &'static str,
    ) -> Result<[u8; N], FormatError> {
        let bytes = self.slice(N, expected)?;
        bytes.try_into().map_err(|_| self.error(expected, "too little".to_owned()))
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn slice(
        &mut self,
        length: usize,
        expected: &'static str,
    ) -> Result<&'a [u8], FormatError> {
        let Some(bytes) = self.bytes.get(self.offset..).and_then(|rest| rest.get(..length)) else {
            let left = self.bytes.len() - self.offset;
            return Err(self.error(expected, format!("the end after {left} bytes")));
        };
        self.offset += length;
        Ok(bytes)
    }

    /// One byte that has one value.
    ///
    /// # Errors
    /// It has another, or there is none.
    pub fn byte(&mut self, value: u8, expected: &'static str) -> Result<(), FormatError> {
        let [found] = self.array(expected)?;
        if found == value {
            return Ok(());
        }
        self.offset -= 1;
        Err(self.error(expected, format!("{found}")))
    }

    /// All that is left; at least `least` bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn rest(&mut self, least: usize, expected: &'static str) -> Result<&'a [u8], FormatError> {
        let left = self.bytes.len() - self.offset;
        if left < least {
            return Err(self.error(expected, format!("{left} bytes")));
        }
        self.slice(left, expected)
    }

    /// An error at the current offset.
    pub fn error(&self, expected: &'static str, got: String) -> FormatError {
        FormatError { offset: self.offset, expected, got }
    }
}
