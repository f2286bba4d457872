//! A recorded connection as a pcapng file that Wireshark opens, with its secrets in it.
//!
//! The tap is a program in the middle and sees no packets. So the packets are made up around the recorded bytes: a
//! handshake of TCP, the bytes in segments, the end; with right numbers, lengths and checksums. The addresses are those
//! of documentation (RFC 5737), so that nobody takes them for real ones. The format is that of
//! draft-ietf-opsawg-pcapng: a section header, an interface, the secrets, and a packet a block.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Direction;
use crate::wiretap::Conversation;

const CLIENT: [u8; 4] = [192, 0, 2, 1];
const SERVER: [u8; 4] = [192, 0, 2, 2];
const CLIENT_PORT: u16 = 49_152;
/// A port that Wireshark takes for TLS.
pub const TLS: u16 = 443;
/// A port that Wireshark knows nothing about.
pub const PLAIN: u16 = 7000;
/// The most bytes of a segment: 1,500 less the headers.
const SEGMENT: usize = 1460;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const SECRETS: u32 = 10;
/// "TLSK": a key log in the NSS format.
const TLS_KEY_LOG: u32 = 0x544c_534b;
/// Packets begin with their IP header.
const RAW_IP: u32 = 101;

const FIN: u8 = 1;
const SYN: u8 = 2;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// The file, and how many packets are in it. `port` is the server's; `key_log` has the secrets of TLS, in the NSS format.
pub fn file(
    wire: &Conversation,
    port: u16,
    key_log: Option<&str>,
    began: SystemTime,
) -> (Vec<u8>, usize) {
    let mut file = Vec::new();
    // Byte order, version 1.0, and a section of unknown length.
    let section =
        [&0x1a2b_3c4du32.to_le_bytes()[..], &1u16.to_le_bytes(), &0u16.to_le_bytes(), &[0xff; 8]];
    block(&mut file, SECTION_HEADER, &section.concat());
    block(&mut file, INTERFACE, &[RAW_IP.to_le_bytes(), 0u32.to_le_bytes()].concat());
    if let Some(key_log) = key_log {
        let length = (key_log.len() as u32).to_le_bytes();
        let secrets = [&TLS_KEY_LOG.to_le_bytes()[..], &length, &padded(key_log.as_bytes())];
        block(&mut file, SECRETS, &secrets.concat());
    }

    let mut tcp = Tcp { port, sequence: [1_000, 2_000], packets: 0, began };
    tcp.send(&mut file, Direction::ToServer, SYN, &[]);
    tcp.send(&mut file, Direction::ToClient, SYN | ACK, &[]);
    tcp.send(&mut file, Direction::ToServer, ACK, &[]);
    let mut at = [0, 0];
    for chunk in &wire.order {
        let side = usize::from(chunk.direction == Direction::ToClient);
        let bytes = [&wire.to_server, &wire.to_client][side];
        let end = bytes.len().min(at[side] + chunk.length);
        for segment in bytes[at[side]..end].chunks(SEGMENT) {
            tcp.send(&mut file, chunk.direction, PSH | ACK, segment);
        }
        at[side] = end;
    }
    tcp.send(&mut file, Direction::ToServer, FIN | ACK, &[]);
    tcp.send(&mut file, Direction::ToClient, FIN | ACK, &[]);
    tcp.send(&mut file, Direction::ToServer, ACK, &[]);
    (file, tcp.packets)
}

struct Tcp {
    /// The server's.
    port: u16,
    /// The next byte of the client and of the server.
    sequence: [u32; 2],
    packets: usize,
    began: SystemTime,
}

impl Tcp {
    fn send(&mut self, file: &mut Vec<u8>, direction: Direction, flags: u8, payload: &[u8]) {
        let side = usize::from(direction == Direction::ToClient);
        let acknowledged = if flags & ACK == 0 { 0 } else { self.sequence[1 - side] };
        let packet =
            packet((direction, self.port), self.sequence[side], acknowledged, flags, payload);
        // SYN and FIN count as a byte each (RFC 9293 section 3.4).
        let control = u32::from(flags & (SYN | FIN) != 0);
        self.sequence[side] = self.sequence[side].wrapping_add(payload.len() as u32 + control);
        // The tap keeps the order and no times, so the packets are a tenth of a millisecond apart.
        let time = self.began + Duration::from_micros(100 * self.packets as u64);
        let micros = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
        let length = (packet.len() as u32).to_le_bytes();
        let body = [
            &0u32.to_le_bytes()[..],
            &((micros >> 32) as u32).to_le_bytes(),
            &(micros as u32).to_le_bytes(),
            &length,
            &length,
            &padded(&packet),
        ];
        block(file, PACKET, &body.concat());
        self.packets += 1;
    }
}

/// An IP packet with a TCP segment in it.
fn packet(
    (direction, port): (Direction, u16),
    sequence: u32,
    acknowledged: u32,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let ((from, from_port), (to, to_port)) = match direction {
        Direction::ToServer => ((CLIENT, CLIENT_PORT), (SERVER, port)),
        Direction::ToClient => ((SERVER, port), (CLIENT, CLIENT_PORT)),
    };
    let length = (20 + payload.len()) as u16;
    // Five words of header, the flags, a window of 65,535 bytes.
    let mut tcp = [
        &from_port.to_be_bytes()[..],
        &to_port.to_be_bytes(),
        &sequence.to_be_bytes(),
        &acknowledged.to_be_bytes(),
        &[5 << 4, flags, 0xff, 0xff],
        &[0; 4],
        payload,
    ]
    .concat();
    // The checksum also covers the addresses (RFC 9293 section 3.1).
    let pseudo = [&from[..], &to, &[0, 6], &length.to_be_bytes(), &tcp].concat();
    tcp[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    // Version 4, no options; not to be fragmented; 64 hops; TCP.
    let mut ip =
        [&[0x45, 0][..], &(20 + length).to_be_bytes(), &[0, 0, 0x40, 0, 64, 6, 0, 0], &from, &to]
            .concat();
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    [ip, tcp].concat()
}

/// The checksum of the Internet (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)));
    let mut sum: u32 = words.sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(4), 0);
    padded
}

/// A block: its type, its length, its body, and its length again.
fn block(file: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = (12 + body.len() as u32).to_le_bytes();
    file.extend([&kind.to_le_bytes()[..], &length, body, &length].concat());
}
