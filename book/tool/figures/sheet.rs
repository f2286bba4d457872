//! What a figure is drawn with: boxes, arrows, words and ladders, as SVG that takes the color of the page's theme.
//!
//! Every figure is 340 units wide, so that its letters can be read on a phone of 320 pixels and in print. Nothing in it
//! depends on color.

use std::fmt::Write;

/// The width of every figure.
pub const WIDTH: u32 = 340;
/// How wide a letter is on average, and at most, in the figures' font of 13 units.
const LETTER: f32 = 6.6;

/// What the book's style sheet says of figures, for a figure without the book.
const STYLE: &str = "\
svg { font: 13px sans-serif; color: #1a1a1a; --bg: #ffffff; }
@media (prefers-color-scheme: dark) { svg { color: #e6e6e6; --bg: #101418; } }
text { fill: currentColor; }
.n { font-size: 11px; }
.b { font-weight: bold; }
rect, line { stroke: currentColor; fill: var(--bg); }
.s { stroke-width: 2.5; }
.d { stroke-dasharray: 4 3; stroke-width: 1.5; }
.h { fill: currentColor; }
";

/// A figure under way.
#[derive(Default)]
pub struct Sheet {
    body: String,
    height: u32,
    /// Words that don't fit where they are.
    pub too_wide: Vec<String>,
}

/// Where words stand in relation to their point.
#[derive(Clone, Copy, PartialEq)]
pub enum At {
    /// They begin there.
    Start,
    /// Their middle is there.
    Middle,
    /// They end there.
    End,
}

/// How a box or a line looks.
#[derive(Clone, Copy, PartialEq)]
pub enum Look {
    /// A thin line.
    Plain,
    /// A thin line around a gray field.
    Filled,
    /// A thick line: what the figure is about.
    Strong,
    /// A dashed line: Mallory's.
    Dashed,
}

impl Look {
    fn class(self) -> &'static str {
        match self {
            Self::Plain => "p",
            Self::Filled => "f",
            Self::Strong => "s",
            Self::Dashed => "d",
        }
    }
}

impl Sheet {
    /// Words, with their baseline at this point.
    pub fn words(&mut self, (x, y): (u32, u32), at: At, words: &str) {
        self.write_words((x, y), at, words, "");
    }

    /// Words in small letters.
    pub fn small(&mut self, (x, y): (u32, u32), at: At, words: &str) {
        self.write_words((x, y), at, words, " class=\"n\"");
    }

    /// Words in bold.
    pub fn bold(&mut self, (x, y): (u32, u32), at: At, words: &str) {
        self.write_words((x, y), at, words, " class=\"b\"");
    }

    fn write_words(&mut self, (x, y): (u32, u32), at: At, words: &str, class: &str) {
        let letter = if class.contains('n') { LETTER * 0.86 } else { LETTER };
        let width = words.chars().count() as f32 * letter;
        let (left, right) = match at {
            At::Start => (x as f32, x as f32 + width),
            At::Middle => (x as f32 - width / 2.0, x as f32 + width / 2.0),
            At::End => (x as f32 - width, x as f32),
        };
        if left < 0.0 || right > WIDTH as f32 {
            self.too_wide.push(words.to_owned());
        }
        let anchor = match at {
            At::Start => "",
            At::Middle => " text-anchor=\"middle\"",
            At::End => " text-anchor=\"end\"",
        };
        self.reach(y + 5);
        let _ = writeln!(
            self.body,
            "<text x=\"{x}\" y=\"{y}\"{anchor}{class}>{}</text>",
            crate::pages::escaped(words)
        );
    }

    /// A box with lines of words in its middle.
    pub fn boxed(
        &mut self,
        (x, y): (u32, u32),
        (width, height): (u32, u32),
        look: Look,
        lines: &[&str],
    ) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"3\" class=\"{}\"/>",
            look.class()
        );
        self.reach(y + height + 2);
        let first = y + height / 2 + 5 - (lines.len().saturating_sub(1) as u32) * 8;
        for (index, line) in (0u32..).zip(lines) {
            if line.chars().count() as f32 * LETTER > width as f32 {
                self.too_wide.push((*line).to_owned());
            }
            self.words((x + width / 2, first + index * 16), At::Middle, line);
        }
    }

    /// A line between two points.
    pub fn line(&mut self, (x1, y1): (u32, u32), (x2, y2): (u32, u32), look: Look) {
        self.reach(y1.max(y2) + 2);
        let class = look.class();
        let _ = writeln!(
            self.body,
            "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" class=\"{class}\"/>"
        );
    }

    /// An arrow between two points.
    pub fn arrow(&mut self, from: (u32, u32), to: (u32, u32), look: Look) {
        self.line(from, to, look);
        let (dx, dy) = (to.0 as f32 - from.0 as f32, to.1 as f32 - from.1 as f32);
        let length = dx.hypot(dy).max(1.0);
        let (ux, uy) = (dx / length, dy / length);
        let (bx, by) = (to.0 as f32 - 8.0 * ux, to.1 as f32 - 8.0 * uy);
        let _ = writeln!(
            self.body,
            "<path d=\"M{} {}L{:.1} {:.1}L{:.1} {:.1}Z\" class=\"h\"/>",
            to.0,
            to.1,
            bx - 4.0 * uy,
            by + 4.0 * ux,
            bx + 4.0 * uy,
            by - 4.0 * ux
        );
    }

    /// A cross, where something ends.
    pub fn cross(&mut self, (x, y): (u32, u32)) {
        self.line((x - 5, y - 5), (x + 5, y + 5), Look::Strong);
        self.line((x - 5, y + 5), (x + 5, y - 5), Look::Strong);
    }

    fn reach(&mut self, y: u32) {
        self.height = self.height.max(y);
    }

    /// The SVG as a file of its own, for a page without the book's style: dark lines, or light ones where the reader's
    /// system is dark.
    pub fn file(&self, alternative: &str) -> String {
        let svg = self.svg(alternative);
        let (head, body) = svg.split_once('\n').unwrap_or((&svg, ""));
        let head =
            head.replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"440\" ", 1);
        format!("{head}\n<style>\n{STYLE}</style>\n{body}")
    }

    /// The SVG, without an empty line, so that it can stand in Markdown.
    pub fn svg(&self, alternative: &str) -> String {
        format!(
            "<svg class=\"fig\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">\n{}</svg>\n",
            self.height + 3,
            crate::pages::escaped(alternative),
            self.body
        )
    }
}

/// Who talks to whom, in the order of time: a vertical line for each, and arrows between them.
pub struct Ladder {
    sheet: Sheet,
    lanes: Vec<u32>,
    y: u32,
}

impl Ladder {
    /// Two or three who talk; a name that ends in `*` is Mallory's.
    pub fn new(names: &[&str]) -> Self {
        let mut sheet = Sheet::default();
        let lanes: Vec<u32> = match names.len() {
            2 => vec![60, 280],
            _ => vec![38, 170, 302],
        };
        for (name, x) in names.iter().zip(&lanes) {
            let (look, name) = match name.strip_suffix('*') {
                Some(name) => (Look::Dashed, name),
                None => (Look::Filled, *name),
            };
            let width = if names.len() == 2 { 116 } else { 74 };
            sheet.boxed((x - width / 2, 2), (width, 24), look, &[name]);
        }
        Self { sheet, lanes, y: 26 }
    }

    /// A message. Its words stand over the arrow.
    pub fn says(self, from: usize, to: usize, words: &str) -> Self {
        self.arrow(from, to, words, Look::Plain)
    }

    /// A message of Mallory's.
    pub fn attacks(self, from: usize, to: usize, words: &str) -> Self {
        self.arrow(from, to, words, Look::Dashed)
    }

    fn arrow(mut self, from: usize, to: usize, words: &str, look: Look) -> Self {
        self.y += 34;
        let (start, end) = (self.lanes[from], self.lanes[to]);
        // Between two lanes that are next to each other, or over the one between them.
        let space = start.abs_diff(end) as f32 - 6.0;
        if words.chars().count() as f32 * LETTER > space + 20.0 {
            self.sheet.too_wide.push(words.to_owned());
        }
        self.sheet.words((start.midpoint(end), self.y - 7), At::Middle, words);
        self.sheet.arrow((start, self.y), (end, self.y), look);
        self
    }

    /// A message that doesn't arrive.
    pub fn lost(mut self, from: usize, to: usize, words: &str) -> Self {
        self.y += 34;
        let (start, end) = (self.lanes[from], self.lanes[to]);
        let middle = start.midpoint(end);
        self.sheet.words((middle, self.y - 9), At::Middle, words);
        self.sheet.line((start, self.y), (middle, self.y), Look::Plain);
        self.sheet.cross((middle, self.y));
        self
    }

    /// What somebody does or has, in a box on the line.
    pub fn does(mut self, who: usize, words: &str, look: Look) -> Self {
        self.y += 12;
        let width = (words.chars().count() as f32 * LETTER) as u32 + 12;
        let x =
            self.lanes[who].saturating_sub(width / 2).clamp(1, WIDTH - 1 - width.min(WIDTH - 2));
        self.sheet.boxed((x, self.y), (width, 22), look, &[words]);
        self.y += 22;
        self
    }

    /// The whole of it, with the vertical lines behind everything else.
    pub fn sheet(mut self) -> Sheet {
        let front = std::mem::take(&mut self.sheet.body);
        for lane in self.lanes {
            self.sheet.line((lane, 27), (lane, self.y + 12), Look::Plain);
        }
        self.sheet.body.push_str(&front);
        self.sheet
    }
}
