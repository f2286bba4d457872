//! Lesson 6: certificates of services.

use std::path::Path;

use super::Figure;
use super::sheet::{At, Look, Sheet};

pub const FIGURES: &[Figure] = &[
    Figure {
        name: "two-chains",
        caption: "Mutual TLS. Each end shows a chain, and verifies the other's against the roots that it trusts.",
        alternative: "Two chains below one root, which both ends trust. On the left the client's, an intermediate and \
                      the leaf of the checkout, for clients. On the right the server's, an intermediate and the leaf \
                      of the ledger, for servers. Each end sends its chain to the other, and signs the handshake with \
                      its leaf's key.",
        draw: two_chains,
    },
    Figure {
        name: "certificate-life",
        caption: "The life of a certificate of 24 hours. The renewer begins between the two marks, and has hours left \
                  if the issuer is down.",
        alternative: "A time bar of 24 hours. The first two thirds, until 16 hours, are marked as in use. From 16 to \
                      18.4 hours the renewer begins, at a random time. The rest, more than 5 hours, is left for more \
                      tries. Below it, the bar of the next certificate begins where the renewer has got it.",
        draw: certificate_life,
    },
    Figure {
        name: "replace-order",
        caption: "How to replace a CA. Nobody begins a step until everybody has finished the previous one.",
        alternative: "Two rows over three steps. What services trust: the old CA, then in step 1 both, and in step 3 \
                      the new CA alone. What they show: a certificate of the old CA, and from step 2 on one of the new \
                      CA. In each column, what they show is among what they trust.",
        draw: replace_order,
    },
];

fn two_chains(_: &Path) -> anyhow::Result<Sheet> {
    let mut sheet = Sheet::default();
    sheet.boxed((115, 4), (110, 30), Look::Strong, &["root"]);
    sheet.small((170, 50), At::Middle, "both ends trust it");
    for (x, from, leaf, purpose, who) in [
        (2, 130, "checkout", "clientAuth", "the client's chain"),
        (218, 210, "ledger", "serverAuth", "the server's chain"),
    ] {
        let middle = x + 60;
        sheet.arrow((from, 36), (middle, 72), Look::Plain);
        sheet.boxed((x, 72), (120, 30), Look::Filled, &["intermediate"]);
        sheet.arrow((middle, 104), (middle, 130), Look::Plain);
        sheet.boxed((x, 130), (120, 44), Look::Filled, &[leaf, purpose]);
        sheet.small((middle, 192), At::Middle, who);
    }
    sheet.arrow((124, 142), (216, 142), Look::Plain);
    sheet.arrow((216, 162), (124, 162), Look::Plain);
    sheet.small((170, 136), At::Middle, "shows, signs");
    Ok(sheet)
}

fn certificate_life(_: &Path) -> anyhow::Result<Sheet> {
    let mut sheet = Sheet::default();
    // Twelve units an hour.
    let x = |tenths: u32| 4 + tenths * 12 / 10;
    sheet.boxed((x(0), 20), (x(160) - x(0), 30), Look::Filled, &["in use"]);
    sheet.boxed((x(160), 20), (x(184) - x(160), 30), Look::Strong, &[]);
    sheet.boxed((x(184), 20), (x(240) - x(184), 30), Look::Plain, &["tries"]);
    sheet.small((x(172), 14), At::Middle, "begins");
    for (tenths, at, words) in [
        (0, At::Start, "0 h"),
        (160, At::End, "16 h"),
        (184, At::Start, "18.4 h"),
        (240, At::Middle, "24 h"),
    ] {
        sheet.line((x(tenths), 50), (x(tenths), 58), Look::Plain);
        sheet.small((x(tenths), 71), at, words);
    }
    sheet.boxed((x(172), 84), (338 - x(172), 30), Look::Filled, &["the next one"]);
    sheet.small((x(168), 103), At::End, "installed, and no connection dropped");
    Ok(sheet)
}

fn replace_order(_: &Path) -> anyhow::Result<Sheet> {
    let mut sheet = Sheet::default();
    for (x, step) in [(52, "before"), (124, "step 1"), (196, "step 2"), (268, "step 3")] {
        sheet.small((x + 34, 12), At::Middle, step);
    }
    sheet.words((2, 40), At::Start, "trust");
    sheet.words((2, 86), At::Start, "show");
    for (x, width, look, words) in [
        (52, 70, Look::Plain, "old"),
        (124, 142, Look::Strong, "old and new"),
        (268, 70, Look::Filled, "new"),
    ] {
        sheet.boxed((x, 20), (width, 32), look, &[words]);
    }
    for (x, width, look, words) in [(52, 142, Look::Plain, "old"), (196, 142, Look::Filled, "new")]
    {
        sheet.boxed((x, 66), (width, 32), look, &[words]);
    }
    for x in [123, 195, 267] {
        sheet.line((x, 16), (x, 112), Look::Dashed);
    }
    sheet.small((195, 126), At::Middle, "at each dashed line, wait until everybody is done");
    Ok(sheet)
}
