//! What an eavesdropper can read in recorded TLS: records, handshake messages, and the
//! fields that travel in the clear. Parsed with the tls-parser crate; a malformed or
//! half-sent record is reported as such, and never a reason to panic.

use std::fmt;

use tls_parser::{
    TlsAlertDescription, TlsCipherSuite, TlsExtension, TlsMessage, TlsMessageHandshake,
    parse_tls_extensions, parse_tls_message_handshake,
};

const HEADER: usize = 5;
/// A ciphertext may be 2^14 + 2048 bytes long in TLS 1.2 (RFC 5246 section 6.2.3), less
/// in 1.3.
const MAX_FRAGMENT: usize = (1 << 14) + 2048;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// The version number of TLS 1.3 on the wire.
pub const TLS_1_3: u16 = 0x0304;
/// The version number of TLS 1.2 on the wire.
pub const TLS_1_2: u16 = 0x0303;

/// The random of a ServerHello that asks for another key share (RFC 8446 section 4.1.3).
const HELLO_RETRY_REQUEST: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Both directions of one TLS connection, as an eavesdropper reads them.
#[derive(Clone, Debug, Default)]
pub struct TlsView {
    /// Records that the client sent.
    pub to_server: Vec<TlsRecord>,
    /// Records that the server sent.
    pub to_client: Vec<TlsRecord>,
}

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsRecord {
    /// Its length on the wire in bytes, header included.
    pub length: usize,
    /// What can be read in it.
    pub content: Content,
}

/// What can be read in a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Handshake messages that start in this record. None: it goes on with the one
    /// before.
    Handshake(Vec<Message>),
    /// The sender encrypts from here on (TLS 1.2), or a leftover for middleboxes (TLS
    /// 1.3).
    ChangeCipherSpec,
    /// An alert in the clear, by its name.
    Alert(String),
    /// Encrypted. The content type in the header says `application data` (always so in
    /// TLS 1.3), or, in TLS 1.2, what is inside.
    Encrypted(&'static str),
    /// The stream ends in the middle of the record: this many bytes of it came.
    Incomplete(usize),
    /// Not TLS, or broken: what was expected and what came.
    Malformed(String),
}

/// A handshake message in the clear.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its name in the standard.
    pub name: &'static str,
    /// Its length in bytes, with its header of 4.
    pub length: usize,
    /// The fields worth reading.
    pub fields: Fields,
}

/// The fields of a handshake message that the lessons speak of.
#[derive(Clone, Debug, PartialEq)]
pub enum Fields {
    /// Of a ClientHello.
    ClientHello(ClientHello),
    /// Of a ServerHello.
    ServerHello(ServerHello),
    /// Any other message.
    Other,
}

/// What a client tells everybody.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientHello {
    /// Server name indication (RFC 6066 section 3): the host that the client wants.
    pub server_name: Option<String>,
    /// Application protocols on offer (RFC 7301).
    pub alpn: Vec<String>,
    /// Versions on offer, as on the wire; the old field's, if there is no list of them.
    pub versions: Vec<u16>,
    /// Key shares: the group's number and the length of the key in bytes.
    pub key_shares: Vec<(u16, usize)>,
}

/// What the server answers in the clear.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerHello {
    /// The version chosen, as on the wire.
    pub version: u16,
    /// The cipher suite's name in the IANA registry.
    pub cipher_suite: String,
    /// The key share: the group's number and the length of the key in bytes. None in TLS
    /// 1.2.
    pub key_share: Option<(u16, usize)>,
    /// The 32 random bytes, whose end may hold the downgrade sentinel (RFC 8446 section
    /// 4.1.3).
    pub random: Vec<u8>,
}

impl TlsView {
    /// The first ClientHello.
    pub fn client_hello(&self) -> Option<&ClientHello> {
        messages(&self.to_server).find_map(|message| match &message.fields {
            Fields::ClientHello(hello) => Some(hello),
            _ => None,
        })
    }

    /// The ServerHello; a HelloRetryRequest before it is none.
    pub fn server_hello(&self) -> Option<&ServerHello> {
        server_hello(&self.to_client)
    }
}

fn server_hello(records: &[TlsRecord]) -> Option<&ServerHello> {
    server_hellos(records).filter(|(name, _)| *name == "ServerHello").last().map(|(_, hello)| hello)
}

/// A HelloRetryRequest is a ServerHello of another name (RFC 8446 section 4.1.4).
fn server_hellos(records: &[TlsRecord]) -> impl Iterator<Item = (&str, &ServerHello)> {
    messages(records).filter_map(|message| match &message.fields {
        Fields::ServerHello(hello) => Some((message.name, hello)),
        _ => None,
    })
}

fn messages(records: &[TlsRecord]) -> impl Iterator<Item = &Message> {
    records.iter().flat_map(|record| match &record.content {
        Content::Handshake(messages) => messages.as_slice(),
        _ => &[],
    })
}

/// The length of the record that `bytes` start with, header included, as its header says.
/// None while the header is incomplete, or when it is no TLS record's.
pub fn record_length(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..HEADER)?;
    let fragment = usize::from(u16::from_be_bytes([header[3], header[4]]));
    let is_tls = (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&header[0]) && header[1] == 3;
    (is_tls && fragment <= MAX_FRAGMENT).then_some(HEADER + fragment)
}

/// Lists the records of both directions.
pub fn view(to_server: &[u8], to_client: &[u8]) -> TlsView {
    // A handshake record after ChangeCipherSpec is encrypted in TLS 1.2 and readable in
    // 1.3 (a second hello after a HelloRetryRequest), so the version has to be known
    // first. The retry request has it, too; there may be no more than that.
    let first = records(to_client, true);
    let chosen = server_hellos(&first).last().map(|(_, hello)| hello.version);
    let is_1_3 = chosen == Some(TLS_1_3);
    TlsView { to_server: records(to_server, is_1_3), to_client: records(to_client, is_1_3) }
}

fn records(mut bytes: &[u8], is_1_3: bool) -> Vec<TlsRecord> {
    let mut records = Vec::new();
    let mut handshake = Vec::new();
    let mut encrypting = false;
    while !bytes.is_empty() {
        let Some(length) = record_length(bytes) else {
            let content = match bytes.len() < HEADER {
                true => Content::Incomplete(bytes.len()),
                false => Content::Malformed(format!(
                    "expected a TLS record header, got \"{}\"",
                    bytes[..HEADER].escape_ascii()
                )),
            };
            records.push(TlsRecord { length: bytes.len(), content });
            break;
        };
        let Some(record) = bytes.get(..length) else {
            records.push(TlsRecord { length, content: Content::Incomplete(bytes.len()) });
            break;
        };
        let fragment = &record[HEADER..];
        let content = match record[0] {
            CHANGE_CIPHER_SPEC => {
                encrypting = !is_1_3;
                Content::ChangeCipherSpec
            }
            APPLICATION_DATA => Content::Encrypted("application data"),
            ALERT if encrypting => Content::Encrypted("alert"),
            ALERT => alert(fragment),
            HANDSHAKE if encrypting => Content::Encrypted("handshake"),
            // RFC 8446 section 5.1 forbids empty handshake records.
            _ if fragment.is_empty() => {
                Content::Malformed("expected a handshake message, got nothing".to_owned())
            }
            _ => {
                handshake.extend_from_slice(fragment);
                whole_messages(&mut handshake)
            }
        };
        records.push(TlsRecord { length, content });
        bytes = &bytes[length..];
    }
    records
}

fn alert(fragment: &[u8]) -> Content {
    match fragment {
        [_level, description] => Content::Alert(TlsAlertDescription(*description).to_string()),
        _ => Content::Malformed(format!("expected an alert of 2 bytes, got {}", fragment.len())),
    }
}

/// Takes the whole messages from the front of `pending`: one may span several records,
/// and one record may hold several (RFC 8446 section 5.1).
fn whole_messages(pending: &mut Vec<u8>) -> Content {
    let mut messages = Vec::new();
    while let [kind, high, middle, low, ..] = **pending {
        let length = 4 + u32::from_be_bytes([0, high, middle, low]) as usize;
        let Some(bytes) = pending.get(..length) else { break };
        let Some(message) = message(bytes) else {
            // What follows may be fine, and is read as if this one had not been there.
            pending.clear();
            return Content::Malformed(format!(
                "expected a handshake message, but one of type {kind} and {length} bytes \
                 cannot be parsed"
            ));
        };
        messages.push(message);
        pending.drain(..length);
    }
    Content::Handshake(messages)
}

fn message(bytes: &[u8]) -> Option<Message> {
    let (_rest, TlsMessage::Handshake(parsed)) = parse_tls_message_handshake(bytes).ok()? else {
        return None;
    };
    let (name, fields) = match parsed {
        TlsMessageHandshake::ClientHello(hello) => {
            ("ClientHello", client_hello(hello.version.0, hello.ext.unwrap_or_default())?)
        }
        TlsMessageHandshake::ServerHello(hello) => {
            let (version, key_share) = server_extensions(hello.ext.unwrap_or_default())?;
            let cipher_suite = match TlsCipherSuite::from_id(hello.cipher.0) {
                Some(suite) => suite.name.to_owned(),
                None => format!("0x{:04x}", hello.cipher.0),
            };
            let version = version.unwrap_or(hello.version.0);
            let random = hello.random.to_vec();
            let is_retry = random == HELLO_RETRY_REQUEST;
            let name = if is_retry { "HelloRetryRequest" } else { "ServerHello" };
            (name, Fields::ServerHello(ServerHello { version, cipher_suite, key_share, random }))
        }
        TlsMessageHandshake::Certificate(_) => ("Certificate", Fields::Other),
        TlsMessageHandshake::CertificateRequest(_) => ("CertificateRequest", Fields::Other),
        TlsMessageHandshake::CertificateStatus(_) => ("CertificateStatus", Fields::Other),
        TlsMessageHandshake::CertificateVerify(_) => ("CertificateVerify", Fields::Other),
        TlsMessageHandshake::ClientKeyExchange(_) => ("ClientKeyExchange", Fields::Other),
        TlsMessageHandshake::Finished(_) => ("Finished", Fields::Other),
        TlsMessageHandshake::NewSessionTicket(_) => ("NewSessionTicket", Fields::Other),
        TlsMessageHandshake::ServerDone(_) => ("ServerHelloDone", Fields::Other),
        TlsMessageHandshake::ServerKeyExchange(_) => ("ServerKeyExchange", Fields::Other),
        _ => ("another handshake message", Fields::Other),
    };
    Some(Message { name, length: bytes.len(), fields })
}

fn client_hello(legacy_version: u16, extensions: &[u8]) -> Option<Fields> {
    let mut hello = ClientHello { versions: vec![legacy_version], ..ClientHello::default() };
    let extensions = all_extensions(extensions)?;
    for extension in extensions {
        match extension {
            TlsExtension::SNI(names) => {
                hello.server_name = names.first().map(|(_, name)| text(name))
            }
            TlsExtension::ALPN(protocols) => {
                hello.alpn = protocols.iter().map(|protocol| text(protocol)).collect()
            }
            TlsExtension::SupportedVersions(versions) => {
                hello.versions = versions.iter().map(|v| v.0).collect()
            }
            TlsExtension::KeyShare(shares) => {
                hello.key_shares = key_shares(shares.get(2..).unwrap_or_default())
            }
            _ => {}
        }
    }
    Some(Fields::ClientHello(hello))
}

/// All of them, or none if one is malformed.
fn all_extensions(bytes: &[u8]) -> Option<Vec<TlsExtension<'_>>> {
    let (rest, extensions) = parse_tls_extensions(bytes).ok()?;
    rest.is_empty().then_some(extensions)
}

type ServerExtensions = (Option<u16>, Option<(u16, usize)>);

fn server_extensions(extensions: &[u8]) -> Option<ServerExtensions> {
    let extensions = all_extensions(extensions)?;
    let mut version = None;
    let mut key_share = None;
    for extension in extensions {
        match extension {
            TlsExtension::SupportedVersions(versions) => version = versions.first().map(|v| v.0),
            TlsExtension::KeyShare(share) => key_share = key_shares(share).first().copied(),
            _ => {}
        }
    }
    Some((version, key_share))
}

/// KeyShareEntry: group, length, key (RFC 8446 section 4.2.8). tls-parser leaves them
/// raw.
fn key_shares(mut bytes: &[u8]) -> Vec<(u16, usize)> {
    let mut shares = Vec::new();
    while let [group_high, group_low, length_high, length_low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        let Some(after) = rest.get(length..) else { break };
        shares.push((u16::from_be_bytes([*group_high, *group_low]), length));
        bytes = after;
    }
    shares
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// The name of a version number; unknown ones by number.
pub fn version_name(version: u16) -> String {
    match version {
        TLS_1_3 => "TLS 1.3".to_owned(),
        TLS_1_2 => "TLS 1.2".to_owned(),
        other => format!("0x{other:04x}"),
    }
}

/// The name of a key-exchange group in the IANA registry; unknown ones by number.
pub fn group_name(group: u16) -> String {
    match group {
        0x11ec => "X25519MLKEM768".to_owned(),
        0x001d => "X25519".to_owned(),
        0x0017 => "secp256r1".to_owned(),
        0x0018 => "secp384r1".to_owned(),
        other => format!("0x{other:04x}"),
    }
}

impl fmt::Display for TlsRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, ", self.length)?;
        match &self.content {
            Content::Handshake(messages) if messages.is_empty() => {
                f.write_str("handshake, continued")
            }
            Content::Handshake(messages) => {
                let names: Vec<&str> = messages.iter().map(|message| message.name).collect();
                write!(f, "readable: {}", names.join(", "))
            }
            Content::ChangeCipherSpec => f.write_str("readable: ChangeCipherSpec"),
            Content::Alert(name) => write!(f, "readable: alert {name}"),
            Content::Encrypted(kind) => write!(f, "encrypted {kind}"),
            Content::Incomplete(came) => write!(f, "incomplete: {came} bytes came"),
            Content::Malformed(why) => write!(f, "malformed: {why}"),
        }
    }
}
