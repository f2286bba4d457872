//! Lessons 4 and 5: a login in time, and the mailbox.

use std::path::Path;

use super::sheet::{At, Ladder, Look, Sheet};
use super::{Figure, measured};

const RESULT: &str = "lessons/05-client-server/benches/result.txt";

pub const FIGURES: &[Figure] = &[
    Figure {
        name: "refresh",
        caption: "A family of refresh tokens. The second use of R1 shows that two parties hold it, so the login ends for both.",
        alternative: "Alice uses the refresh token R1 and gets R2. Mallory, who copied R1, uses it, too. The login \
                      service has seen R1 before, so it ends the login. Alice's R2 is refused, and she logs in again.",
        draw: refresh,
    },
    Figure {
        name: "layers",
        caption: "What is wrapped in what, and who opens it.",
        alternative: "Four boxes, each inside the next. TLS records, which the wire sees and can't open. In them a frame \
                      with a request and a token, which the server reads. In it a sealed letter, which only Bob opens. \
                      In it the text.",
        draw: layers,
    },
    Figure {
        name: "outbox",
        caption: "A lost answer. The letter stays in the outbox until the server has said that it is stored.",
        alternative: "Alice's program puts a letter into its outbox and sends it with the id 7. The server stores it, \
                      and its answer is lost. The program sends the letter again with the same id. The server answers \
                      that it was there already, and the program removes it from the outbox.",
        draw: outbox,
    },
    Figure {
        name: "group-commit",
        caption: "Letters stored a second, from the figures above. The first bar is how often this disk syncs; many senders share one sync.",
        alternative: "Bars from the bench's result, of letters stored a second: one sender waits for a sync of its \
                      own, 8 senders together store several times as many, and 64 senders more than the disk has syncs.",
        draw: group_commit,
    },
];

fn refresh(_: &Path) -> anyhow::Result<Sheet> {
    Ok(Ladder::new(&["Alice", "login", "Mallory*"])
        .does(2, "copies R1", Look::Dashed)
        .says(0, 1, "R1")
        .says(1, 0, "R2")
        .attacks(2, 1, "R1")
        .does(1, "R1 was used: ends the login", Look::Strong)
        .says(1, 2, "refused")
        .says(0, 1, "R2")
        .says(1, 0, "refused")
        .does(0, "logs in again", Look::Filled)
        .sheet())
}

fn layers(_: &Path) -> anyhow::Result<Sheet> {
    let mut sheet = Sheet::default();
    for (depth, name, who) in [
        (0, "TLS records", "the wire sees sizes and times"),
        (1, "frame: request, token", "the server reads it"),
        (2, "sealed letter", "Bob alone opens it"),
    ] {
        let (x, y) = (2 + 12 * depth, 2 + 42 * depth);
        sheet.boxed(
            (x, y),
            (336 - 24 * depth, 202 - 54 * depth),
            if depth == 2 { Look::Strong } else { Look::Plain },
            &[],
        );
        sheet.bold((x + 8, y + 18), At::Start, name);
        sheet.small((x + 8, y + 34), At::Start, who);
    }
    sheet.boxed((38, 128), (264, 46), Look::Filled, &["the key is under", "the third flowerpot"]);
    Ok(sheet)
}

fn outbox(_: &Path) -> anyhow::Result<Sheet> {
    Ok(Ladder::new(&["Alice", "server"])
        .does(0, "outbox: 7", Look::Filled)
        .says(0, 1, "send, id 7")
        .does(1, "stores 7", Look::Filled)
        .lost(1, 0, "stored")
        .does(0, "outbox: 7", Look::Filled)
        .says(0, 1, "send, id 7")
        .says(1, 0, "was there already")
        .does(0, "outbox: empty", Look::Filled)
        .sheet())
}

fn group_commit(course: &Path) -> anyhow::Result<Sheet> {
    let rows = [("1 sender", "1 client"), ("8 senders", "8 clients"), ("64 senders", "64 clients")];
    let mut values = vec![("syncs", measured(course, RESULT, "fsync of a page")?)];
    for (name, label) in rows {
        values.push((name, measured(course, RESULT, label)?));
    }
    let most = values.iter().map(|(_, value)| *value).max().unwrap_or(1).max(1);
    let mut sheet = Sheet::default();
    for (y, (name, value)) in (0u32..).map(|row| 4 + 34 * row).zip(values) {
        sheet.words((72, y + 17), At::End, name);
        let width = u32::try_from(value * 200 / most).unwrap_or(200).max(2);
        let look = if name == "syncs" { Look::Plain } else { Look::Filled };
        sheet.boxed((80, y), (width, 24), look, &[]);
        sheet.words((86 + width, y + 17), At::Start, &value.to_string());
    }
    Ok(sheet)
}
