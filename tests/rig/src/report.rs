//! What a person sees: one line a step and a job, a spinner on a terminal, the end of a failed
//! job's output, and the count at the end.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use console::style;
use indicatif::{ProgressBar, ProgressStyle};

use crate::libtest::Tally;
use crate::protocol::Stream;
use crate::run::record::{JobRecord, Record};

/// How many lines of a failed job are shown.
const SHOWN: usize = 40;

/// The spinner on standard error, and the lines above it. Without a terminal only the lines.
pub(crate) struct Report {
    bar: ProgressBar,
    started: Instant,
}

impl Report {
    /// Begins a suite.
    pub(crate) fn new(suite: &str) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(look) = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg}") {
            bar.set_style(look);
        }
        bar.set_prefix(style(suite.to_owned()).bold().to_string());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, started: Instant::now() }
    }

    /// Something has begun that may take a while.
    pub(crate) fn step(&self, what: &str) {
        if self.bar.is_hidden() {
            eprintln!("rig: {what}");
        } else {
            self.bar.set_message(what.to_owned());
        }
    }

    /// Lets another program write on the terminal.
    pub(crate) fn aside<T>(&self, action: impl FnOnce() -> T) -> T {
        self.bar.suspend(action)
    }

    /// What the running job says, for the spinner only.
    pub(crate) fn running(&self, record: &Record) {
        if let Some((index, job)) = record.running() {
            let last = job.output.last().map_or("", |(_, line)| line.as_str());
            let (at, of) = (index + 1, record.jobs.len());
            self.bar.set_message(format!("{at}/{of} {}  {}", job.name, style(last).dim()));
        }
    }

    /// A warning, which stays.
    pub(crate) fn warn(&self, what: &str) {
        self.line(&format!("{} {what}", style("rig:").yellow()));
    }

    /// A job has ended.
    pub(crate) fn job(&self, job: &JobRecord) {
        let tally = job.tally();
        let took = job.ended.as_ref().map_or(0.0, |(_, took)| took.as_secs_f64());
        let mark = match tally {
            Tally { failed: 1.., .. } => style("FAIL").red().bold(),
            Tally { passed: 0, skipped: 1.., .. } => style("skip").yellow(),
            _ => style("  ok").green(),
        };
        let mut counts = format!("{} passed", tally.passed);
        if tally.failed > 0 {
            counts = format!("{counts}, {} failed", tally.failed);
        }
        if tally.skipped > 0 {
            counts = format!("{counts}, {} skipped", tally.skipped);
        }
        self.line(&format!(
            "{mark}  {}  {counts}  {}",
            job.name,
            style(format!("{took:.1} s")).dim()
        ));
        for line in job.result() {
            self.line(&format!("      {line}"));
        }
        if let Some(trouble) = job.trouble() {
            let tail = job.output.len().saturating_sub(SHOWN);
            for (_, line) in &job.output[tail..] {
                self.line(&format!("      {line}"));
            }
            self.line(&format!("      {}", style(trouble).red()));
        }
    }

    /// All is said.
    pub(crate) fn end(self) -> Duration {
        self.bar.finish_and_clear();
        self.started.elapsed()
    }

    fn line(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }
}

/// The last line: what programs that read logs look for.
pub(crate) fn last_line(tally: Tally) -> String {
    format!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped)
}

/// Writes each job's output beside the console's log.
pub(crate) fn keep(record: &Record, directory: &Path) -> io::Result<()> {
    for job in &record.jobs {
        let mut text = String::new();
        for (stream, line) in job.first_try.iter().chain(&job.output) {
            let mark = match stream {
                Stream::Out => ' ',
                Stream::Err => '!',
            };
            text.push_str(&format!("{mark} {line}\n"));
        }
        text.push_str(&format!("= {:?}\n", job.ended));
        fs::write(directory.join(format!("{}.log", file_name(&job.name))), text)?;
    }
    Ok(())
}

fn file_name(job: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    job.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_what_readers_of_logs_look_for() {
        let tally = Tally { passed: 12, failed: 1, skipped: 0 };
        assert_eq!(last_line(tally), "12 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn a_jobs_log_has_a_name_that_any_file_system_takes() {
        assert_eq!(file_name("ravelin::vm"), "ravelin--vm");
        assert_eq!(file_name("the main job, platform ../x"), "the-main-job--platform-..-x");
    }
}
