//! A walk over bytes that gives each of them to one field. No parser reports offsets, so this one is written by hand;
//! tests compare what it reads with tls-parser and x509-parser.

use std::fmt::Display;

/// A field: so many bytes, what they say, and why they are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// How many bytes it has; the fields of a message follow each other without a gap.
    pub length: usize,
    /// Its name in the standard.
    pub name: String,
    /// What it says, in plain words.
    pub value: String,
    /// Why it is there, in a sentence; empty if its name says so.
    pub why: &'static str,
    /// The section of the standard.
    pub source: &'static str,
}

/// Where a walk stopped, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// What was expected there.
    pub expected: String,
}

/// A walk under way.
pub struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
    /// The fields until now.
    pub fields: Vec<Field>,
}

/// A field's name, why it is there, and the section.
pub type Note = (&'static str, &'static str, &'static str);

impl<'a> Walk<'a> {
    /// From the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, end: bytes.len(), fields: Vec::new() }
    }

    /// How many bytes are left, in the part that is being walked over.
    pub fn left(&self) -> usize {
        self.end - self.at
    }

    /// The bytes that are walked over, and the fields.
    pub fn into_parts(self) -> (&'a [u8], Vec<Field>) {
        (self.bytes, self.fields)
    }

    /// The next bytes, as a field; what they say is told by `value`.
    pub fn field(
        &mut self,
        length: usize,
        (name, why, source): Note,
        value: impl FnOnce(&'a [u8]) -> String,
    ) -> Result<&'a [u8], Stop> {
        if length > self.left() {
            let expected = format!("{name} of {length} bytes, and there are {}", self.left());
            return Err(Stop { expected });
        }
        let bytes = &self.bytes[self.at..self.at + length];
        // A part without bytes is no field.
        if length > 0 {
            let value = value(bytes);
            self.fields.push(Field { length, name: name.to_owned(), value, why, source });
            self.at += length;
        }
        Ok(bytes)
    }

    /// A number of so many bytes, big-endian, as a field.
    pub fn number(&mut self, width: usize, note: Note) -> Result<usize, Stop> {
        let bytes = self.field(width, note, |bytes| number(bytes).to_string())?;
        Ok(number(bytes))
    }

    /// A number that has a name.
    pub fn named<N: Display>(
        &mut self,
        width: usize,
        note: Note,
        name: impl FnOnce(u16) -> N,
    ) -> Result<u16, Stop> {
        let told = |bytes: &[u8]| name(number(bytes) as u16).to_string();
        Ok(number(self.field(width, note, told)?) as u16)
    }

    /// Walks over the next bytes alone. What is left of them then is a field of its own.
    pub fn within(
        &mut self,
        length: usize,
        what: &'static str,
        walk: impl FnOnce(&mut Self) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        if length > self.left() {
            let expected = format!("{what} of {length} bytes, and there are {}", self.left());
            return Err(Stop { expected });
        }
        let outer = std::mem::replace(&mut self.end, self.at + length);
        let walked = walk(self);
        if walked.is_ok() && self.left() > 0 {
            let note = ("not explained", "This course doesn't explain these bytes.", "");
            self.field(self.left(), note, hex)?;
        }
        self.end = outer;
        walked
    }

    /// A list with its length before it, walked over until its end.
    pub fn list(
        &mut self,
        width: usize,
        note: Note,
        mut entry: impl FnMut(&mut Self) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let length = self.number(width, note)?;
        self.within(length, note.0, |walk| {
            while walk.left() > 0 {
                let before = walk.left();
                entry(walk)?;
                if walk.left() == before {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Bytes with their length before them.
    pub fn opaque(
        &mut self,
        width: usize,
        length: Note,
        note: Note,
        value: impl FnOnce(&'a [u8]) -> String,
    ) -> Result<&'a [u8], Stop> {
        let length = self.number(width, length)?;
        self.field(length, note, value)
    }

    /// What is left after the walk stopped, as one field.
    pub fn rest(&mut self, stop: &Stop) {
        self.end = self.bytes.len();
        let left = self.left();
        if left > 0 {
            self.fields.push(Field {
                length: left,
                name: "not understood".to_owned(),
                value: format!("expected {}", stop.expected),
                why: "The explanation stops here, and goes on after this message.",
                source: "",
            });
            self.at = self.end;
        }
    }
}

/// A number, big-endian.
pub fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// Bytes as people read them; long ones are cut, with their length.
pub fn hex(bytes: &[u8]) -> String {
    const SHOWN: usize = 8;
    let pairs =
        |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    match bytes.len() {
        0 => "none".to_owned(),
        1..=SHOWN => pairs(bytes),
        length => format!("{} … {length} bytes", pairs(&bytes[..3])),
    }
}

/// Text from a stranger, without anything that could steer a terminal.
pub fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
