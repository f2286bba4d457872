//! Every byte of a recorded TLS 1.3 connection, decrypted with its own secrets, as a named field.
//!
//! It reads what peers sent, and so what attackers send: whatever comes, it says where it stopped and why, and goes on
//! with the next record.

pub mod fields;
pub mod html;
pub mod keys;
pub mod messages;
pub mod recording;

use std::ops::Range;

use shared::Direction;
use shared::wiretap::Conversation;

use fields::{Field, Stop, Walk, hex};
use keys::{RecordKey, Secrets, Suite};

const HEADER: usize = 5;
const TAG: usize = 16;
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// The longest ciphertext of a record (RFC 8446 section 5.2).
const LONGEST: usize = (1 << 14) + 256;

/// A record, as it crossed the wire.
#[derive(Clone, Debug)]
pub struct Record {
    /// Which way it went.
    pub direction: Direction,
    /// All of it.
    pub bytes: Vec<u8>,
    /// Its header, and what else is not content: the type inside, padding, the tag.
    pub fields: Vec<Field>,
    /// How many of its bytes are content.
    pub content: usize,
    /// Whether it was decrypted.
    pub encrypted: bool,
}

/// A message: of the handshake, an alert, application data, or a ChangeCipherSpec.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its name.
    pub name: &'static str,
    /// Who sent it.
    pub direction: Direction,
    /// Its bytes, decrypted.
    pub bytes: Vec<u8>,
    /// Its fields, one after the other.
    pub fields: Vec<Field>,
    /// The records that hold it, by number from 0.
    pub records: Range<usize>,
    /// Whether its records were encrypted.
    pub encrypted: bool,
}

/// All of a connection.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// The records in the order in which the tap received them.
    pub records: Vec<Record>,
    /// The messages in the same order.
    pub messages: Vec<Message>,
    /// Bytes that were recorded.
    pub recorded: usize,
    /// What could not be explained, and why; empty if everything was.
    pub stopped: Vec<String>,
    /// How many Finished messages hold what the conversation says that they must.
    pub verified: usize,
}

impl Explanation {
    /// Bytes that belong to a field.
    pub fn explained(&self) -> usize {
        let lengths = |fields: &[Field]| fields.iter().map(|field| field.length).sum::<usize>();
        let records: usize = self.records.iter().map(|record| lengths(&record.fields)).sum();
        let messages: usize = self.messages.iter().map(|message| lengths(&message.fields)).sum();
        records + messages
    }
}

/// Explains a connection with its secrets. It never fails: what it can't explain stands in
/// [`stopped`](Explanation::stopped).
pub fn explain(wire: &Conversation, secrets: &Secrets) -> Explanation {
    let recorded = wire.to_server.len() + wire.to_client.len();
    let mut reader = Reader {
        secrets,
        suite: None,
        sides: [Side::default(), Side::default()],
        conversation: Vec::new(),
        explanation: Explanation { recorded, ..Explanation::default() },
    };
    let (mut seen, mut begun) = ([0, 0], [0, 0]);
    for chunk in &wire.order {
        let side = usize::from(chunk.direction == Direction::ToClient);
        let bytes = [&wire.to_server, &wire.to_client][side];
        seen[side] = bytes.len().min(seen[side] + chunk.length);
        while begun[side] < seen[side] {
            let left = &bytes[begun[side]..];
            let length = reader.record(chunk.direction, left);
            begun[side] += length.max(1);
        }
    }
    reader.end()
}

/// What is known about the records of one direction.
#[derive(Default)]
struct Side {
    key: Option<RecordKey>,
    /// The secret of `key`.
    secret: Vec<u8>,
    /// The beginning of a handshake message that goes on in the next record, and the record in which it began.
    begun: Vec<u8>,
    begun_in: usize,
}

struct Reader<'a> {
    secrets: &'a Secrets,
    suite: Option<Suite>,
    sides: [Side; 2],
    /// All handshake messages until now: what both Finished messages are about.
    conversation: Vec<u8>,
    explanation: Explanation,
}

impl Reader<'_> {
    fn side(&mut self, direction: Direction) -> &mut Side {
        &mut self.sides[usize::from(direction == Direction::ToClient)]
    }

    fn stop(&mut self, direction: Direction, why: &str) {
        let number = self.explanation.records.len();
        self.explanation.stopped.push(format!("record {number}, {direction}: {why}"));
    }

    /// Explains the record that begins here, and says how many bytes it has.
    fn record(&mut self, direction: Direction, bytes: &[u8]) -> usize {
        let length = bytes.get(3..HEADER).map(fields::number);
        let whole = length
            .filter(|length| *length <= LONGEST)
            .and_then(|length| bytes.get(..HEADER + length));
        let Some(bytes) =
            whole.filter(|bytes| (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&bytes[0]))
        else {
            // Without a length that can be believed, nothing tells where the next record begins.
            let expected = "a record: a type of 20 to 23, a version, a length of at most 16,640, and so many bytes";
            let mut walk = Walk::new(bytes);
            walk.rest(&Stop { expected: expected.to_owned() });
            let fields = walk.fields;
            self.explanation.records.push(Record {
                direction,
                bytes: bytes.to_vec(),
                fields,
                content: 0,
                encrypted: false,
            });
            self.stop(direction, &format!("expected {expected}"));
            return bytes.len();
        };
        let number = self.explanation.records.len();
        let (header, body) = bytes.split_at(HEADER);
        let mut walk = Walk::new(bytes);
        let _all_there = record_header(&mut walk);
        let mut record = Record {
            direction,
            bytes: bytes.to_vec(),
            fields: walk.fields,
            content: body.len(),
            encrypted: false,
        };
        let opened = match (header[0], &mut self.side(direction).key) {
            (APPLICATION_DATA, Some(key)) => Some(key.open(header, body)),
            (APPLICATION_DATA, None) => Some(None),
            _ => None,
        };
        match opened {
            // In the clear.
            None => {
                self.explanation.records.push(record);
                self.content(direction, header[0], body.to_vec(), number, false);
            }
            Some(None) => {
                record.content = 0;
                let why = "Encrypted, and no secret of this connection opens it.";
                record.fields.push(Field {
                    length: body.len(),
                    name: "encrypted_record".to_owned(),
                    value: hex(body),
                    why,
                    source: "5.2",
                });
                self.explanation.records.push(record);
                self.stop(direction, "no secret opens it");
            }
            Some(Some(text)) => {
                record.encrypted = true;
                // The type is the last byte that isn't zero; what is behind it is padding.
                let kind = text.iter().rposition(|byte| *byte != 0);
                record.content = kind.unwrap_or(0);
                record.fields.extend(behind_the_content(&text, kind, &body[body.len() - TAG..]));
                self.explanation.records.push(record);
                match kind {
                    Some(at) => {
                        self.content(direction, text[at], text[..at].to_vec(), number, true)
                    }
                    None => self.stop(direction, "it holds nothing but padding"),
                }
            }
        }
        bytes.len()
    }

    fn content(
        &mut self,
        direction: Direction,
        kind: u8,
        bytes: Vec<u8>,
        record: usize,
        encrypted: bool,
    ) {
        if kind == HANDSHAKE {
            return self.handshake(direction, &bytes, record, encrypted);
        }
        let name = match kind {
            CHANGE_CIPHER_SPEC => "ChangeCipherSpec",
            ALERT => "alert",
            APPLICATION_DATA => "application data",
            _ => "content of an unknown type",
        };
        let mut walk = Walk::new(&bytes);
        let walked = match kind {
            CHANGE_CIPHER_SPEC => {
                let why = "Means nothing in TLS 1.3. Machines on the way that know TLS 1.2 want to see it.";
                walk.field(bytes.len(), ("change_cipher_spec", why, "5, appendix D.4"), hex)
                    .map(drop)
            }
            ALERT => messages::alert(&mut walk),
            _ => walk
                .field(bytes.len(), ("data", "What the application sent.", "5.2"), fields::text)
                .map(drop),
        };
        self.message(name, direction, walk, walked, record..record + 1, encrypted);
    }

    /// Handshake messages don't keep to records: one may hold several, and a message may go on in the next.
    fn handshake(&mut self, direction: Direction, bytes: &[u8], record: usize, encrypted: bool) {
        let side = self.side(direction);
        if side.begun.is_empty() {
            side.begun_in = record;
        }
        side.begun.extend_from_slice(bytes);
        loop {
            let side = self.side(direction);
            let length = side.begun.get(1..4).map(|length| 4 + fields::number(length));
            let Some(length) = length.filter(|length| side.begun.len() >= *length) else { break };
            let rest = side.begun.split_off(length);
            let message = std::mem::replace(&mut side.begun, rest);
            let records = side.begun_in..record + 1;
            side.begun_in = record;
            self.handshake_message(direction, &message, records, encrypted);
        }
    }

    fn handshake_message(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        records: Range<usize>,
        encrypted: bool,
    ) {
        let name = messages::name_of(bytes);
        if name == "Finished" {
            self.check_finished(direction, &bytes[4..]);
        }
        if name == "HelloRetryRequest" {
            // The hash of the first ClientHello stands for it from here on (RFC 8446 section 4.4.1).
            if let Some(suite) = suite_of(bytes) {
                let hash = suite.hash(&self.conversation);
                self.conversation = [&[254, 0, 0, hash.len() as u8][..], &hash].concat();
            }
        }
        self.conversation.extend_from_slice(bytes);
        let mut walk = Walk::new(bytes);
        let walked = messages::handshake(&mut walk, bytes);
        self.message(name, direction, walk, walked, records, encrypted);
        match name {
            "ServerHello" => {
                self.suite = suite_of(bytes);
                self.key(Direction::ToClient, "SERVER_HANDSHAKE_TRAFFIC_SECRET");
                self.key(Direction::ToServer, "CLIENT_HANDSHAKE_TRAFFIC_SECRET");
            }
            "Finished" => {
                let label = match direction {
                    Direction::ToServer => "CLIENT_TRAFFIC_SECRET_0",
                    Direction::ToClient => "SERVER_TRAFFIC_SECRET_0",
                };
                self.key(direction, label);
            }
            "KeyUpdate" => {
                if let Some(suite) = self.suite {
                    let side = self.side(direction);
                    side.secret = suite.next_secret(&side.secret);
                    side.key = RecordKey::new(suite, &side.secret);
                }
            }
            _ => {}
        }
    }

    /// From here on, records of this direction have the key of this secret.
    fn key(&mut self, direction: Direction, label: &str) {
        let (suite, secret) = (self.suite, self.secrets.get(label));
        let side = self.side(direction);
        side.key =
            suite.zip(secret.as_ref()).and_then(|(suite, secret)| RecordKey::new(suite, secret));
        side.secret = secret.unwrap_or_default();
    }

    fn check_finished(&mut self, direction: Direction, verify_data: &[u8]) {
        let Some(suite) = self.suite else { return };
        let secret = self.side(direction).secret.clone();
        if suite.verify_data(&secret, &self.conversation) == verify_data {
            self.explanation.verified += 1;
        } else {
            self.stop(direction, "this Finished doesn't fit the conversation");
        }
    }

    fn message(
        &mut self,
        name: &'static str,
        direction: Direction,
        mut walk: Walk<'_>,
        walked: Result<(), Stop>,
        records: Range<usize>,
        encrypted: bool,
    ) {
        if let Err(stop) = walked {
            self.explanation
                .stopped
                .push(format!("{name}, {direction}: expected {}", stop.expected));
            walk.rest(&stop);
        } else if walk.left() > 0 {
            walk.rest(&Stop { expected: "the end of the message".to_owned() });
            self.explanation.stopped.push(format!("{name}, {direction}: expected its end"));
        }
        let (bytes, fields) = walk.into_parts();
        let bytes = bytes.to_vec();
        self.explanation.messages.push(Message {
            name,
            direction,
            bytes,
            fields,
            records,
            encrypted,
        });
    }

    fn end(mut self) -> Explanation {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let side = self.side(direction);
            let (begun, record) = (std::mem::take(&mut side.begun), side.begun_in);
            if !begun.is_empty() {
                let mut walk = Walk::new(&begun);
                let cut = Err(Stop {
                    expected: "more of this message, and the recording ends".to_owned(),
                });
                walk.fields.clear();
                self.message(
                    messages::name_of(&begun),
                    direction,
                    walk,
                    cut,
                    record..record + 1,
                    false,
                );
            }
        }
        self.explanation
    }
}

fn suite_of(server_hello: &[u8]) -> Option<Suite> {
    let session_id = usize::from(*server_hello.get(38)?);
    let suite = server_hello.get(39 + session_id..41 + session_id)?;
    Suite::of(fields::number(suite) as u16)
}

fn record_header(walk: &mut Walk<'_>) -> Result<(), Stop> {
    let kind = |bytes: &[u8]| match bytes {
        [CHANGE_CIPHER_SPEC] => "ChangeCipherSpec",
        [ALERT] => "alert",
        [HANDSHAKE] => "handshake",
        _ => "application data: what it really is, is encrypted",
    };
    let why =
        "Says what the record holds. Once records are encrypted, it always says application data.";
    walk.field(1, ("type", why, "5.1"), |bytes| kind(bytes).to_owned())?;
    let why = "Means nothing any more. It says 1.0 in the first hello and 1.2 later, for old machines on the way.";
    walk.named(2, ("legacy_record_version", why, "5.1"), messages::version)?;
    let why = "Says where the record ends. Everybody on the way can read it.";
    walk.field(2, ("length", why, "5.1"), |bytes| html::bytes(fields::number(bytes)))?;
    Ok(())
}

/// The type inside, the padding and the tag.
fn behind_the_content(text: &[u8], kind: Option<usize>, tag: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    let padding = match kind {
        Some(at) => {
            let value = match text[at] {
                ALERT => "alert",
                HANDSHAKE => "handshake",
                APPLICATION_DATA => "application data",
                _ => "a type that isn't expected here",
            };
            let why = "What the record really holds. It comes after the content, so that padding can follow.";
            fields.push(Field {
                length: 1,
                name: "type inside".to_owned(),
                value: value.to_owned(),
                why,
                source: "5.2",
            });
            text.len() - at - 1
        }
        None => text.len(),
    };
    if padding > 0 {
        let why = "Zeros, as many as the sender likes, to hide how long the content is.";
        let value = format!("{padding} zeros");
        fields.push(Field {
            length: padding,
            name: "padding".to_owned(),
            value,
            why,
            source: "5.4",
        });
    }
    let why = "Fits only if nobody changed the record or its header.";
    fields.push(Field { length: TAG, name: "tag".to_owned(), value: hex(tag), why, source: "5.2" });
    fields
}
