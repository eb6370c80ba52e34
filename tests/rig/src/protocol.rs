//! What host and machine say to each other.
//!
//! The host puts a [`Plan`] into the initramfs; the machine answers with one [`Event`] a line, as
//! JSON, on its second serial port. Nothing here runs or prints anything.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where the machine finds its plan.
pub(crate) const PLAN_PATH: &str = "rig/plan.json";

/// What the machine is to do, once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Kernel modules by absolute path, each behind those that it needs.
    pub(crate) modules: Vec<String>,
    /// What to run, in order. Without jobs the machine gives its console a shell.
    pub(crate) jobs: Vec<Job>,
}

/// One command to run in the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// For people, and unique in the plan.
    pub(crate) name: String,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// The working directory.
    pub(crate) directory: String,
    /// Added to the machine's environment.
    pub(crate) environment: Vec<(String, String)>,
    /// After this long the job and all that it started are killed.
    pub(crate) limit: Duration,
    /// Whether it may be run once more where the emulator has failed it.
    pub(crate) repeatable: bool,
}

/// Something that happened in the machine. Jobs are named by their place in the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// User space is up.
    Ready {
        /// The running kernel's release.
        kernel: String,
        /// Is there a `/dev/kvm`?
        kvm: bool,
    },
    /// Said once a second, so that silence means a frozen machine.
    Alive,
    /// Something that should not have happened and does not end the run, as a module that does
    /// not load.
    Complaint(String),
    /// A job was started.
    Started(usize),
    /// A line that a job wrote, without its end.
    Output(usize, Stream, String),
    /// A job has ended badly behind this, which only an emulator does: it is started once more, and
    /// what it has said does not count.
    Failed(usize, String),
    /// A job has ended.
    Ended(usize, Ending),
    /// Nothing more will come.
    Finished,
}

/// Where a job wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    /// By itself, with this code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// Killed, since its limit had passed.
    TimedOut,
    /// It could not be started at all.
    NotStarted(String),
}

impl Event {
    /// The line that carries the event, with its end.
    pub(crate) fn to_line(&self) -> String {
        let mut line = serde_json::to_string(self).unwrap_or_else(|error| {
            // Strings and numbers always have a JSON form.
            unreachable!("an event without a JSON form: {error}")
        });
        line.push('\n');
        line
    }

    /// The event in a line, or none if the line holds none: the port may carry noise of firmware.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        serde_json::from_str(line.trim()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_survives_the_wire_in_one_line() {
        let events = [
            Event::Ready { kernel: "6.1".into(), kvm: true },
            Event::Alive,
            Event::Output(3, Stream::Err, "two\nlines, \"quotes\" and \u{1b}[1m".into()),
            Event::Failed(3, "an exit".into()),
            Event::Ended(3, Ending::NotStarted("no such file".into())),
            Event::Finished,
        ];
        for event in events {
            let line = event.to_line();
            assert_eq!(line.find('\n'), Some(line.len() - 1));
            assert_eq!(Event::from_line(&line), Some(event));
        }
    }

    #[test]
    fn noise_on_the_port_is_no_event() {
        for noise in ["", "SeaBIOS (version 1.16.2)", "{\"ended\":[0]}", "\"alive\" \"alive\""] {
            assert_eq!(Event::from_line(noise), None);
        }
        assert_eq!(Event::from_line("\"alive\"\r\n"), Some(Event::Alive));
    }
}
