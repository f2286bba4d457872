//! The handshake as a tap saw it, record by record, in TLS 1.3 and in TLS 1.2.

use anyhow::ensure;
use shared::Transcript;
use tls_sockets::lab::handshake::GREETING;
use tls_sockets::lab::ladder::Rung;
use tls_sockets::lab::record::record;
use tls_sockets::lab::{ONLY_1_2, ONLY_1_3};

pub async fn run(t: &mut Transcript) -> anyhow::Result<()> {
    t.step("TLS 1.3. The server says hello world, the client repeats it, and both close.");
    let (wire, ladder) = record(ONLY_1_3).await?;
    show(t, &ladder);
    t.wire_hides(&wire, "what they said", GREETING)?;
    t.wire_hides(&wire, "the server's certificate", "Course Lab Intermediate")?;

    t.step("The same conversation in TLS 1.2.");
    let (wire, ladder) = record(ONLY_1_2).await?;
    show(t, &ladder);
    t.wire_hides(&wire, "what they said", GREETING)?;
    t.wire_shows(&wire, "the server's certificate", "Course Lab Intermediate")?;

    t.step("What 11 bytes of text cost on the wire.");
    let record_1_3 = 5 + GREETING.len() + 1 + 16;
    let record_1_2 = 5 + 8 + GREETING.len() + 16;
    t.shows("TLS 1.3", format!("{record_1_3} bytes: header 5, text 11, content type 1, tag 16"));
    t.shows("TLS 1.2", format!("{record_1_2} bytes: header 5, nonce 8, text 11, tag 16"));
    ensure!(ladder.iter().any(|rung| rung.record.length == record_1_2), "as recorded");
    Ok(())
}

fn show(t: &mut Transcript, ladder: &[Rung]) {
    let mut last = None;
    for rung in ladder {
        let direction = match rung.direction {
            shared::Direction::ToServer => "client sends",
            shared::Direction::ToClient => "server sends",
        };
        t.shows(if last == Some(direction) { "" } else { direction }, rung.lines().join("\n  "));
        last = Some(direction);
    }
    let sum = |direction| -> usize {
        ladder.iter().filter(|r| r.direction == direction).map(|r| r.record.length).sum()
    };
    let (up, down) = (sum(shared::Direction::ToServer), sum(shared::Direction::ToClient));
    t.shows("in all", format!("{up} bytes from the client, {down} from the server"));
}
