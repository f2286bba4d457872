//! Every byte of a connection, decrypted, with its meaning.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use shared::wiretap::Conversation;
use shared::{Direction, Transcript};
use tls_sockets::lab::ONLY_1_3;
use tls_sockets::lab::explain::fields::{Field, hex};
use tls_sockets::lab::explain::keys::Secrets;
use tls_sockets::lab::explain::{Explanation, Message, explain, html, recording};
use tls_sockets::lab::record::record_with_secrets;

/// Fields whose bytes are different in each connection.
const CHANGES: [&str; 13] = [
    "random",
    "legacy_session_id",
    "legacy_session_id_echo",
    "key_exchange",
    "cert_data",
    "signature",
    "verify_data",
    "ticket",
    "ticket_age_add",
    "ticket_nonce",
    "identity",
    "obfuscated_ticket_age",
    "tag",
];

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    let (conversation, secrets) = match t.option("recording").map(str::to_owned) {
        Some(file) => read(t, Path::new(&file))?,
        None => {
            // ANCHOR: explain
            let (wire, secrets) = record_with_secrets(ONLY_1_3).await?;
            let conversation = wire.connections.first().context("nothing recorded")?.clone();
            // ANCHOR_END: explain
            (conversation, secrets)
        }
    };
    if let Some(file) = t.option("save").map(str::to_owned) {
        save(Path::new(&file), &recording::to_text(&conversation, &secrets))?;
    }
    let explanation = explain(&conversation, &secrets);
    if let Some(file) = t.option("html").map(str::to_owned) {
        let about = match t.option("recording") {
            None => "These are the bytes of a connection that your own machine has just made.",
            Some(_) => {
                "These are the bytes of a connection that was recorded before. In a connection of your own, random values, \
                 keys and signatures are others, and the client puts its extensions into another order."
            }
        };
        write_page(t, &explanation, about, Path::new(&file))?;
    } else {
        let wanted = t.option("message").map(str::to_owned);
        let chosen = chosen(&explanation, wanted.as_deref())?;
        let mut explained = BTreeSet::new();
        let mut records = 0;
        for (index, message) in explanation.messages.iter().enumerate() {
            let from = records;
            records = records.max(message.records.end);
            if chosen.contains(&index) {
                show(t, &explanation, message, from..records, &mut explained);
            }
        }
    }

    t.step("The proof that nothing is left over.");
    // ANCHOR: proof
    ensure!(explanation.stopped.is_empty(), "not explained: {:?}", explanation.stopped);
    let (explained, recorded) = (explanation.explained(), explanation.recorded);
    let count = format!("{explained} of {recorded} recorded bytes belong to a field");
    t.must_show("bytes", &count, &format!("{recorded} of {recorded}"))?;
    let finished = format!("{} of 2 fit the conversation", explanation.verified);
    t.must_show("Finished", &finished, "2 of 2")?;
    // ANCHOR_END: proof
    Ok(())
}

/// A recording that was saved before.
fn read(t: &mut Transcript, file: &Path) -> anyhow::Result<(Conversation, Secrets)> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the recording {shown}"))?;
    let recording = recording::from_text(&text).map_err(|line| {
        anyhow::anyhow!("{shown} is not a recording: see line {line}. Make one with just lesson 2 bytes --save FILE")
    })?;
    t.shows("recording", file.file_name().unwrap_or_default().to_string_lossy());
    Ok(recording)
}

/// A new file for its owner alone, because the secrets are in it.
fn save(file: &Path, text: &str) -> anyhow::Result<()> {
    let shown = file.display();
    let mut made = careful_files::create_private(file).with_context(|| {
        format!("cannot make {shown}: name a new file, because one that exists is not replaced")
    })?;
    if let Err(error) = made.write_all(text.as_bytes()) {
        let _ = std::fs::remove_file(file);
        return Err(error).with_context(|| format!("cannot write {shown}, so it was removed"));
    }
    Ok(())
}

/// All messages, or the one with this number or this name.
fn chosen(explanation: &Explanation, wanted: Option<&str>) -> anyhow::Result<Vec<usize>> {
    let all = 0..explanation.messages.len();
    let Some(wanted) = wanted else { return Ok(all.collect()) };
    let named = |index: &usize| {
        let name = explanation.messages[*index].name.to_lowercase().replace(' ', "");
        name == wanted.to_lowercase().replace(['-', ' '], "") || (index + 1).to_string() == wanted
    };
    let chosen: Vec<usize> = all.filter(named).collect();
    if chosen.is_empty() {
        let mut names: Vec<String> = Vec::new();
        for (index, message) in explanation.messages.iter().enumerate() {
            names.push(format!("{} {}", index + 1, message.name));
        }
        bail!("there is no message {wanted}; there are: {}", names.join(", "));
    }
    Ok(chosen)
}

fn show(
    t: &mut Transcript,
    explanation: &Explanation,
    message: &Message,
    new_records: std::ops::Range<usize>,
    explained: &mut BTreeSet<String>,
) {
    let side = if message.direction == Direction::ToServer { "client" } else { "server" };
    let encrypted = if message.encrypted { ", encrypted" } else { "" };
    let record = message.records.start + 1;
    t.step(&format!(
        "{}, {}, from the {side}, in record {record}{encrypted}.",
        message.name,
        html::bytes(message.bytes.len())
    ));
    for number in new_records {
        let Some(record) = explanation.records.get(number) else { continue };
        for (index, field) in record.fields.iter().enumerate() {
            // The header stands before the content, the rest behind it.
            let bytes = match index {
                0 => record.bytes.get(..1),
                1 => record.bytes.get(1..3),
                2 => record.bytes.get(3..5),
                _ => None,
            };
            let shown = match (bytes, field.name.as_str()) {
                (Some(bytes), _) => hex(bytes),
                (None, "tag") => field.value.clone(),
                (None, _) => "(decrypted)".to_owned(),
            };
            one(t, &format!("record {}", number + 1), &shown, field, explained);
        }
    }
    let mut at = 0;
    for field in &message.fields {
        let bytes = message.bytes.get(at..at + field.length).unwrap_or_default();
        at += field.length;
        let shown = match CHANGES.contains(&field.name.as_str()) && bytes.len() > 3 {
            true => short(bytes),
            false => hex(bytes),
        };
        one(t, "", &shown, field, explained);
    }
}

/// Three bytes, and how many there are.
fn short(bytes: &[u8]) -> String {
    let first: Vec<String> = bytes.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
    format!("{} … {} bytes", first.join(" "), bytes.len())
}

/// A field; why it is there is said once.
fn one(t: &mut Transcript, of: &str, bytes: &str, field: &Field, explained: &mut BTreeSet<String>) {
    let name = if of.is_empty() { field.name.clone() } else { format!("{of}: {}", field.name) };
    let says = field.value != bytes && !field.value.contains('…');
    let certificate = field.name == "cert_data";
    let mut meaning = if says || certificate { format!("{name}: {}", field.value) } else { name };
    // A length explains itself after the first one, whatever it is the length of.
    let kind = field.name.rsplit(' ').next().unwrap_or_default().to_owned();
    let key = if kind == "length" { kind } else { field.name.clone() };
    if !field.why.is_empty() && explained.insert(key) {
        meaning.push_str(&format!("\n{} {}", field.why, html::source(field.source)));
    }
    t.field(bytes, meaning.trim_end());
}

fn write_page(
    t: &mut Transcript,
    explanation: &Explanation,
    about: &str,
    file: &Path,
) -> anyhow::Result<()> {
    t.step(&format!("The same as a page: {}.", file.display()));
    let page = html::page(explanation, about);
    let made = std::fs::File::create_new(file)
        .with_context(|| format!("cannot make {}: name a new file", file.display()))?;
    let mut made = std::io::BufWriter::new(made);
    let written = made.write_all(page.as_bytes()).and_then(|()| made.flush());
    if let Err(error) = written {
        let _ = std::fs::remove_file(file);
        return Err(error)
            .with_context(|| format!("cannot write {}, so it was removed", file.display()));
    }
    t.shows("page", format!("{} KiB; open it in a browser", page.len().div_ceil(1024)));
    Ok(())
}
