//! The line to the launcher: the guest's second serial port, one JSON object a line.
//!
//! Everything that goes there becomes known to the host. A launcher that does not listen, or a port
//! that is not there, takes nothing from the agent's work: what is lost is the report.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use ravelin_report::{Event, MAX_LINE};
use rustix::termios::{OptionalActions, isatty, tcdrain, tcgetattr, tcsetattr};

/// The report port as Linux names it.
pub const PORT: &str = "/dev/ttyS1";

/// Where events go.
#[derive(Debug)]
pub struct Report(File);

impl Report {
    /// Opens a port, or a file.
    ///
    /// # Errors
    /// It cannot be written, or is no port that the kernel has found.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().write(true).open(path)?;
        if isatty(&file) {
            // Bytes as they are: a terminal would change newlines.
            let mut settings = tcgetattr(&file)?;
            settings.make_raw();
            tcsetattr(&file, OptionalActions::Now, &settings)?;
        }
        Ok(Self(file))
    }

    /// Sends an event. One that would be no line is left out: the launcher would not take it.
    pub fn send(&mut self, event: &Event) {
        if let Ok(mut line) = serde_json::to_vec(event)
            && line.len() < MAX_LINE
        {
            line.push(b'\n');
            let _ = self.0.write_all(&line);
        }
    }

    /// Waits until everything has gone out: a guest that powers off takes with it what has not.
    pub fn flush(&self) {
        if isatty(&self.0) {
            let _ = tcdrain(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_lines_and_one_that_is_too_long_is_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut report = Report::open(file.path()).unwrap();
        let ready = Event::Ready { guest: "linux".into() };
        report.send(&ready);
        report.send(&Event::GpuLost { index: 0, reason: "x".repeat(MAX_LINE) });
        report.send(&ready);
        report.flush();
        let text = std::fs::read_to_string(file.path()).unwrap();
        let events: Vec<Event> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events, [ready.clone(), ready]);
    }
}
