//! A key from a password: Argon2id (RFC 9106).
//!
//! The mistake this prevents: a password used as a key, or hashed once with SHA-256. A graphics
//! card tries billions of those a second; each try of Argon2id takes the memory that you choose.
//!
//! ```text
//! offset  length  what
//!      0       1  version: 1
//!      1       4  memory in KiB
//!      5       4  passes
//!      9       4  lanes
//!     13      16  salt, random
//!     29      32  commitment: the second half of what Argon2id makes; the first half is the key
//!     61       …  a sealed message (see sealing), which authenticates all of the above
//! ```
//!
//! The commitment is there because GCM does not commit to its key: without it, somebody who guesses
//! could make one message that opens under thousands of passwords, and try them all with one
//! question (Len, Grubbs, Ristenpart, "Partitioning Oracle Attacks", 2021).

use aes_gcm::aead::Generate;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::context::{Context, Kind};
use crate::format::{FormatError, Reader};
use crate::sealing::{KeyId, OpenError, SealError, Sealer, SecretKey, key_id};

const VERSION: u8 = 1;
const SALT: usize = 16;
const COMMITMENT: usize = 32;
const HEADER: usize = 1 + 3 * 4 + SALT + COMMITMENT;
const PASSWORD_KEY: KeyId = KeyId(*b"password");

/// What one guess costs, for you and for an attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes: parts of the memory that can be worked on at the same time. Here they are computed
    /// one after another, since argon2 is built without its feature `parallel`; an attacker
    /// may compute them at once.
    pub lanes: u32,
}

impl Cost {
    /// 19 MiB, 2 passes, 1 lane: the least that OWASP's Password Storage Cheat Sheet takes for good
    /// (August 2026).
    pub const LEAST: Self = Self { memory: 19 * 1024, passes: 2, lanes: 1 };
    /// 64 MiB, 3 passes, 4 lanes: the second choice of RFC 9106 section 4, for machines with little
    /// memory to spare. Its first is 2 GiB, 1 pass, 4 lanes.
    pub const RECOMMENDED: Self = Self { memory: 64 * 1024, passes: 3, lanes: 4 };
    /// 128 MiB, 4 passes, 4 lanes: what a message from a stranger may ask of [`open`], unless you
    /// allow more. Without a limit, a few bytes could take all memory.
    pub const LIMIT: Self = Self { memory: 128 * 1024, passes: 4, lanes: 4 };

    /// As much work as the least: fewer passes need more memory.
    fn is_enough(self) -> bool {
        let lanes = (1..=64).contains(&self.lanes);
        let enough = match self.passes {
            0 => false,
            1 => self.memory >= 46 * 1024,
            _ => self.memory >= Self::LEAST.memory,
        };
        lanes && enough
    }

    fn params(self) -> Option<Params> {
        Params::new(self.memory, self.passes, self.lanes, Some(64)).ok()
    }

    fn is_within(self, limit: Self) -> bool {
        self.memory <= limit.memory && self.passes <= limit.passes && self.lanes <= limit.lanes
    }
}

/// Why a text was not sealed under a password.
#[derive(Debug, Error)]
pub enum PasswordError {
    /// No password protects nothing. How long one has to be is your service's to decide.
    #[error("expected a password, got none")]
    Empty,
    /// Less than [`Cost::LEAST`].
    #[error("expected a cost of at least {least:?}, got {0:?}", least = Cost::LEAST)]
    Cost(Cost),
    /// There is not as much memory as the cost says, and the system says so. Linux usually promises more than it has, and
    /// kills a process when it is used: bound how many run at once.
    #[error("not enough memory for {0:?}")]
    NoMemory(Cost),
    /// The text is too long.
    #[error("the text cannot be sealed")]
    Seal(#[from] SealError),
}

// ANCHOR: seal
/// Seals a text under a password. Takes as long as the cost says: keep it off async
/// threads.
///
/// # Errors
/// See [`PasswordError`].
pub fn seal(
    password: &[u8],
    cost: Cost,
    context: &Context,
    text: &[u8],
) -> Result<Vec<u8>, PasswordError> {
    if password.is_empty() {
        return Err(PasswordError::Empty);
    }
    if !cost.is_enough() {
        return Err(PasswordError::Cost(cost));
    }
    let salt = <[u8; SALT]>::generate();
    let mut message = vec![VERSION];
    for number in [cost.memory, cost.passes, cost.lanes] {
        message.extend_from_slice(&number.to_be_bytes());
    }
    message.extend_from_slice(&salt);
    let params = cost.params().ok_or(PasswordError::Cost(cost))?;
    let (key, commitment) = derive(password, &salt, params).ok_or(PasswordError::NoMemory(cost))?;
    message.extend_from_slice(&commitment);
    let sealed = Sealer::new(PASSWORD_KEY, &key).seal(&bound(&message, context), text)?;
    message.extend_from_slice(&sealed);
    Ok(message)
}
// ANCHOR_END: seal

/// Opens it again. A wrong password and a changed message are one error.
///
/// `limit` is the most that the message may ask for: [`Cost::LIMIT`], or more for your own
/// messages. What is no message is refused before anything is computed.
///
/// # Errors
/// See [`OpenError`].
pub fn open(
    password: &[u8],
    limit: Cost,
    context: &Context,
    message: &[u8],
) -> Result<Vec<u8>, OpenError> {
    let mut reader = Reader::new(message);
    reader.byte(VERSION, "version 1")?;
    let mut number = |what| reader.array(what).map(u32::from_be_bytes);
    let cost = Cost {
        memory: number("the memory in KiB, 4 bytes")?,
        passes: number("the passes, 4 bytes")?,
        lanes: number("the lanes, 4 bytes")?,
    };
    // Nothing was sealed here for less: somebody wants passwords to be guessed cheaply.
    if !cost.is_enough() {
        let expected = "a cost of at least Cost::LEAST";
        return Err(FormatError { offset: 1, expected, got: format!("{cost:?}") }.into());
    }
    if !cost.is_within(limit) {
        let expected = "a cost within the limit";
        return Err(FormatError { offset: 1, expected, got: format!("{cost:?}") }.into());
    }
    let Some(params) = cost.params() else {
        let expected = "a cost that Argon2 knows";
        return Err(FormatError { offset: 1, expected, got: format!("{cost:?}") }.into());
    };
    let salt: [u8; SALT] = reader.array("a salt of 16 bytes")?;
    let committed: [u8; COMMITMENT] = reader.array("a commitment of 32 bytes")?;
    let sealed = reader.rest(0, "a sealed message")?;
    let id = key_id(sealed).map_err(|error| error.after(HEADER))?;
    if id != PASSWORD_KEY {
        return Err(OpenError::UnknownKey(id));
    }
    let (key, commitment) =
        derive(password, &salt, params).ok_or(OpenError::NoMemory(cost.memory))?;
    // Another password makes another commitment; so does a changed cost or salt.
    verify_slices_are_equal(&commitment, &committed).map_err(|_| OpenError::NotAuthentic)?;
    let opened = Sealer::new(PASSWORD_KEY, &key).open(&bound(&message[..HEADER], context), sealed);
    opened.map_err(|error| error.after(HEADER))
}

/// A key and a commitment to it; none if there is not enough memory.
fn derive(
    password: &[u8],
    salt: &[u8; SALT],
    params: Params,
) -> Option<(SecretKey, [u8; COMMITMENT])> {
    // The memory is our own, so that it can be refused, and wiped.
    let mut memory: Vec<Block> = Vec::new();
    memory.try_reserve_exact(params.block_count()).ok()?;
    memory.resize(params.block_count(), Block::new());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut made = Zeroizing::new([0; 64]);
    let result =
        argon2.hash_password_into_with_memory(password, salt, made.as_mut_slice(), &mut memory);
    memory.zeroize();
    result.ok()?;
    let (mut key, mut commitment) = ([0; 32], [0; COMMITMENT]);
    key.copy_from_slice(&made[..32]);
    commitment.copy_from_slice(&made[32..]);
    Some((SecretKey::from_bytes(&mut key), commitment))
}

fn bound(header: &[u8], context: &Context) -> Context {
    Context::of_kind(Kind::Password).with(header).with(context.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    const COST: Cost = Cost { memory: 19 * 1024, passes: 2, lanes: 1 };
    const SALT_OF_TESTS: [u8; SALT] = [7; SALT];

    fn derived(password: &[u8]) -> Option<(SecretKey, [u8; COMMITMENT])> {
        derive(password, &SALT_OF_TESTS, COST.params()?)
    }

    /// A message that is right in everything, with this commitment.
    fn sealed_with(commitment: &[u8; COMMITMENT], key: &SecretKey) -> Result<Vec<u8>, SealError> {
        let mut message = vec![VERSION];
        for number in [COST.memory, COST.passes, COST.lanes] {
            message.extend_from_slice(&number.to_be_bytes());
        }
        message.extend_from_slice(&SALT_OF_TESTS);
        message.extend_from_slice(commitment);
        let context = bound(&message, &Context::new("note"));
        let sealed = Sealer::new(PASSWORD_KEY, key).seal(&context, b"text")?;
        message.extend_from_slice(&sealed);
        Ok(message)
    }

    /// AES-GCM alone does not commit to its key: anybody who knows two passwords can make one message for both.
    #[test]
    fn the_commitment_is_compared() -> TestResult {
        let (key, commitment) = derived(b"password").ok_or("memory")?;
        let open = |message: &[u8]| open(b"password", Cost::LIMIT, &Context::new("note"), message);
        assert_eq!(open(&sealed_with(&commitment, &key)?)?, b"text");
        let mut changed = commitment;
        changed[COMMITMENT - 1] ^= 1;
        for wrong in [changed, [0; COMMITMENT]] {
            let refused = open(&sealed_with(&wrong, &key)?);
            assert!(matches!(refused, Err(OpenError::NotAuthentic)), "{refused:?}");
        }
        Ok(())
    }

    #[test]
    fn the_commitment_says_nothing_of_the_key_and_differs_by_password() -> TestResult {
        let (key, commitment) = derived(b"password").ok_or("memory")?;
        let (_, another) = derived(b"passwore").ok_or("memory")?;
        assert_ne!(commitment, [0; COMMITMENT]);
        assert_ne!(&commitment, key.expose());
        assert_ne!(commitment, another);
        Ok(())
    }
}
