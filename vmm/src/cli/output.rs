//! What is said where: results on standard output, everything else on standard error.
//!
//! Neither stream can fail a command: a reader that has gone is a reader that has seen enough.
//! Colour goes to terminals only, and not where `NO_COLOR` is set.

use super::exit::ExitCode;
use serde::Serialize;
use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use tracing_subscriber::EnvFilter;

/// Chooses what the log shows, such as `debug`; warnings where it is not set.
const LOG_VARIABLE: &str = "RAVELIN_LOG";

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const GREEN: &str = "\x1b[32m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// Sends log lines to standard error.
pub(crate) fn start_log() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("warn"));
    // Fails where a log has been started before, as in tests.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour(&io::stderr()))
        .without_time()
        .try_init();
}

/// Shows what clap has to say: help in full, an error in one line.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::Ok;
    }
    let text = error.to_string();
    let words = text
        .split("\n\n")
        .filter(|part| !part.starts_with("Usage:") && !part.starts_with("For more information"));
    let line = words.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    problem(&format!("{line}; `--help` shows what can be said"));
    ExitCode::Usage
}

/// Shows an error and its causes in one line.
pub(crate) fn failure(error: &dyn Error) {
    problem(&in_one_line(error));
}

/// An error and its causes.
pub(crate) fn in_one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line += ": ";
        line += &error.to_string();
        cause = error.source();
    }
    line
}

/// Shows a problem in one line.
pub(crate) fn problem(line: &str) {
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = super::foreign::printable(&line, 2000);
    let _ = match colour(&io::stderr()) {
        true => writeln!(io::stderr(), "{BOLD}{RED}error:{PLAIN} {line}"),
        false => writeln!(io::stderr(), "error: {line}"),
    };
}

/// Prints one JSON object on standard output.
pub(crate) fn json(object: &impl Serialize) {
    if let Ok(text) = serde_json::to_string_pretty(object) {
        let _ = writeln!(io::stdout(), "{text}");
    }
}

/// Prints a JSON object as one line of several on standard output; whether anybody reads on.
pub(crate) fn json_line(object: &impl Serialize) -> bool {
    serde_json::to_string(object).is_ok_and(line_of_many)
}

/// Prints a line of several on standard output; whether anybody reads on.
pub(crate) fn line_of_many(text: impl fmt::Display) -> bool {
    writeln!(io::stdout(), "{text}").is_ok()
}

/// Prints a line on standard output.
pub(crate) fn line(text: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// A word in a colour that says whether it is good, on terminals.
pub(crate) fn judged(word: &str, good: bool) -> String {
    match (colour(&io::stdout()), good) {
        (false, _) => word.into(),
        (true, true) => format!("{GREEN}{word}{PLAIN}"),
        (true, false) => format!("{RED}{word}{PLAIN}"),
    }
}

/// A heading, bold on terminals.
pub(crate) fn heading(text: &str) -> String {
    if colour(&io::stdout()) { format!("{BOLD}{text}{PLAIN}") } else { text.into() }
}

fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Lines of progress on standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    shown: bool,
}

impl Progress {
    /// Progress for the user.
    pub(crate) fn new() -> Self {
        Self { shown: true }
    }

    /// Progress for nobody.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self { shown: false }
    }

    /// A step, under a word that says which.
    pub(crate) fn say(self, word: &str, text: fmt::Arguments<'_>) {
        self.write(DIM, word, text);
    }

    /// Something that the user should not miss.
    pub(crate) fn warn(self, text: &str) {
        self.write(YELLOW, "warning", format_args!("{text}"));
    }

    fn write(self, paint: &str, word: &str, text: fmt::Arguments<'_>) {
        if !self.shown {
            return;
        }
        let _ = match colour(&io::stderr()) {
            true => writeln!(io::stderr(), "{paint}{word:>9}{PLAIN}  {text}"),
            false => writeln!(io::stderr(), "{word:>9}  {text}"),
        };
    }
}
