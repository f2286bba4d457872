//! Lesson 3: nonces, messages, streams, envelopes and public keys.

use std::path::Path;

use super::sheet::{At, Look, Sheet};
use super::{Figure, measured};

const SEALED: &str = "lessons/03-encryption/tests/snapshots/seal.snap";

pub const FIGURES: &[Figure] = &[
    Figure {
        name: "message",
        caption: "A sealed message, with its sizes in bytes from the run above. The tag covers all of it, and the context, which isn't sent.",
        alternative: "Five boxes in a row: version, 1 byte; key id, 8 bytes; nonce, 12 bytes; ciphertext, as long as \
                      the text; tag, 16 bytes. Only the ciphertext is encrypted. The tag covers all of them.",
        draw: message,
    },
    Figure {
        name: "gcm",
        caption: "AES-GCM, for a text of one block. Key and nonce give the pad and the mask; H depends on the key alone.",
        alternative: "AES, with the key, turns the nonce with the counter 2 into a pad. The pad plus the text is the \
                      ciphertext. AES turns the nonce with the counter 1 into a mask. The hash of the ciphertext \
                      under H, plus the mask, is the tag.",
        draw: gcm,
    },
    Figure {
        name: "stream",
        caption: "STREAM. Each chunk's nonce says which chunk it is, and whether it is the last.",
        alternative: "A file is cut into chunks. Each is sealed with a nonce that has three parts: seven random bytes, \
                      the same for the whole file; the number of the chunk in four bytes; and one byte that is 1 for \
                      the last chunk and 0 for the others.",
        draw: stream,
    },
    Figure {
        name: "envelope",
        caption: "An envelope. Rotation replaces the small box and leaves the large one as it is.",
        alternative: "The ring's key seals a key that was made for this note alone. That key seals the note. When the \
                      ring's key is replaced, only the sealed key is sealed again.",
        draw: envelope,
    },
    Figure {
        name: "hpke",
        caption: "HPKE. In the base mode anybody can be the sender; in the authenticated mode only Alice or Bob can.",
        alternative: "Base mode: a key pair that is made for one letter, and Bob's public key, give the key of the \
                      letter. Authenticated mode: Alice's private key goes into it as well, and Bob needs Alice's \
                      public key to open the letter.",
        draw: hpke,
    },
];

fn message(course: &Path) -> anyhow::Result<Sheet> {
    let text = measured(course, SEALED, "text")?;
    let whole = measured(course, SEALED, "message")?;
    let mut sheet = Sheet::default();
    let mut x = 3;
    let ciphertext = text.to_string();
    for (width, name, bytes, look) in [
        (56, "version", "1", Look::Plain),
        (50, "key id", "8", Look::Plain),
        (60, "nonce", "12", Look::Plain),
        (98, "ciphertext", ciphertext.as_str(), Look::Filled),
        (70, "tag", "16", Look::Strong),
    ] {
        sheet.boxed((x, 4), (width, 44), look, &[name, bytes]);
        x += width;
    }
    for (from, to, words, y) in [
        (3, 168, "in the clear", 62),
        (170, 266, "encrypted", 62),
        (3, 266, "covered by the tag", 92),
    ] {
        sheet.line((from, y - 6), (to, y - 6), Look::Plain);
        sheet.small(((from + to) / 2, y + 8), At::Middle, words);
    }
    sheet.small((337, 70), At::End, &format!("{whole} in all"));
    Ok(sheet)
}

fn gcm(_: &Path) -> anyhow::Result<Sheet> {
    let mut sheet = Sheet::default();
    for (x, counter, result) in [(2, "nonce, 2", "pad"), (122, "nonce, 1", "mask")] {
        sheet.boxed((x, 4), (96, 28), Look::Plain, &[counter]);
        sheet.arrow((x + 48, 34), (x + 48, 54), Look::Plain);
        sheet.boxed((x, 54), (96, 28), Look::Filled, &["AES"]);
        sheet.arrow((x + 48, 84), (x + 48, 104), Look::Plain);
        sheet.boxed((x, 104), (96, 28), Look::Plain, &[result]);
    }
    sheet.boxed((242, 4), (96, 28), Look::Plain, &["zeros"]);
    sheet.arrow((290, 34), (290, 54), Look::Plain);
    sheet.boxed((242, 54), (96, 28), Look::Filled, &["AES"]);
    sheet.arrow((290, 84), (290, 104), Look::Plain);
    sheet.boxed((242, 104), (96, 28), Look::Strong, &["H"]);
    // The text joins the pad, and gives the ciphertext.
    sheet.words((50, 152), At::Middle, "⊕ text");
    sheet.arrow((50, 158), (50, 178), Look::Plain);
    sheet.boxed((2, 178), (96, 28), Look::Strong, &["ciphertext"]);
    // The ciphertext is hashed with H, and the mask hides the hash.
    sheet.arrow((100, 192), (240, 192), Look::Plain);
    sheet.arrow((290, 134), (290, 176), Look::Plain);
    sheet.boxed((242, 178), (96, 28), Look::Filled, &["hash with H"]);
    sheet.arrow((290, 208), (290, 238), Look::Plain);
    sheet.line((170, 134), (170, 186), Look::Plain);
    sheet.arrow((170, 198), (170, 238), Look::Plain);
    sheet.boxed((122, 238), (216, 28), Look::Strong, &["tag = mask ⊕ hash"]);
    Ok(sheet)
}

fn stream(_: &Path) -> anyhow::Result<Sheet> {
    let mut sheet = Sheet::default();
    for (x, width, words) in [(2, 104, "64 KiB"), (118, 104, "64 KiB"), (234, 104, "the rest")] {
        sheet.boxed((x, 4), (width, 28), Look::Plain, &[words]);
        sheet.arrow((x + 52, 34), (x + 52, 56), Look::Plain);
    }
    for (x, number, last) in [(2, "0", "0"), (118, "1", "0"), (234, "2", "1")] {
        sheet.boxed((x, 56), (52, 28), Look::Filled, &["random"]);
        sheet.boxed((x + 52, 56), (26, 28), Look::Plain, &[number]);
        sheet.boxed((x + 78, 56), (26, 28), Look::Strong, &[last]);
        sheet.arrow((x + 52, 86), (x + 52, 108), Look::Plain);
        sheet.boxed((x, 108), (104, 28), Look::Filled, &["chunk, tag"]);
    }
    sheet.small((2, 158), At::Start, "nonce: 7 random bytes, one set for the file;");
    sheet.small((2, 174), At::Start, "4 bytes of number; 1 byte that says last");
    Ok(sheet)
}

fn envelope(_: &Path) -> anyhow::Result<Sheet> {
    let mut sheet = Sheet::default();
    sheet.boxed((2, 6), (128, 30), Look::Strong, &["the ring's key"]);
    sheet.arrow((66, 38), (66, 72), Look::Plain);
    sheet.words((76, 60), At::Start, "seals");
    sheet.boxed((2, 72), (128, 30), Look::Filled, &["the note's key"]);
    sheet.arrow((132, 87), (196, 87), Look::Plain);
    sheet.words((164, 80), At::Middle, "seals");
    sheet.boxed((196, 48), (142, 78), Look::Filled, &["the note,", "however large"]);
    sheet.boxed((196, 6), (142, 30), Look::Plain, &["a newer ring's key"]);
    sheet.small((2, 124), At::Start, "rotation: open this box with");
    sheet.small((2, 140), At::Start, "the old key, and seal it again");
    sheet.small((2, 156), At::Start, "with the newer key");
    Ok(sheet)
}

fn hpke(_: &Path) -> anyhow::Result<Sheet> {
    let mut sheet = Sheet::default();
    sheet.bold((2, 14), At::Start, "base");
    sheet.boxed((2, 22), (150, 28), Look::Plain, &["a fresh key pair"]);
    sheet.boxed((2, 56), (150, 28), Look::Plain, &["Bob's public key"]);
    sheet.arrow((153, 36), (217, 48), Look::Plain);
    sheet.arrow((153, 70), (217, 58), Look::Plain);
    sheet.boxed((218, 36), (120, 34), Look::Filled, &["letter's key"]);
    sheet.small((218, 88), At::Start, "opened by Bob's key,");
    sheet.small((218, 102), At::Start, "sealed by anybody");
    sheet.bold((2, 130), At::Start, "authenticated");
    sheet.boxed((2, 138), (150, 28), Look::Plain, &["a fresh key pair"]);
    sheet.boxed((2, 172), (150, 28), Look::Plain, &["Bob's public key"]);
    sheet.boxed((2, 206), (150, 28), Look::Strong, &["Alice's private key"]);
    sheet.arrow((153, 152), (217, 178), Look::Plain);
    sheet.arrow((153, 186), (217, 186), Look::Plain);
    sheet.arrow((153, 220), (217, 194), Look::Plain);
    sheet.boxed((218, 169), (120, 34), Look::Filled, &["letter's key"]);
    sheet.small((218, 220), At::Start, "opened by Bob's key");
    sheet.small((218, 234), At::Start, "and Alice's key");
    Ok(sheet)
}
