//! The narrator of a lesson. Its verbs check the claims that they print: running the
//! lesson is testing it.
//!
//! | verb | prints | ends the lesson when |
//! | --- | --- | --- |
//! | [`step`](Transcript::step) | a numbered sentence | |
//! | [`shows`](Transcript::shows) | a labeled value | |
//! | [`must_show`](Transcript::must_show) | a labeled value | it does not contain what was expected |
//! | [`works`](Transcript::works) | `ok` | the result is an error |
//! | [`refused`](Transcript::refused) | `refused`, each cause | the result is no error, or has another cause |
//! | [`refused_in_short`](Transcript::refused_in_short) | `refused`, the last cause | the same |
//! | [`attack_works`](Transcript::attack_works) | `attack works` | the attack failed |
//! | [`wire_shows`](Transcript::wire_shows) | `wire shows` | the tap did not see the bytes |
//! | [`wire_hides`](Transcript::wire_hides) | `wire hides` | the tap saw them, or recorded nothing |
//!
//! Plain text of 80 columns. Color decorates the labels on a terminal, and no meaning
//! hangs on it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, BufRead, Write};

use anstyle::{AnsiColor, Style};
use anyhow::{bail, ensure};

use crate::wiretap::Recording;
use careful_errors::ErrorChain;

const WIDTH: usize = 80;
/// Between two steps, with `--pause`: so that what was said before is out of sight.
const GAP: &str = "\n\n\n\n\n\n\n\n";
const INDENT: &str = "   ";
const LABEL: usize = 15;
/// The column of a field's meaning.
const FIELD: usize = 27;
/// The fewest bytes whose absence says something.
const SHORTEST_SECRET: usize = 8;

/// The transcript could not be written: a full disk, a closed pipe.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the transcript to standard output")]
pub struct OutputFailed(#[source] pub io::Error);

/// Something that is held back.
enum Held {
    Text(String),
    /// A step begins.
    Step,
    /// A verdict comes: what is asked before it, and whether the answer is yes.
    Verdict(String, bool),
}

/// Prints a lesson and counts its claims.
pub struct Transcript {
    out: Box<dyn Write>,
    /// With `--pause` and `--predict`: what a part has to say, kept until it has run, then revealed bit by bit. So no
    /// deadline of a server runs out while somebody speaks, or thinks.
    held_back: Option<Vec<Held>>,
    /// With `--predict`: how many verdicts were predicted, and how many of them rightly.
    predictions: Option<(usize, usize)>,
    /// The first error of `out`. Narration goes on in silence; the next verb that can
    /// fail reports it.
    failed: Option<io::Error>,
    /// Whether anything was written: a part is set off from what stands above it.
    began: bool,
    step: usize,
    claims: usize,
    options: BTreeMap<&'static str, String>,
    /// Columns of a line.
    width: usize,
    /// What a speaker is told: which part this is, of how many, and how many minutes are left with it.
    place: Option<(usize, usize, u32)>,
}

impl Transcript {
    /// A transcript on standard output, in color if that is a terminal and `NO_COLOR` is
    /// not set.
    pub fn to_stdout() -> Self {
        Self::to(anstream::stdout())
    }

    /// The same, waiting for Enter on standard input before each step.
    pub fn paused() -> Self {
        Self { held_back: Some(Vec::new()), ..Self::to_stdout() }
    }

    /// The same, asking before each verdict what it will be, and revealing it then.
    pub fn predicted() -> Self {
        Self { predictions: Some((0, 0)), ..Self::paused() }
    }

    /// A transcript on any writer.
    pub fn to(out: impl Write + 'static) -> Self {
        Self {
            out: Box::new(out),
            held_back: None,
            predictions: None,
            failed: None,
            began: false,
            step: 0,
            claims: 0,
            options: BTreeMap::new(),
            width: WIDTH,
            place: None,
        }
    }

    /// A sentence that says what happens next. Steps are numbered within a part.
    pub fn step(&mut self, sentence: &str) {
        self.step += 1;
        self.hold(Held::Step);
        let number = format!("{}. ", self.step);
        let options = textwrap::Options::new(self.width)
            .initial_indent(&number)
            .subsequent_indent(INDENT)
            .break_words(false);
        self.write(&format!("\n{}\n", textwrap::fill(sentence, options)));
    }

    /// A value under a label of at most 13 characters.
    pub fn shows(&mut self, label: &str, value: impl Display) {
        self.labeled(label, AnsiColor::Blue.on_default(), &value.to_string());
    }

    /// A value that must contain `expected`: what one side of a connection usually says.
    pub fn must_show(&mut self, label: &str, value: &str, expected: &str) -> anyhow::Result<()> {
        self.claim()?;
        ensure!(
            value.contains(expected),
            "expected the {label} to say \"{expected}\", but it says \"{value}\""
        );
        self.shows(label, value);
        Ok(())
    }

    /// What to take from the lines above, in a sentence.
    pub fn note(&mut self, sentence: &str) {
        self.labeled("note", Style::new(), sentence);
    }

    /// What the command line says for an option of this part.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    pub(crate) fn set_width(&mut self, width: usize) {
        self.width = width;
    }

    /// Which part this is, of how many, and how many minutes are left with it.
    pub(crate) fn set_place(&mut self, part: usize, parts: usize, minutes: u32) {
        self.place = Some((part, parts, minutes));
    }

    pub(crate) fn set_option(&mut self, name: &'static str, value: &str) {
        self.options.insert(name, value.to_owned());
    }

    /// Bytes, in at most 26 characters, and what they mean; a meaning of several lines keeps its lines.
    pub fn field(&mut self, bytes: &str, meaning: &str) {
        let hanging = " ".repeat(INDENT.len() + FIELD);
        let options = textwrap::Options::new(self.width)
            .initial_indent(&hanging)
            .subsequent_indent(&hanging)
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
            .break_words(true);
        let filled: Vec<String> =
            meaning.lines().map(|line| textwrap::fill(line, &options)).collect();
        let filled = filled.join("\n");
        let body = filled.get(hanging.len()..).unwrap_or_default();
        self.write(&format!("{INDENT}{bytes:FIELD$}{body}\n"));
    }

    /// A table: the first row is its head. Cells of the last column may be long.
    pub fn table<const N: usize>(&mut self, rows: &[[impl AsRef<str>; N]]) {
        let width = |column: usize| {
            rows.iter().map(|row| row[column].as_ref().chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..N).map(width).collect();
        for (index, row) in rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, &width)| format!("{:width$}", cell.as_ref()))
                .collect();
            self.write(&format!("{INDENT}{}\n", cells.join("  ").trim_end()));
            if index == 0 {
                let rules: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
                self.write(&format!("{INDENT}{}\n", rules.join("  ")));
            }
        }
    }

    /// Must succeed: prints `ok`, what it was, and the value; returns the value.
    pub fn works<T, E>(&mut self, what: &str, result: Result<T, E>) -> anyhow::Result<T>
    where
        E: Into<anyhow::Error>,
    {
        self.claim()?;
        match result {
            Ok(value) => {
                self.verdict(what, "is it accepted", true);
                self.labeled("ok", AnsiColor::Green.on_default(), what);
                Ok(value)
            }
            Err(error) => {
                Err(error.into().context(format!("expected to work, but did not: {what}")))
            }
        }
    }

    /// Must be refused, and for this `reason`: one of the causes has to contain it.
    /// Prints the error with its whole chain.
    pub fn refused<T, E>(
        &mut self,
        what: &str,
        result: Result<T, E>,
        reason: &str,
    ) -> anyhow::Result<()>
    where
        E: Into<anyhow::Error>,
    {
        let layers = self.refusal(what, result, reason)?;
        for (index, layer) in layers.iter().enumerate() {
            let label = if index == 0 { "error" } else { "because" };
            self.labeled(label, Style::new().dimmed(), layer);
        }
        Ok(())
    }

    /// The same, printing the innermost cause only: for a list of refusals with one outer
    /// error.
    pub fn refused_in_short<T, E>(
        &mut self,
        what: &str,
        result: Result<T, E>,
        reason: &str,
    ) -> anyhow::Result<()>
    where
        E: Into<anyhow::Error>,
    {
        let layers = self.refusal(what, result, reason)?;
        self.labeled("because", Style::new().dimmed(), layers.last().map_or("", String::as_str));
        Ok(())
    }

    fn refusal<T, E>(
        &mut self,
        what: &str,
        result: Result<T, E>,
        reason: &str,
    ) -> anyhow::Result<Vec<String>>
    where
        E: Into<anyhow::Error>,
    {
        self.claim()?;
        ensure!(!reason.is_empty(), "a refusal for any reason at all proves nothing: {what}");
        let Err(error) = result else { bail!("expected to be refused, but was accepted: {what}") };
        let error = error.into();
        let layers = ErrorChain(error.as_ref()).layers();
        if !layers.iter().any(|layer| layer.contains(reason)) {
            return Err(error.context(format!(
                "refused, but not for the expected reason \"{reason}\": {what}"
            )));
        }
        // "by the bank" says who refuses, so the question is whether they accept.
        match what.strip_prefix("by ") {
            Some(who) => self.verdict("This", &format!("does {who} accept it"), false),
            None => self.verdict(what, "is it accepted", false),
        }
        self.labeled("refused", AnsiColor::Green.on_default().bold(), what);
        Ok(layers)
    }

    /// An attack on the vulnerable variant, which must succeed: else there is nothing to
    /// teach.
    pub fn attack_works(&mut self, what: &str, succeeded: bool) -> anyhow::Result<()> {
        self.claim()?;
        ensure!(succeeded, "the attack was expected to work, but did not: {what}");
        // What it brings would give the answer away.
        self.verdict("The attack", "does it work", true);
        self.labeled("attack works", AnsiColor::Red.on_default().bold(), what);
        Ok(())
    }

    /// The tap must have seen `bytes`. Prints in which direction.
    pub fn wire_shows(
        &mut self,
        wire: &Recording,
        name: &str,
        bytes: impl AsRef<[u8]>,
    ) -> anyhow::Result<()> {
        self.claim()?;
        let bytes = bytes.as_ref();
        let Some(place) = wire.find(bytes) else {
            bail!("expected on the wire, but not found in {} recorded bytes: {name}", wire.len());
        };
        let text = format!("{name}: \"{}\", {}", bytes.escape_ascii(), place.direction);
        self.verdict(name, "can it be read on the wire", true);
        self.labeled("wire shows", AnsiColor::Red.on_default(), &text);
        Ok(())
    }

    /// The tap must not have seen `bytes`, in a recording that is complete and not empty.
    pub fn wire_hides(
        &mut self,
        wire: &Recording,
        name: &str,
        bytes: impl AsRef<[u8]>,
    ) -> anyhow::Result<()> {
        self.claim()?;
        let bytes = bytes.as_ref();
        // A shorter needle is found by chance in a few thousand random bytes, or was never meant.
        ensure!(
            bytes.len() >= SHORTEST_SECRET,
            "expected at least {SHORTEST_SECRET} bytes to look for, got {}: {name}",
            bytes.len()
        );
        ensure!(
            wire.connections.iter().any(|c| !c.to_server.is_empty() && !c.to_client.is_empty()),
            "the tap recorded nothing, so that it shows nothing proves nothing: {name}"
        );
        ensure!(
            !wire.overflowed(),
            "the recording is incomplete, so an absence proves nothing: {name}"
        );
        if let Some(place) = wire.find(bytes) {
            bail!("expected to be hidden, but found on the wire, {place}: {name}");
        }
        self.verdict(name, "can it be read on the wire", false);
        self.labeled("wire hides", AnsiColor::Green.on_default(), name);
        Ok(())
    }

    /// The number of the current step, from 1; 0 before the first.
    pub fn current_step(&self) -> usize {
        self.step
    }

    pub(crate) fn title(&mut self, title: &str) {
        self.heading(title);
    }

    pub(crate) fn begin_part(&mut self, heading: &str) {
        self.step = 0;
        self.hold(Held::Step);
        if self.began {
            self.write("\n");
        }
        self.heading(heading);
    }

    pub(crate) fn end(&mut self, parts: usize) {
        let parts = if parts == 1 { "1 part".to_owned() } else { format!("{parts} parts") };
        let claims = match self.claims {
            1 => "1 claim".to_owned(),
            claims => format!("{claims} claims"),
        };
        let claims = format!("{claims} checked in {parts}: all hold.");
        self.write(&format!("\n{claims}\n"));
        if let Some((asked, right)) = self.predictions {
            let verdicts = if asked == 1 { "verdict" } else { "verdicts" };
            self.write(&format!("You predicted {right} of {asked} {verdicts}.\n"));
        }
    }

    /// Flushes the part; what was held back is revealed.
    pub(crate) fn end_part(&mut self) -> anyhow::Result<()> {
        let held = self.held_back.as_mut().map(std::mem::take).unwrap_or_default();
        let mut last = String::new();
        for (index, held) in held.into_iter().enumerate() {
            match held {
                Held::Text(text) => {
                    self.write_out(&text);
                    last = text;
                }
                // The first one is the part itself.
                Held::Step if index == 0 || self.failed.is_some() || self.predictions.is_some() => {
                }
                Held::Step => self.wait_for_enter(&last),
                Held::Verdict(question, truth) => self.ask(&question, truth),
            }
        }
        self.report_output()
    }

    /// Waits for Enter; `b` shows the last step again. At the end of input nobody is there to press it, and the lesson
    /// goes on.
    fn wait_for_enter(&mut self, last: &str) {
        loop {
            self.failed = self.failed.take().or_else(|| self.out.flush().err());
            let place = match self.place {
                Some((part, parts, minutes)) => {
                    format!("part {part} of {parts}, {minutes} minutes left; ")
                }
                None => String::new(),
            };
            let mut stderr = io::stderr();
            let _ = write!(stderr, "\n({place}Enter to go on, b for this step again) ");
            let mut line = String::new();
            let read = io::stdin().lock().read_line(&mut line);
            if !read.is_ok_and(|length| length > 0) {
                let _ = writeln!(stderr);
                return;
            }
            // On the terminal of the speaker; what is piped into a file has no gaps.
            let _ = write!(stderr, "{GAP}");
            if line.trim() != "b" || self.failed.is_some() {
                return;
            }
            self.write_out(last);
        }
    }

    fn hold(&mut self, held: Held) {
        if let Some(all) = &mut self.held_back {
            all.push(held);
        }
    }

    fn verdict(&mut self, what: &str, question: &str, truth: bool) {
        if self.predictions.is_some() {
            self.hold(Held::Verdict(format!("{what}: {question}? y/n "), truth));
        }
    }

    /// Asks for a prediction, and says whether it was right. Enter alone means "show me", and so does the end of the
    /// input; neither counts.
    fn ask(&mut self, question: &str, truth: bool) {
        // What stands above it has to be there first.
        self.failed = self.failed.take().or_else(|| self.out.flush().err());
        if self.failed.is_some() {
            return;
        }
        let mut stderr = io::stderr();
        let predicted = loop {
            let _ = write!(stderr, "   ?              {question}").and_then(|()| stderr.flush());
            let mut line = String::new();
            let read = io::stdin().lock().read_line(&mut line);
            if !read.is_ok_and(|length| length > 0) {
                let _ = writeln!(stderr);
                return;
            }
            match line.trim().to_lowercase().as_str() {
                "y" | "yes" => break true,
                "n" | "no" => break false,
                "" => return,
                _ => {
                    let _ = writeln!(
                        stderr,
                        "                  Type y or n, or Enter alone to be shown."
                    );
                }
            }
        };
        let is_right = predicted == truth;
        let _ =
            writeln!(stderr, "                  {}", if is_right { "Right." } else { "Wrong." });
        if let Some((asked, right)) = &mut self.predictions {
            *asked += 1;
            *right += usize::from(is_right);
        }
    }

    fn heading(&mut self, text: &str) {
        let style = Style::new().bold();
        let text =
            textwrap::fill(text, textwrap::Options::new(self.width).subsequent_indent(INDENT));
        let rule = "-".repeat(text.lines().map(str::len).max().unwrap_or(0));
        self.write(&format!("{style}{text}{style:#}\n{rule}\n"));
    }

    fn labeled(&mut self, label: &str, style: Style, text: &str) {
        let hanging = " ".repeat(INDENT.len() + LABEL);
        let options = textwrap::Options::new(self.width)
            .initial_indent(&hanging)
            .subsequent_indent(&hanging)
            .word_separator(textwrap::WordSeparator::AsciiSpace)
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
            .break_words(false);
        // A text of several lines (a message, a page) keeps its lines.
        let filled: Vec<String> = text.lines().map(|line| textwrap::fill(line, &options)).collect();
        let filled = filled.join("\n");
        let body = filled.get(hanging.len()..).unwrap_or_default();
        let padding = " ".repeat(LABEL.saturating_sub(label.len()));
        self.write(&format!("{INDENT}{style}{label}{style:#}{padding}{body}\n"));
    }

    fn claim(&mut self) -> anyhow::Result<()> {
        self.claims += 1;
        self.report_output()
    }

    fn report_output(&mut self) -> anyhow::Result<()> {
        if self.failed.is_none() {
            self.failed = self.out.flush().err();
        }
        match self.failed.take() {
            Some(error) => Err(OutputFailed(error).into()),
            None => Ok(()),
        }
    }

    fn write(&mut self, text: &str) {
        self.began = true;
        match &mut self.held_back {
            Some(held) => match held.last_mut() {
                Some(Held::Text(before)) => before.push_str(text),
                _ => held.push(Held::Text(text.to_owned())),
            },
            None => self.write_out(text),
        }
    }

    fn write_out(&mut self, text: &str) {
        if self.failed.is_none() {
            self.failed = self.out.write_all(text.as_bytes()).err();
        }
    }
}
