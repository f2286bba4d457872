//! An explanation as one page: both directions as a ladder, each message a fold with its fields and its bytes. A field and
//! its bytes are marked together when either has the pointer or the focus. No script, and nothing from elsewhere.

use std::fmt::Write;

use shared::Direction;

use super::fields::Field;
use super::{Explanation, Message, Record};

/// The most fields of a message that are marked; a ClientHello has some seventy.
const MARKED: usize = 120;

const STYLE: &str = "\
:root { color-scheme: light dark; --mark: #ffe08a; --ink: #1a1a1a; --paper: #ffffff; --line: #767676; }
@media (prefers-color-scheme: dark) { :root { --mark: #6b5200; --ink: #e8e8e8; --paper: #14181c; --line: #9a9a9a; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.2; }
details { border: 1px solid var(--line); border-radius: 4px; margin: .4rem 0; width: 88%; }
details.client { margin-right: auto; }
details.server { margin-left: auto; }
summary { cursor: pointer; padding: .4rem .6rem; font-weight: bold; }
details.secret > summary { border-left: 5px double var(--line); }
details > div { padding: 0 .6rem .6rem; }
.bytes { font: 13px/1.6 ui-monospace, monospace; overflow-wrap: anywhere; margin: .4rem 0; max-height: 13rem; overflow-y: auto; }
.bytes span { border-bottom: 1px solid var(--line); margin-right: .4ch; }
ol { list-style: none; margin: 0; padding: 0; }
li { border-top: 1px solid var(--line); padding: .25rem 0; }
li code { font-weight: bold; font-size: 14px; }
small { display: block; font-size: 14px; }
:focus { outline: 2px solid currentColor; outline-offset: 1px; }
@media (max-width: 500px) { details { width: 100%; } }
";

/// The page. `about` is a sentence about the connection.
pub fn page(explanation: &Explanation, about: &str) -> String {
    let mut page =
        String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.push_str("<title>Every byte of a TLS 1.3 connection</title>\n<style>\n");
    page.push_str(STYLE);
    for index in 0..MARKED {
        let _ = writeln!(
            page,
            "details:has(.f{index}:is(:hover,:focus)) .f{index}{{background:var(--mark)}}"
        );
    }
    page.push_str(
        "</style>\n</head>\n<body>\n<main>\n<h1>Every byte of a TLS 1.3 connection</h1>\n",
    );
    let _ = writeln!(page, "<p>{}</p>", escaped(about));
    page.push_str(
        "<p>Messages from the client begin at the left, and those from the server end at the right. A double edge says \
         that the message was encrypted on the wire; its bytes are shown decrypted. Open a message, and point at a field, \
         or move to it with the Tab key, to see its bytes. Sections without a name are those of RFC 8446.</p>\n",
    );
    let mut shown = 0;
    for message in &explanation.messages {
        while shown < message.records.end {
            if let Some(record) = explanation.records.get(shown) {
                record_fold(&mut page, shown, record);
            }
            shown += 1;
        }
        message_fold(&mut page, message);
    }
    let (explained, recorded) = (explanation.explained(), explanation.recorded);
    let _ = writeln!(
        page,
        "<p>{explained} of {recorded} recorded bytes belong to a field, and {} of 2 Finished messages fit the \
         conversation.</p>\n</main>\n</body>\n</html>",
        explanation.verified
    );
    page
}

fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::ToServer => "client",
        Direction::ToClient => "server",
    }
}

fn message_fold(page: &mut String, message: &Message) {
    let (side, secret) = (side(message.direction), if message.encrypted { " secret" } else { "" });
    let encrypted = if message.encrypted { ", encrypted on the wire" } else { "" };
    let _ = writeln!(
        page,
        "<details class=\"{side}{secret}\"><summary>{}, {}, from the {side}{encrypted}</summary>\n<div>",
        message.name,
        bytes(message.bytes.len())
    );
    let mut at = 0;
    let parts: Vec<&[u8]> = message
        .fields
        .iter()
        .map(|field| {
            at += field.length;
            &message.bytes[at - field.length..at]
        })
        .collect();
    bytes_and_fields(page, &message.fields, &parts);
    page.push_str("</div></details>\n");
}

/// The header of a record, and what comes behind its content.
fn record_fold(page: &mut String, number: usize, record: &Record) {
    let side = side(record.direction);
    let _ = writeln!(
        page,
        "<details class=\"{side}\"><summary>Record {}, {} bytes</summary>\n<div>",
        number + 1,
        record.bytes.len()
    );
    let header: Vec<&[u8]> = vec![&record.bytes[..1], &record.bytes[1..3], &record.bytes[3..5]];
    let header_fields = record.fields.len().min(header.len());
    bytes_and_fields(page, &record.fields[..header_fields], &header[..header_fields]);
    if record.fields.len() > header_fields {
        page.push_str("<p>After the content, and decrypted except for the tag:</p>\n<ol>\n");
        for field in &record.fields[header_fields..] {
            entry(page, None, field);
        }
        page.push_str("</ol>\n");
    }
    page.push_str("</div></details>\n");
}

fn bytes_and_fields(page: &mut String, fields: &[Field], parts: &[&[u8]]) {
    page.push_str("<p class=\"bytes\" tabindex=\"0\">");
    for (index, part) in parts.iter().enumerate() {
        let digits: Vec<String> = part.iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = write!(page, "<span class=\"f{index}\">{}</span> ", digits.join(" "));
    }
    page.push_str("</p>\n<ol>\n");
    for (index, field) in fields.iter().enumerate() {
        entry(page, Some(index), field);
    }
    page.push_str("</ol>\n");
}

fn entry(page: &mut String, index: Option<usize>, field: &Field) {
    let marked =
        index.map(|index| format!(" class=\"f{index}\" tabindex=\"0\"")).unwrap_or_default();
    let bytes = bytes(field.length);
    let _ = write!(
        page,
        "<li{marked}><code>{}</code> {bytes}: {}",
        escaped(&field.name),
        escaped(&field.value)
    );
    if !field.why.is_empty() {
        let _ = write!(
            page,
            "<small>{} {}</small>",
            escaped(field.why),
            escaped(&source(field.source))
        );
    }
    page.push_str("</li>\n");
}

/// So many bytes.
pub fn bytes(count: usize) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

/// The section, in parentheses.
pub fn source(source: &str) -> String {
    if source.is_empty() { String::new() } else { format!("({source})") }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
