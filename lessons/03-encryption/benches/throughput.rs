//! `just bench 3`: the take-home `Sealer` next to bare aes-gcm and aws-lc-rs, and the stream.
//!
//! The three take turns within one run, round by round, so that what else the machine does meets
//! all of them; each figure is the median. The stream's peak of memory is the kernel's own count
//! (Linux), for a file of 1 GiB that is sealed into another and opened into a third. Two minutes, 2
//! GiB of disk.

use std::hint::black_box;
use std::io::{self, Read};

use aes_gcm::aead::{Aead, Generate, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, UnboundKey};
use careful_encryption::context::Context;
use careful_encryption::keyring::KeyRing;
use careful_encryption::sealing::{KeyId, Sealer, SecretKey};
use careful_encryption::stream;
use snapshots::measure::{ROUNDS, per_second};

const KEY: [u8; 32] = [7; 32];

/// The medians of `N` ways to do the same to so many bytes, in turns: bytes a second.
fn medians<const N: usize>(size: usize, ways: [&mut dyn FnMut(); N]) -> [f64; N] {
    per_second(ways).map(|calls| calls * size as f64)
}

fn main() -> anyhow::Result<()> {
    println!("stream: a file of 1 GiB");
    let ring = KeyRing::new(KeyId(*b"bench-01"), &SecretKey::random());
    let context = Context::new("bench");
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    io::copy(&mut io::repeat(b'x').take(1 << 30), &mut std::fs::File::create(path("plain"))?)?;
    let before = peak();
    stream::seal_file(&ring, &context, &path("plain"), &path("sealed"))?;
    std::fs::remove_file(path("plain"))?;
    stream::open_file(&ring, &context, &path("sealed"), &path("opened"))?;
    anyhow::ensure!(std::fs::metadata(path("opened"))?.len() == 1 << 30, "all of it");
    drop(folder);
    match (before, peak()) {
        (Some(before), Some(after)) => {
            println!(
                "  peak of memory {:.1} MiB, of them {:.1} for the stream",
                after,
                after - before
            );
        }
        _ => println!("  peak of memory: only Linux tells it"),
    }

    println!("\nMiB a second, median of {ROUNDS} rounds");
    println!("                 aes-gcm   Sealer  ratio   aws-lc-rs  aes-gcm / aws-lc-rs");
    let bare = Aes256Gcm::new(&KEY.into());
    let sealer = Sealer::new(KeyId(*b"bench-01"), &SecretKey::from_bytes(&mut KEY.clone()));
    let aws = LessSafeKey::new(
        UnboundKey::new(&AES_256_GCM, &KEY).map_err(|_| anyhow::anyhow!("a key"))?,
    );
    let bound = [&[1], &b"bench-01"[..], context.as_bytes()].concat();
    for (size, name) in [(64, "64 B"), (1 << 10, "1 KiB"), (64 << 10, "64 KiB"), (1 << 20, "1 MiB")]
    {
        let text = vec![b'x'; size];
        let figures = medians(
            size,
            [
                &mut || {
                    let payload = Payload { msg: &text, aad: &bound };
                    black_box(bare.encrypt(&Nonce::generate(), payload)).expect("sealed");
                },
                &mut || {
                    black_box(sealer.seal(&context, &text)).expect("sealed");
                },
                &mut || {
                    let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(
                        <[u8; NONCE_LEN]>::generate(),
                    );
                    let mut message = Vec::with_capacity(size + 16);
                    message.extend_from_slice(&text);
                    aws.seal_in_place_append_tag(nonce, Aad::from(&bound), &mut message)
                        .expect("sealed");
                    black_box(message);
                },
            ],
        );
        show(&format!("seal {name}"), figures);

        let nonce = Nonce::generate();
        let payload = Payload { msg: &text, aad: &bound };
        let by_bare = bare.encrypt(&nonce, payload).expect("sealed");
        let by_sealer = sealer.seal(&context, &text)?;
        let figures = medians(
            size,
            [
                &mut || {
                    let payload = Payload { msg: &by_bare, aad: &bound };
                    black_box(bare.decrypt(&nonce, payload)).expect("opened");
                },
                &mut || {
                    black_box(sealer.open(&context, &by_sealer)).expect("opened");
                },
                &mut || {
                    let nonce: [u8; NONCE_LEN] = nonce.into();
                    let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(nonce);
                    let mut message = by_bare.clone();
                    aws.open_in_place(nonce, Aad::from(&bound), &mut message).expect("opened");
                    black_box(message);
                },
            ],
        );
        show(&format!("open {name}"), figures);
    }

    println!("\n                 aes-gcm   stream  ratio   (16 MiB in chunks of 64 KiB)");
    // Both read the same 16 MiB, which are in memory and not in the processor's cache.
    let size = 16 << 20;
    let text = vec![b'x'; size];
    let mut sealed = Vec::new();
    stream::seal(&ring, &context, &mut text.as_slice(), &mut sealed)?;
    let nonce = Nonce::from([1; 12]);
    let chunks: Vec<Vec<u8>> = text
        .chunks(stream::CHUNK)
        .map(|chunk| bare.encrypt(&nonce, chunk).expect("sealed"))
        .collect();
    let seal = medians(
        size,
        [
            &mut || {
                for chunk in text.chunks(stream::CHUNK) {
                    black_box(bare.encrypt(&Nonce::generate(), chunk)).expect("sealed");
                }
            },
            &mut || {
                stream::seal(&ring, &context, &mut text.as_slice(), &mut io::sink())
                    .expect("sealed");
            },
        ],
    );
    let open = medians(
        size,
        [
            &mut || {
                for chunk in &chunks {
                    black_box(bare.decrypt(&nonce, chunk.as_slice())).expect("opened");
                }
            },
            &mut || {
                stream::open(&ring, &context, &mut sealed.as_slice(), &mut io::sink())
                    .expect("opened");
            },
        ],
    );
    for (name, [bare, stream]) in [("seal", seal), ("open", open)] {
        println!("{name:13} {:10.0} {:8.0}   {:.2}", mib(bare), mib(stream), stream / bare);
    }
    Ok(())
}

fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

fn show(name: &str, [bare, sealer, aws]: [f64; 3]) {
    let (ratio, to_aws) = (sealer / bare, bare / aws);
    let [bare, sealer, aws] = [bare, sealer, aws].map(mib);
    println!("{name:13} {bare:10.0} {sealer:8.0}   {ratio:.2} {aws:11.0}   {to_aws:.2}");
}

/// The most memory that this process ever had, in MiB.
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
}
