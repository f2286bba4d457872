//! Lessons 0 to 2: who stands where on the wire, keys, certificates, deadlines and connections.

use std::path::Path;

use super::Figure;
use super::sheet::{At, Ladder, Look, Sheet};

pub const FIGURES: &[Figure] = &[
    Figure {
        name: "listen",
        caption: "Listen: the tap passes every byte on, and keeps a copy.",
        alternative: "Alice sends LOGIN and PAY to a tap, which passes both on to the bank unchanged and keeps a copy.",
        draw: listen,
    },
    Figure {
        name: "tamper",
        caption: "Tamper: the order is changed on its way to the bank, and the receipt on its way back.",
        alternative: "Alice sends PAY 25 bob. Mallory's relay sends PAY 25 mallory to the bank. The bank answers paid \
                      25 to mallory, and the relay tells Alice paid 25 to bob.",
        draw: tamper,
    },
    Figure {
        name: "replay",
        caption: "Replay: Bob sends what his tap recorded, once more and once more.",
        alternative: "Alice's order passes Bob's tap, and the bank pays. Later Bob sends the same bytes to the bank \
                      twice, and each time the bank pays again.",
        draw: replay,
    },
    Figure {
        name: "impersonate",
        caption: "Impersonate: Alice talks to Mallory, and the bank never hears of it.",
        alternative: "Alice sends LOGIN and PAY to Mallory's false bank, which answers OK to both. The real bank gets \
                      no message at all.",
        draw: impersonate,
    },
    Figure {
        name: "key-exchange",
        caption: "A key exchange. The public halves cross the wire; the secrets never do.",
        alternative: "Alice and the bank each make a secret and compute a public half from it. They exchange the \
                      public halves. Each combines its own secret with the other's public half, and both get the same \
                      key. A tap sees both public halves and can't compute the key.",
        draw: key_exchange,
    },
    Figure {
        name: "signature",
        caption: "A signature is made with the private key and checked with the public one.",
        alternative: "The bank puts a text and its private key into sign, and gets a signature. Everybody puts the \
                      text, the signature and the bank's public key into verify, and gets yes or no.",
        draw: signature,
    },
    Figure {
        name: "timeouts",
        caption: "Three deadlines. Each catches a server that the other two would wait for.",
        alternative: "A bar of 30 seconds. The connect timeout covers the first 5 seconds. Each read may take 10 \
                      seconds and starts again with every byte. The total timeout covers everything, up to 30 seconds.",
        draw: timeouts,
    },
    Figure {
        name: "chain",
        caption: "The server sends the leaf and the intermediate. The client has the root already.",
        alternative: "The root signs the intermediate, and the intermediate signs the leaf. The client's trust store \
                      holds the root. The server sends the leaf and the intermediate.",
        draw: chain,
    },
    Figure {
        name: "accept",
        caption: "Each connection takes a permit first, and shakes hands in a task of its own.",
        alternative: "Three connections over time. The first takes a permit, shakes hands and is served. The second \
                      takes a permit, says nothing, and is cut at the deadline of the handshake. The third comes \
                      meanwhile and is served at once. A fourth waits in the system's queue until a permit is free.",
        draw: accept,
    },
    Figure {
        name: "early-data",
        caption: "Early data: what Alice sends with her first message can be sent again by anybody who recorded it.",
        alternative: "Alice sends a hello with the order PAY 25 in it. Mallory records it. The server pays. Mallory \
                      sends the same bytes again, and the server pays again.",
        draw: early_data,
    },
];

fn listen(_: &Path) -> anyhow::Result<Sheet> {
    Ok(Ladder::new(&["Alice", "tap*", "bank"])
        .says(0, 1, "LOGIN alice …")
        .says(1, 2, "LOGIN alice …")
        .says(0, 1, "PAY 25 bob")
        .says(1, 2, "PAY 25 bob")
        .does(1, "has the password", Look::Dashed)
        .sheet())
}

fn tamper(_: &Path) -> anyhow::Result<Sheet> {
    Ok(Ladder::new(&["Alice", "relay*", "bank"])
        .says(0, 1, "PAY 25 bob")
        .attacks(1, 2, "PAY 25 mallory")
        .does(2, "pays mallory", Look::Filled)
        .says(2, 1, "paid 25 to mallory")
        .attacks(1, 0, "paid 25 to bob")
        .sheet())
}

fn replay(_: &Path) -> anyhow::Result<Sheet> {
    Ok(Ladder::new(&["Alice", "Bob*", "bank"])
        .says(0, 1, "PAY 25 bob")
        .says(1, 2, "PAY 25 bob")
        .does(2, "pays bob", Look::Filled)
        .attacks(1, 2, "the same bytes")
        .does(2, "pays bob", Look::Filled)
        .attacks(1, 2, "the same bytes")
        .does(2, "pays bob", Look::Filled)
        .sheet())
}

fn impersonate(_: &Path) -> anyhow::Result<Sheet> {
    Ok(Ladder::new(&["Alice", "Mallory*", "bank"])
        .says(0, 1, "LOGIN alice …")
        .attacks(1, 0, "OK hello alice")
        .says(0, 1, "PAY 25 bob")
        .attacks(1, 0, "OK paid 25 to bob")
        .does(2, "hears nothing", Look::Plain)
        .sheet())
}

fn key_exchange(_: &Path) -> anyhow::Result<Sheet> {
    let mut sheet = Sheet::default();
    for (x, name, secret, half) in
        [(2, "Alice", "secret a", "half A"), (234, "the bank", "secret b", "half B")]
    {
        sheet.bold((x + 52, 16), At::Middle, name);
        sheet.boxed((x, 24), (104, 28), Look::Strong, &[secret]);
        sheet.arrow((x + 52, 54), (x + 52, 76), Look::Plain);
        sheet.boxed((x, 76), (104, 28), Look::Plain, &[half]);
    }
    sheet.words((170, 78), At::Middle, "the wire");
    sheet.arrow((108, 88), (232, 88), Look::Plain);
    sheet.arrow((232, 98), (108, 98), Look::Plain);
    for (x, recipe) in [(2, ["secret a", "with half B"]), (234, ["secret b", "with half A"])] {
        sheet.arrow((x + 52, 106), (x + 52, 128), Look::Plain);
        sheet.boxed((x, 128), (104, 42), Look::Plain, &recipe);
        sheet.arrow((x + 52, 172), (x + 52, 194), Look::Plain);
        sheet.boxed((x, 194), (104, 28), Look::Strong, &["the same key"]);
    }
    sheet.boxed(
        (118, 128),
        (104, 94),
        Look::Dashed,
        &["a tap has", "half A, half B,", "and no way", "to the key"],
    );
    sheet.line((170, 100), (170, 127), Look::Dashed);
    Ok(sheet)
}

fn signature(_: &Path) -> anyhow::Result<Sheet> {
    let mut sheet = Sheet::default();
    sheet.bold((2, 14), At::Start, "the bank, once");
    sheet.boxed((2, 22), (100, 28), Look::Plain, &["text"]);
    sheet.boxed((2, 58), (100, 28), Look::Strong, &["private key"]);
    sheet.boxed((136, 38), (62, 32), Look::Filled, &["sign"]);
    sheet.boxed((238, 40), (100, 28), Look::Plain, &["signature"]);
    sheet.arrow((103, 36), (135, 48), Look::Plain);
    sheet.arrow((103, 72), (135, 60), Look::Plain);
    sheet.arrow((199, 54), (237, 54), Look::Plain);
    sheet.bold((2, 118), At::Start, "everybody, any time");
    sheet.boxed((2, 126), (100, 28), Look::Plain, &["text"]);
    sheet.boxed((2, 162), (100, 28), Look::Plain, &["signature"]);
    sheet.boxed((2, 198), (100, 28), Look::Plain, &["public key"]);
    sheet.boxed((136, 160), (62, 32), Look::Filled, &["verify"]);
    sheet.boxed((238, 162), (100, 28), Look::Plain, &["yes or no"]);
    sheet.arrow((103, 140), (135, 168), Look::Plain);
    sheet.arrow((103, 176), (135, 176), Look::Plain);
    sheet.arrow((103, 212), (135, 184), Look::Plain);
    sheet.arrow((199, 176), (237, 176), Look::Plain);
    Ok(sheet)
}

fn timeouts(_: &Path) -> anyhow::Result<Sheet> {
    let mut sheet = Sheet::default();
    // Ten units for a second.
    let x = |second: u32| 20 + 10 * second;
    sheet.words((x(0), 14), At::Start, "connect: 5 s in all");
    sheet.boxed((x(0), 20), (50, 18), Look::Strong, &[]);
    sheet.words((x(0), 60), At::Start, "read: 10 s, again after every byte");
    for (from, to) in [(0, 8), (8, 14), (14, 24)] {
        sheet.boxed((x(from), 66), (10 * (to - from), 18), Look::Plain, &[]);
    }
    for (second, words) in [(8, "byte"), (14, "byte")] {
        sheet.arrow((x(second), 106), (x(second), 86), Look::Plain);
        sheet.small((x(second), 118), At::Middle, words);
    }
    sheet.cross((x(24), 75));
    sheet.small((x(24), 98), At::Middle, "silence");
    sheet.words((x(0), 142), At::Start, "total: 30 s, whatever comes");
    sheet.boxed((x(0), 148), (300, 18), Look::Strong, &[]);
    sheet.line((x(0), 182), (x(30), 182), Look::Plain);
    for second in [0, 10, 20, 30] {
        sheet.line((x(second), 178), (x(second), 186), Look::Plain);
        sheet.small((x(second), 200), At::Middle, &format!("{second} s"));
    }
    Ok(sheet)
}

fn chain(_: &Path) -> anyhow::Result<Sheet> {
    let mut sheet = Sheet::default();
    sheet.boxed((2, 2), (150, 62), Look::Dashed, &[]);
    sheet.small((77, 58), At::Middle, "the client's trust store");
    sheet.boxed((22, 10), (110, 32), Look::Strong, &["root"]);
    sheet.arrow((77, 66), (77, 98), Look::Plain);
    sheet.words((88, 86), At::Start, "signs");
    sheet.boxed((22, 98), (110, 32), Look::Filled, &["intermediate"]);
    sheet.arrow((77, 132), (77, 164), Look::Plain);
    sheet.words((88, 152), At::Start, "signs");
    sheet.boxed((22, 164), (110, 32), Look::Filled, &["leaf"]);
    sheet.line((160, 96), (160, 198), Look::Plain);
    for (y, words) in [
        (118, "the server sends both,"),
        (136, "and signs the handshake"),
        (154, "with the leaf's key;"),
        (190, "bank.test, serverAuth"),
    ] {
        sheet.words((172, y), At::Start, words);
    }
    sheet.words((172, 22), At::Start, "a name and a key that");
    sheet.words((172, 40), At::Start, "the client trusts");
    Ok(sheet)
}

fn accept(_: &Path) -> anyhow::Result<Sheet> {
    let mut sheet = Sheet::default();
    sheet.small((2, 12), At::Start, "time →");
    let rows: [(u32, &str); 4] = [(20, "first"), (66, "silent"), (112, "third"), (158, "fourth")];
    for (y, name) in rows {
        sheet.words((2, y + 20), At::Start, name);
        sheet.line((66, y + 38), (338, y + 38), Look::Plain);
    }
    sheet.boxed((70, 22), (22, 28), Look::Strong, &["P"]);
    sheet.boxed((92, 22), (78, 28), Look::Filled, &["handshake"]);
    sheet.boxed((170, 22), (150, 28), Look::Plain, &["handler"]);
    sheet.boxed((100, 68), (22, 28), Look::Strong, &["P"]);
    sheet.boxed((122, 68), (120, 28), Look::Filled, &["handshake …"]);
    sheet.cross((250, 82));
    sheet.small((260, 86), At::Start, "deadline");
    sheet.boxed((136, 114), (22, 28), Look::Strong, &["P"]);
    sheet.boxed((158, 114), (78, 28), Look::Filled, &["handshake"]);
    sheet.boxed((236, 114), (98, 28), Look::Plain, &["handler"]);
    sheet.line((152, 174), (308, 174), Look::Dashed);
    sheet.small((230, 168), At::Middle, "in the system's queue");
    sheet.boxed((308, 160), (22, 28), Look::Strong, &["P"]);
    sheet.small((2, 212), At::Start, "P  a permit, held until the connection ends");
    Ok(sheet)
}

fn early_data(_: &Path) -> anyhow::Result<Sheet> {
    Ok(Ladder::new(&["Alice", "Mallory*", "server"])
        .says(0, 1, "hello + PAY 25")
        .says(1, 2, "hello + PAY 25")
        .does(2, "pays", Look::Filled)
        .says(2, 0, "the rest of the handshake")
        .attacks(1, 2, "the same bytes")
        .does(2, "pays again", Look::Filled)
        .sheet())
}
