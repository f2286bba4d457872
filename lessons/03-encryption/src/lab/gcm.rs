//! GCM's arithmetic, as far as an attacker needs it who saw one nonce twice: the field GF(2^128),
//! in GCM's order of bits (SP 800-38D section 6.3).
//!
//! A message of one block, without associated data, has the tag
//! `T = C·H² ⊕ L·H ⊕ E`, where C is the ciphertext, L the block of lengths, H a secret that depends
//! on the key alone, and E one that depends on key and nonce. Two messages under one nonce share H
//! and E.

use std::ops::{BitXor, Mul};

/// An element of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block(pub u128);

impl Block {
    /// The one of the field: in GCM's order the first bit is the highest.
    const ONE: Self = Self(1 << 127);

    /// From 16 bytes.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// As 16 bytes.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// To the power of 2^128 - 2, which is the inverse, and of 2^127, which is the root of a
    /// square.
    fn power(self, mut exponent: u128) -> Self {
        let (mut result, mut base) = (Self::ONE, self);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = result * base;
            }
            base = base * base;
            exponent >>= 1;
        }
        result
    }

    fn inverse(self) -> Self {
        self.power(u128::MAX - 1)
    }

    fn root(self) -> Self {
        self.power(1 << 127)
    }
}

impl BitXor for Block {
    type Output = Self;

    fn bitxor(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }
}

impl Mul for Block {
    type Output = Self;

    fn mul(self, mut other: Self) -> Self {
        let mut product = 0;
        for bit in (0..128).rev() {
            if self.0 >> bit & 1 == 1 {
                product ^= other.0;
            }
            let reduce = if other.0 & 1 == 1 { 0xE1 << 120 } else { 0 };
            other.0 = other.0 >> 1 ^ reduce;
        }
        Self(product)
    }
}

/// A sealed message of one block: its ciphertext and its tag.
#[derive(Clone, Copy, Debug)]
pub struct OneBlock {
    /// 16 bytes of ciphertext.
    pub ciphertext: Block,
    /// The tag.
    pub tag: Block,
}

impl OneBlock {
    /// From the 32 bytes that travel; none if there are others.
    pub fn new(sealed: &[u8]) -> Option<Self> {
        let (ciphertext, tag) = sealed.split_at_checked(16)?;
        Some(Self {
            ciphertext: Block::new(ciphertext.try_into().ok()?),
            tag: Block::new(tag.try_into().ok()?),
        })
    }
}

// ANCHOR: attack
/// The second text, from the first: both were added to the same key stream.
pub fn other_text(first: &OneBlock, known: [u8; 16], second: &OneBlock) -> [u8; 16] {
    (first.ciphertext ^ second.ciphertext ^ Block::new(known)).bytes()
}

/// The secret H, from the two tags: L·H and E are the same in both, and vanish in the sum.
/// What is left is (C1 ⊕ C2)·H².
pub fn hash_key(first: &OneBlock, second: &OneBlock) -> Block {
    let ciphertexts = first.ciphertext ^ second.ciphertext;
    ((first.tag ^ second.tag) * ciphertexts.inverse()).root()
}

/// A message of the attacker's own, under the same nonce, with a tag that fits.
pub fn forge(first: &OneBlock, known: [u8; 16], text: [u8; 16], h: Block) -> Vec<u8> {
    let ciphertext = first.ciphertext ^ Block::new(known) ^ Block::new(text);
    let tag = first.tag ^ ((first.ciphertext ^ ciphertext) * (h * h));
    [ciphertext.bytes(), tag.bytes()].concat()
}
// ANCHOR_END: attack
