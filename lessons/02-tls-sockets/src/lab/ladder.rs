//! A ladder diagram of a recorded handshake, as SVG: both directions, each record with its
//! size, readable or encrypted, and what can be read in it.
//!
//! It reads at 320 pixels, without color, and to a screen reader: a solid arrow is readable
//! and says so, a dashed one is encrypted and says so, and the text alternative lists the
//! same records in words.

use std::fmt::Write;

use shared::tls_records::{Content, Fields, TlsRecord, group_name, version_name};
use shared::wiretap::Chunk;
use shared::{Direction, tls_records};

/// A record and the way that it went.
#[derive(Clone, Debug)]
pub struct Rung {
    /// Which way.
    pub direction: Direction,
    /// The record.
    pub record: TlsRecord,
}

impl Rung {
    /// Its lines: first what it is and its size, then what can be read in it.
    pub fn lines(&self) -> Vec<String> {
        let size = self.record.length;
        let mut lines = Vec::new();
        match &self.record.content {
            Content::Handshake(messages) => {
                if messages.len() != 1 {
                    lines.push(format!("{} messages, {size} bytes", messages.len()));
                }
                for message in messages {
                    // Alone in its record, a message is as long as the record.
                    let length = if messages.len() == 1 { size } else { message.length };
                    let what = format!("{}, {length} bytes", message.name);
                    lines.push(if messages.len() == 1 { what } else { format!("- {what}") });
                    lines.extend(fields(&message.fields));
                    if message.name == "Certificate" {
                        lines.push("names, issuer and public key".to_owned());
                    }
                }
            }
            Content::ChangeCipherSpec => lines.push(format!("ChangeCipherSpec, {size} bytes")),
            Content::Alert(name) => lines.push(format!("alert {name}, {size} bytes")),
            Content::Encrypted(kind) => lines.push(format!("encrypted {kind}, {size} bytes")),
            Content::Incomplete(came) => lines.push(format!("incomplete, {came} bytes")),
            Content::Malformed(why) => lines.push(why.clone()),
        }
        lines
    }

    fn is_encrypted(&self) -> bool {
        matches!(self.record.content, Content::Encrypted(_))
    }
}

fn fields(fields: &Fields) -> Vec<String> {
    match fields {
        Fields::ClientHello(hello) => {
            let versions: Vec<String> =
                hello.versions.iter().map(|&version| version_name(version)).collect();
            let mut lines = vec![
                format!("name: {}", hello.server_name.as_deref().unwrap_or("none")),
                format!("protocols: {}", hello.alpn.join(", ")),
                format!("versions: {}", versions.join(", ")),
            ];
            for &(group, size) in &hello.key_shares {
                lines.push(format!("key share: {}, {size} bytes", group_name(group)));
            }
            lines
        }
        Fields::ServerHello(hello) => {
            let mut lines = vec![
                format!("version: {}", version_name(hello.version)),
                hello.cipher_suite.clone(),
            ];
            if let Some((group, size)) = hello.key_share {
                lines.push(format!("key share: {}, {size} bytes", group_name(group)));
            }
            lines
        }
        Fields::Other => Vec::new(),
    }
}

/// The records of a connection in the order in which the tap saw them begin.
pub fn rungs(to_server: &[u8], to_client: &[u8], order: &[Chunk]) -> Vec<Rung> {
    let view = tls_records::view(to_server, to_client);
    let mut records = [view.to_server.into_iter(), view.to_client.into_iter()];
    let mut seen = [0, 0];
    let mut begun = [0, 0];
    let mut rungs = Vec::new();
    for chunk in order {
        let side = usize::from(chunk.direction == Direction::ToClient);
        seen[side] += chunk.length;
        while begun[side] < seen[side] {
            let Some(record) = records[side].next() else { break };
            begun[side] += record.length;
            rungs.push(Rung { direction: chunk.direction, record });
        }
    }
    rungs
}

const WIDTH: usize = 340;
const MARGIN: usize = 10;
const LINE: usize = 15;

/// Draws the ladder.
pub fn svg(title: &str, rungs: &[Rung]) -> String {
    let height = 70 + rungs.iter().map(rung_height).sum::<usize>();
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\" \
         style=\"max-width:{}px;width:100%;height:auto\" fill=\"currentColor\" \
         stroke=\"currentColor\" font-family=\"sans-serif\" font-size=\"12\">\n",
        escaped(&described(title, rungs)),
        WIDTH + WIDTH / 2,
    );
    let (left, right) = (MARGIN, WIDTH - MARGIN);
    let text = |out: &mut String, x: usize, y: usize, anchor: &str, weight: &str, text: &str| {
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" font-weight=\"{weight}\" \
             stroke=\"none\">{}</text>",
            escaped(text)
        );
    };
    text(&mut out, left, 20, "start", "bold", "client");
    text(&mut out, right, 20, "end", "bold", "server");
    for x in [left, right] {
        let _ = writeln!(
            out,
            "<line x1=\"{x}\" y1=\"28\" x2=\"{x}\" y2=\"{}\" stroke-width=\"1\"/>",
            height - 28
        );
    }
    let mut top = 36;
    for rung in rungs {
        let lines = rung.lines();
        for (index, line) in lines.iter().enumerate() {
            let weight = if index == 0 { "bold" } else { "normal" };
            text(&mut out, WIDTH / 2, top + LINE * (index + 1), "middle", weight, line);
        }
        let y = top + LINE * lines.len() + 8;
        let (from, to, back) = match rung.direction {
            Direction::ToServer => (left + 2, right - 2, right - 10),
            Direction::ToClient => (right - 2, left + 2, left + 10),
        };
        let dashes = if rung.is_encrypted() { " stroke-dasharray=\"5 4\"" } else { "" };
        let _ = writeln!(
            out,
            "<line x1=\"{from}\" y1=\"{y}\" x2=\"{to}\" y2=\"{y}\" stroke-width=\"1.5\"{dashes}/>\n\
             <polyline points=\"{back},{} {to},{y} {back},{}\" fill=\"none\"/>",
            y - 4,
            y + 4
        );
        top += rung_height(rung);
    }
    let legend = "solid: readable; dashed: encrypted";
    text(&mut out, WIDTH / 2, height - 8, "middle", "normal", legend);
    out.push_str("</svg>\n");
    out
}

fn rung_height(rung: &Rung) -> usize {
    LINE * rung.lines().len() + 18
}

/// The same in words.
pub fn described(title: &str, rungs: &[Rung]) -> String {
    let mut text = format!("{title}.");
    for rung in rungs {
        let _ = write!(text, " {}: {}.", rung.direction, rung.lines().join("; "));
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
