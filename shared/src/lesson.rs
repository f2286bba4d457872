//! The command line of a lesson: `lesson-N [PART]... [--list] [--pause] [--predict]`.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgAction, Command};

use crate::transcript::{OutputFailed, Transcript};
use careful_errors::ErrorChain;

/// No part may take longer. A part that waits forever is a defect; this ends it with an
/// error.
const PART_DEADLINE: Duration = Duration::from_secs(60);

type Run = Box<
    dyn for<'a> Fn(&'a mut Transcript) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>,
>;

/// October 2026, in seconds since 1970: no clock that is right says less.
const EARLIEST: u64 = 1_792_800_000;

/// Whether this machine's clock can be right: certificates and tokens have dates, and what goes wrong with others is
/// hard to read.
///
/// # Errors
/// It says that the course has not been written yet.
pub fn check_clock() -> anyhow::Result<()> {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    let now = since.map_or(0, |since| since.as_secs());
    if now < EARLIEST {
        let days = now / 86_400;
        anyhow::bail!(
            "this machine's clock is wrong: it says that it is {days} days after 1 January 1970. Set your clock, \
             because certificates and tokens have dates"
        );
    }
    Ok(())
}

/// The smallest thing that a learner can run: one section of the chapter, one snapshot.
struct Part {
    name: &'static str,
    about: &'static str,
    /// With the section of the chapter.
    minutes: u32,
    run: Run,
}

/// A lesson: a number, a title and parts in order.
pub struct Lesson {
    number: u8,
    title: &'static str,
    parts: Vec<Part>,
    server: Option<Server>,
    key_log: bool,
    options: Vec<PartOption>,
}

/// An option of one part.
struct PartOption {
    name: &'static str,
    value: &'static str,
    part: &'static str,
    about: &'static str,
}

/// What `--serve` runs.
type Server = Box<dyn Fn(ServeOptions) -> Pin<Box<dyn Future<Output = anyhow::Result<()>>>>>;

/// How `--serve` was asked to run.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The port to listen on; 0 lets the system choose.
    pub port: u16,
    /// Where to write the secrets of each connection; nowhere, if nothing is said.
    pub key_log: Option<PathBuf>,
}

impl Lesson {
    /// A lesson without parts yet.
    pub fn new(number: u8, title: &'static str) -> Self {
        Self { number, title, parts: Vec::new(), server: None, key_log: false, options: Vec::new() }
    }

    /// Adds the next part: its name on the command line, one sentence about it, how many minutes a learner needs for it
    /// and its section of the chapter, and what it does.
    pub fn part<F>(mut self, name: &'static str, about: &'static str, minutes: u32, run: F) -> Self
    where
        F: for<'a> AsyncFn(&'a mut Transcript) -> anyhow::Result<()> + Copy + 'static,
    {
        let run: Run = Box::new(move |transcript| Box::pin(async move { run(transcript).await }));
        self.parts.push(Part { name, about, minutes, run });
        self
    }

    /// Adds an option of one part, `--NAME VALUE`, which the part reads with [`Transcript::option`].
    pub fn option(
        mut self,
        name: &'static str,
        value: &'static str,
        part: &'static str,
        about: &'static str,
    ) -> Self {
        self.options.push(PartOption { name, value, part, about });
        self
    }

    /// Adds `--serve`: a server that runs until Ctrl-C, to be looked at with other tools.
    pub fn server<F>(mut self, run: F) -> Self
    where
        F: AsyncFn(ServeOptions) -> anyhow::Result<()> + Copy + 'static,
    {
        self.server = Some(Box::new(move |options| Box::pin(async move { run(options).await })));
        self
    }

    /// The server of `--serve` can write its secrets to a file, with `--key-log FILE`.
    pub fn with_key_log(self) -> Self {
        Self { key_log: true, ..self }
    }

    /// Reads the command line, runs what it asks for and returns the process's exit code:
    /// 0 when every claim held, 1 when one did not or the output could not be written, 2
    /// when the command line is wrong.
    pub fn main(self) -> ExitCode {
        let arguments = self.command().get_matches();
        if arguments.get_flag("list") {
            return self.list();
        }
        if let Err(error) = check_clock() {
            return exit_code(self.number, Err(error));
        }
        if let Some(server) = self.server.as_ref().filter(|_| arguments.get_flag("serve")) {
            let port = arguments.get_one::<u16>("port").copied().unwrap_or(0);
            let key_log = match self.key_log {
                true => arguments.get_one::<PathBuf>("key-log").cloned(),
                false => None,
            };
            let options = ServeOptions { port, key_log };
            return match tokio::runtime::Runtime::new() {
                Ok(runtime) => exit_code(self.number, runtime.block_on(server(options))),
                Err(error) => exit_code(self.number, Err(error.into())),
            };
        }
        let wanted: Vec<&String> = arguments.get_many("part").unwrap_or_default().collect();
        let is_wanted = |&index: &usize| {
            let (name, number) = (self.parts[index].name, (index + 1).to_string());
            wanted.is_empty() || wanted.iter().any(|wanted| **wanted == name || **wanted == number)
        };
        let parts: Vec<usize> = (0..self.parts.len()).filter(is_wanted).collect();
        if arguments.get_flag("no-color") {
            anstream::ColorChoice::Never.write_global();
        }
        let mut transcript = match (arguments.get_flag("pause"), arguments.get_flag("predict")) {
            (true, _) => Transcript::paused(),
            (_, true) => Transcript::predicted(),
            _ => Transcript::to_stdout(),
        };
        if let Some(width) = arguments.get_one::<u16>("width") {
            transcript.set_width(usize::from(*width));
        }
        for option in &self.options {
            let Some(value) = arguments.get_one::<String>(option.name) else { continue };
            if parts.len() != 1 || self.parts[parts[0]].name != option.part {
                let (name, part) = (option.name, option.part);
                let line = format!("just lesson {} {part} --{name} {}", self.number, option.value);
                eprintln!("error: --{name} is for the part {part} alone: {line}");
                return ExitCode::from(2);
            }
            transcript.set_option(option.name, value);
        }
        self.run(&parts, transcript)
    }

    fn command(&self) -> Command {
        let names = self.parts.iter().enumerate();
        let names =
            names.map(|(index, part)| PossibleValue::new(part.name).alias((index + 1).to_string()));
        let parts: String = self.parts.iter().map(|part| self.list_line(part)).collect();
        let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
        let command = Command::new(format!("lesson-{}", self.number))
            .about(format!("Lesson {}: {}", self.number, self.title))
            .after_help(format!("Parts:\n{}", parts.trim_end()))
            .arg(
                Arg::new("part")
                    .value_name("PART")
                    .num_args(0..)
                    .help("Run these parts alone, by name or number (all of them if none is named)")
                    .hide_possible_values(true)
                    .value_parser(PossibleValuesParser::new(names)),
            )
            .arg(
                Arg::new("list")
                    .long("list")
                    .action(ArgAction::SetTrue)
                    .help("Name the parts, a line each"),
            )
            .arg(
                Arg::new("pause")
                    .long("pause")
                    .action(ArgAction::SetTrue)
                    .help("Wait for Enter before each step, when you present; b shows a step again"),
            )
            .arg(
                Arg::new("width")
                    .long("width")
                    .value_name("COLUMNS")
                    .value_parser(clap::value_parser!(u16).range(60..=200))
                    .help("Wrap prose there (80 if nothing is said): for a projector"),
            )
            .arg(flag("no-color").help("Print no color, as NO_COLOR=1 does"))
            .arg(
                Arg::new("predict")
                    .long("predict")
                    .action(ArgAction::SetTrue)
                    .conflicts_with("pause")
                    .help("Ask before each verdict what it will be, and count how often you are right"),
            );
        let command = self.options.iter().fold(command, |command, option| {
            command.arg(
                Arg::new(option.name)
                    .long(option.name)
                    .value_name(option.value)
                    .help(format!("With the part {}: {}", option.part, option.about)),
            )
        });
        if self.server.is_none() {
            return command;
        }
        let command = command
            .arg(
                flag("serve")
                    .conflicts_with_all(
                        ["part", "list", "pause", "predict"]
                            .into_iter()
                            .chain(self.options.iter().map(|option| option.name)),
                    )
                    .help("Run the lesson's server until Ctrl-C, and run no part"),
            )
            .arg(
                Arg::new("port")
                    .long("port")
                    .value_name("PORT")
                    .requires("serve")
                    .value_parser(clap::value_parser!(u16))
                    .help(
                        "With --serve: listen there (the system chooses a port if none is given)",
                    ),
            );
        if !self.key_log {
            return command;
        }
        command.arg(
            Arg::new("key-log")
                .long("key-log")
                .value_name("FILE")
                .requires("serve")
                .value_parser(clap::value_parser!(PathBuf))
                .help("With --serve: write each connection's secrets to this new file"),
        )
    }

    fn list_line(&self, part: &Part) -> String {
        let width = self.parts.iter().map(|part| part.name.len()).max().unwrap_or(0);
        format!("  {:width$}  {:2} min  {}\n", part.name, part.minutes, part.about)
    }

    fn list(&self) -> ExitCode {
        let parts: String = self.parts.iter().map(|part| self.list_line(part)).collect();
        let text = format!("Lesson {}: {}\n{parts}", self.number, self.title);
        exit_code(
            self.number,
            io::stdout().write_all(text.as_bytes()).map_err(|e| OutputFailed(e).into()),
        )
    }

    fn run(&self, parts: &[usize], mut transcript: Transcript) -> ExitCode {
        let runtime = match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => return exit_code(self.number, Err(error.into())),
        };
        let result = runtime.block_on(self.run_parts(parts, &mut transcript));
        exit_code(self.number, result)
    }

    async fn run_parts(&self, parts: &[usize], transcript: &mut Transcript) -> anyhow::Result<()> {
        if parts.len() == self.parts.len() {
            transcript.title(&format!("Lesson {}: {}", self.number, self.title));
        }
        for (position, &index) in parts.iter().enumerate() {
            let part = &self.parts[index];
            let left = parts[position..].iter().map(|&index| self.parts[index].minutes).sum();
            transcript.set_place(position + 1, parts.len(), left);
            transcript.begin_part(&format!("Part {}, {}: {}", index + 1, part.name, part.about));
            let outcome = tokio::time::timeout(PART_DEADLINE, (part.run)(transcript)).await;
            transcript.end_part()?;
            match outcome {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let place = format!("part {}, step {}", part.name, transcript.current_step());
                    return Err(error.context(place));
                }
                Err(_elapsed) => anyhow::bail!(
                    "part {}, step {}: not done after {} seconds, so it was stopped; run it again alone",
                    part.name,
                    transcript.current_step(),
                    PART_DEADLINE.as_secs()
                ),
            }
        }
        transcript.end(parts.len());
        transcript.end_part()
    }
}

/// Waits for Ctrl-C, or for SIGTERM, which a service manager sends.
///
/// # Errors
/// The system gives no such signal.
#[cfg(unix)]
pub async fn until_stopped() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminate.recv() => Ok(()),
    }
}

/// Waits for Ctrl-C.
///
/// # Errors
/// The system gives no such signal.
#[cfg(not(unix))]
pub async fn until_stopped() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}

/// Says what a server is, and how to look at it: complete lines, to be pasted into another terminal. Then waits until
/// it is to stop.
///
/// # Errors
/// See [`until_stopped`].
pub async fn serve_until_stopped(about: &str, lines: &[String]) -> io::Result<()> {
    let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    let text = format!("{about}, until Ctrl-C.\nLook at it with:\n{lines}");
    // Nobody may be reading; the server is up all the same.
    let mut stdout = io::stdout();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    until_stopped().await
}

/// A Python counterpart of a lesson, as its first words on a command line. `folder` is the lesson's
/// (`CARGO_MANIFEST_DIR`).
pub fn python(folder: &str, script: &str) -> String {
    let python = if cfg!(windows) { "python" } else { "python3" };
    let folder = std::path::Path::new(folder).join("python").join(script);
    format!("{python} \"{}\"", folder.display())
}

/// Reports an error on standard error. A reader that went away (`lesson-0 | head`) is
/// none.
fn exit_code(lesson: u8, result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if let Some(OutputFailed(cause)) = error.downcast_ref::<OutputFailed>()
        && cause.kind() == io::ErrorKind::BrokenPipe
    {
        return ExitCode::SUCCESS;
    }
    let text = ErrorChain(error.as_ref()).to_string();
    let separator = if io::stderr().is_terminal() { "\n" } else { "" };
    // Nothing is left to tell it to when standard error is closed, too.
    let _ = writeln!(io::stderr(), "{separator}error: lesson {lesson}: {text}");
    ExitCode::FAILURE
}
