//! An agenda for a workshop, from the minutes that the parts of the lessons and the exercises carry.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use crate::{Exercise, find};

/// How long people sit before a break, and how long the break is, in minutes.
const SITTING: u32 = 90;
const BREAK: u32 = 15;
/// A day: from the start to the end, lunch and breaks included.
const DAY: u32 = 8 * 60;
const LUNCH: u32 = 60;
/// Time to look at solutions together, after an exercise.
const REVIEW: u32 = 5;
/// The beginning of a workshop, until the first lesson runs on every laptop, and its end.
const WELCOME: u32 = 10;
const LOOKING_BACK: u32 = 5;
/// What a chapter says before its first part.
const OPENING: u32 = 5;

/// Something that takes time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its lesson.
    pub lesson: u8,
    /// What is on the agenda.
    pub what: String,
    /// How long it takes.
    pub minutes: u32,
}

/// A lesson: its title, its parts and its exercises.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// Its number.
    pub number: u8,
    /// Its title.
    pub title: String,
    /// Its parts.
    pub parts: Vec<Item>,
    /// Its exercises, each with the time to look at solutions.
    pub exercises: Vec<Item>,
}

/// The lessons of the course in this folder.
///
/// # Errors
/// A file can't be read.
pub fn lessons(root: &Path) -> io::Result<Vec<Lesson>> {
    let exercises = find(root)?;
    let mut lessons = Vec::new();
    let mut folders: Vec<_> =
        fs::read_dir(root.join("lessons"))?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    for folder in folders {
        let Ok(program) = fs::read_to_string(folder.join("src/main.rs")) else { continue };
        let Some((number, title)) = named(&program) else { continue };
        let of_lesson = exercises.iter().filter(|exercise| exercise.number.0 == number);
        let exercises = of_lesson.map(|exercise| practice(number, exercise)).collect();
        let opening = Item { lesson: number, what: format!("opening: {title}"), minutes: OPENING };
        let parts = [vec![opening], parts(number, &program)].concat();
        lessons.push(Lesson { number, title, parts, exercises });
    }
    Ok(lessons)
}

fn practice(lesson: u8, exercise: &Exercise) -> Item {
    let what = format!("exercise {}: {}", exercise.name(), exercise.title);
    Item { lesson, what, minutes: exercise.minutes + REVIEW }
}

/// The number and the title in `Lesson::new(2, "TLS sockets")`.
fn named(program: &str) -> Option<(u8, String)> {
    let (_, rest) = program.split_once("Lesson::new(")?;
    let (number, rest) = rest.split_once(',')?;
    let title = rest.split('"').nth(1)?;
    Some((number.trim().parse().ok()?, title.to_owned()))
}

/// The parts in `.part("wire", "the handshake …", 15, …)`.
fn parts(lesson: u8, program: &str) -> Vec<Item> {
    let part = |text: &str| {
        let mut quoted = text.split('"');
        let (name, about) = (quoted.nth(1)?, quoted.nth(1)?);
        let minutes: String = quoted
            .next()?
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(char::is_ascii_digit)
            .collect();
        Some(Item { lesson, what: format!("{name}: {about}"), minutes: minutes.parse().ok()? })
    };
    program.split(".part(").skip(1).filter_map(part).collect()
}

/// How long the workshop is: `3h`, `90m`, or `2d` for days with lunch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// Days; 1 for a workshop of some hours.
    pub days: u32,
    /// The minutes of each, lunch and breaks included.
    pub minutes: u32,
    /// Whether there is lunch.
    pub lunch: bool,
}

impl Length {
    /// From what an instructor types.
    pub fn of(text: &str) -> Option<Self> {
        let number: u32 =
            text.get(..text.len().checked_sub(1)?)?.parse().ok().filter(|number| *number > 0)?;
        match text.chars().last()? {
            'm' if number <= DAY => {
                Some(Self { days: 1, minutes: number, lunch: number >= 5 * 60 })
            }
            'h' if number.checked_mul(60)? <= DAY => {
                Some(Self { days: 1, minutes: number * 60, lunch: number >= 5 })
            }
            'd' if number <= 5 => Some(Self { days: number, minutes: DAY, lunch: true }),
            _ => None,
        }
    }
}

/// A line of the agenda: when it begins, in minutes after midnight, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The day, from 1.
    pub day: u32,
    /// When it begins.
    pub at: u32,
    /// When it ends.
    pub end: u32,
    /// What it is.
    pub what: String,
}

/// The agenda of these items, if all of them fit; a break comes when people would sit for too long without one.
pub fn arrange(items: &[&Item], length: Length, start: u32) -> Option<Vec<Entry>> {
    let welcome = "welcome: the first lesson runs on every laptop".to_owned();
    let mut entries = vec![Entry { day: 1, at: start, end: start + WELCOME, what: welcome }];
    let (mut day, mut at, mut sitting, mut eaten) = (1, start + WELCOME, WELCOME, false);
    for item in items {
        loop {
            let reserved = if day == length.days { LOOKING_BACK } else { 0 };
            let end = start + length.minutes.saturating_sub(reserved);
            if at + item.minutes > end {
                if day == length.days {
                    return None;
                }
                (day, at, sitting, eaten) = (day + 1, start, 0, false);
            }
            // The first thing of a day may be a long one.
            let tired = sitting > 0 && sitting + item.minutes > SITTING;
            // In the middle of the day, and not in the morning.
            let noon = (start + length.minutes / 2 - 45).max((11 * 60 + 15).min(end - LUNCH));
            // A break shortly before lunch is lunch.
            let hungry = at >= noon || (tired && at + 30 >= noon);
            let (pause, what) = match tired {
                _ if length.lunch && !eaten && hungry => (LUNCH, "lunch"),
                true => (BREAK, "break"),
                false => break,
            };
            // Nothing would come after it on this day.
            if at + pause + item.minutes > end && day < length.days {
                (day, at, sitting, eaten) = (day + 1, start, 0, false);
                continue;
            }
            entries.push(Entry { day, at, end: at + pause, what: what.to_owned() });
            (at, sitting, eaten) = (at + pause, 0, eaten || what == "lunch");
        }
        let what = format!("lesson {}, {}", item.lesson, item.what);
        entries.push(Entry { day, at, end: at + item.minutes, what });
        (at, sitting) = (at + item.minutes, sitting + item.minutes);
    }
    let what = "looking back: the checklist of the closing chapter".to_owned();
    entries.push(Entry { day, at, end: at + LOOKING_BACK, what });
    Some(entries)
}

/// What is on the agenda, in order, and what is left out.
///
/// Lessons come in order, each with all its parts and its first exercise; then more exercises, while there is time; then
/// the first parts of the next lesson.
pub fn choose(lessons: &[Lesson], length: Length, start: u32) -> (Vec<Item>, Vec<Item>) {
    let mut chosen: Vec<Item> = Vec::new();
    let ordered = |chosen: &[Item]| -> Vec<Item> {
        let all = lessons.iter().flat_map(|lesson| lesson.parts.iter().chain(&lesson.exercises));
        all.filter(|item| chosen.contains(item)).cloned().collect()
    };
    let fits = |chosen: &[Item], more: &[Item]| {
        let with = ordered(&[chosen, more].concat());
        arrange(&with.iter().collect::<Vec<_>>(), length, start).is_some()
    };
    let mut whole = 0;
    for lesson in lessons {
        let core: Vec<Item> =
            lesson.parts.iter().chain(lesson.exercises.first()).cloned().collect();
        if !fits(&chosen, &core) {
            break;
        }
        chosen.extend(core);
        whole += 1;
    }
    for item in lessons[..whole].iter().flat_map(|lesson| lesson.exercises.iter().skip(1)) {
        if fits(&chosen, std::slice::from_ref(item)) {
            chosen.push(item.clone());
        }
    }
    let mut begun: Vec<Item> = Vec::new();
    for item in lessons.get(whole).into_iter().flat_map(|lesson| &lesson.parts) {
        if !fits(&chosen, &[&begun[..], std::slice::from_ref(item)].concat()) {
            break;
        }
        begun.push(item.clone());
    }
    // An opening and one part are no way to end a day.
    if begun.len() > 2 {
        chosen.extend(begun);
    }
    let all = lessons.iter().flat_map(|lesson| lesson.parts.iter().chain(&lesson.exercises));
    let left_out = all.filter(|item| !chosen.contains(item)).cloned().collect();
    (ordered(&chosen), left_out)
}

/// The agenda as text, in 80 columns.
pub fn text(lessons: &[Lesson], length: Length, start: u32) -> String {
    let (chosen, left_out) = choose(lessons, length, start);
    let entries = arrange(&chosen.iter().collect::<Vec<_>>(), length, start).unwrap_or_default();
    let clock = |minutes: u32| format!("{:2}:{:02}", minutes / 60 % 24, minutes % 60);
    let mut text = String::new();
    let mut day = 0;
    for entry in &entries {
        if entry.day != day {
            if let Some(before) = entries.iter().rev().find(|before| before.day == day) {
                let _ = writeln!(text, "{}           end\n", clock(before.end));
            }
            day = entry.day;
            if length.days > 1 {
                let _ = writeln!(text, "Day {day}");
            }
        }
        let what = cut(&entry.what, 64);
        let _ = writeln!(text, "{}  {:3} min  {what}", clock(entry.at), entry.end - entry.at);
    }
    if let Some(last) = entries.last() {
        let _ = writeln!(text, "{}           end", clock(last.end));
    }
    if left_out.is_empty() {
        text.push_str("\nEverything fits.\n");
    } else {
        let minutes: u32 = left_out.iter().map(|item| item.minutes).sum();
        let _ = writeln!(text, "\nLeft out, {minutes} minutes in all:");
        for lesson in lessons {
            let all = lesson.parts.iter().chain(&lesson.exercises);
            if all.clone().all(|item| left_out.contains(item)) {
                let minutes: u32 = all.map(|item| item.minutes).sum();
                let (number, title) = (lesson.number, &lesson.title);
                let _ =
                    writeln!(text, "       {minutes:3} min  lesson {number}, all of it: {title}");
                continue;
            }
            for item in all.filter(|item| left_out.contains(item)) {
                let what = cut(&format!("lesson {}, {}", item.lesson, item.what), 61);
                let _ = writeln!(text, "       {:3} min  {what}", item.minutes);
            }
        }
    }
    text.push_str(
        "\nAn exercise has 5 minutes more than its own, to look at solutions together.\n\
         If you are running late, leave out the exercise that comes next.\n",
    );
    text
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width - 1).collect();
    // At the end of a word.
    let kept = kept.rsplit_once(' ').map_or(kept.as_str(), |(words, _)| words);
    format!("{}…", kept.trim_end_matches([' ', ',', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lesson(number: u8, parts: &[u32], exercises: &[u32]) -> Lesson {
        let item = |kind: &str, index: usize, minutes: u32| Item {
            lesson: number,
            what: format!("{kind} {index}"),
            minutes,
        };
        let items = |kind: &str, minutes: &[u32]| {
            minutes.iter().enumerate().map(|(index, minutes)| item(kind, index, *minutes)).collect()
        };
        Lesson {
            number,
            title: format!("Lesson {number}"),
            parts: items("part", parts),
            exercises: items("exercise", exercises),
        }
    }

    const NINE: u32 = 9 * 60;

    #[test]
    fn a_length_is_minutes_hours_or_days() {
        assert_eq!(Length::of("90m").map(|length| length.minutes), Some(90));
        assert_eq!(
            Length::of("3h").map(|length| (length.days, length.minutes, length.lunch)),
            Some((1, 180, false))
        );
        assert_eq!(Length::of("2d").map(|length| (length.days, length.lunch)), Some((2, true)));
        for wrong in ["", "h", "0h", "3", "3w", "9h", "6d", "-1h", "3 h", "ü"] {
            assert_eq!(Length::of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_break_comes_before_people_sit_for_too_long_and_lunch_at_noon() {
        let day = Length::of("1d").expect("a day");
        let lesson = lesson(1, &[40, 40, 40, 40, 40, 40], &[]);
        let items: Vec<&Item> = lesson.parts.iter().collect();
        let entries = arrange(&items, day, NINE).expect("it fits");
        let what: Vec<&str> = entries.iter().map(|entry| entry.what.as_str()).collect();
        assert_eq!(what.iter().filter(|what| **what == "lunch").count(), 1, "{what:?}");
        let mut sitting = 0;
        for entry in &entries {
            sitting = if ["break", "lunch"].contains(&entry.what.as_str()) {
                0
            } else {
                sitting + entry.end - entry.at
            };
            assert!(sitting <= SITTING, "{entries:?}");
        }
        assert!(entries.windows(2).all(|pair| pair[0].end == pair[1].at), "no gap: {entries:?}");
    }

    #[test]
    fn no_break_comes_before_lunch_or_at_the_end_of_a_day() {
        for parts in [[40].repeat(30), [8, 12, 20, 25, 10, 15].repeat(8), [30].repeat(40)] {
            let lesson = lesson(1, &parts, &[]);
            for days in ["1d", "2d", "3d", "5h", "8h"] {
                let length = Length::of(days).expect("a length");
                let (chosen, _) = choose(std::slice::from_ref(&lesson), length, NINE);
                let entries = arrange(&chosen.iter().collect::<Vec<_>>(), length, NINE);
                let entries = entries.unwrap_or_default();
                for pair in entries.windows(2) {
                    let pauses = ["break", "lunch"];
                    let pause = pauses.contains(&pair[0].what.as_str());
                    let next_pause = pauses.contains(&pair[1].what.as_str());
                    assert!(!(pause && next_pause), "{days}: {pair:?}");
                    assert!(!pause || pair[0].day == pair[1].day, "{days}: {pair:?}");
                }
                assert!(
                    entries.len() < 6 || entries.iter().any(|entry| entry.what == "lunch"),
                    "{days}"
                );
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_named() {
        let lessons =
            [lesson(0, &[25], &[10, 20]), lesson(1, &[60], &[10, 20]), lesson(2, &[50, 50], &[10])];
        let (chosen, left_out) = choose(&lessons, Length::of("3h").expect("hours"), NINE);
        let of = |items: &[Item]| {
            items.iter().map(|item| format!("{} {}", item.lesson, item.what)).collect::<Vec<_>>()
        };
        assert_eq!(
            of(&chosen),
            [
                "0 part 0",
                "0 exercise 0",
                "0 exercise 1",
                "1 part 0",
                "1 exercise 0",
                "1 exercise 1"
            ]
        );
        assert_eq!(of(&left_out), ["2 part 0", "2 part 1", "2 exercise 0"]);
        let text = text(&lessons, Length::of("3h").expect("hours"), NINE);
        assert!(text.contains(" 9:10   25 min  lesson 0, part 0"), "{text}");
        assert!(text.starts_with(" 9:00   10 min  welcome: "), "{text}");
        assert!(text.contains("  5 min  looking back: "), "{text}");
        assert!(text.contains("Left out, 110 minutes in all:"), "{text}");
    }

    #[test]
    fn the_minutes_are_those_of_the_program() {
        let program = "Lesson::new(2, \"TLS sockets\")\n.part(\"wire\", \"record by record\", 15, parts::wire::run)\n.part(\n\"errors\",\n\"as both see it, 2 ways\",\n7,\nrun)";
        assert_eq!(named(program), Some((2, "TLS sockets".to_owned())));
        let found: Vec<(String, u32)> =
            parts(2, program).into_iter().map(|item| (item.what, item.minutes)).collect();
        assert_eq!(
            found,
            [
                ("wire: record by record".to_owned(), 15),
                ("errors: as both see it, 2 ways".to_owned(), 7)
            ]
        );
    }
}
