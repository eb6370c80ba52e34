//! Boots a machine and follows what it says until it ends, dies or freezes. What the events mean
//! is the business of [`record`]; showing them is the caller's.

pub(crate) mod record;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::protocol::Event;

/// A machine that has said nothing for this long is frozen: it says that it is alive once a
/// second, and boots in a few seconds even on a busy host.
pub(crate) const SILENCE: Duration = Duration::from_secs(90);

/// How long a machine may take to power off.
const POWER_OFF: Duration = Duration::from_secs(30);

/// Why a machine could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// QEMU does not start.
    #[error("cannot start QEMU")]
    Start(#[source] io::Error),
    /// Its log cannot be written.
    #[error("cannot write {path}")]
    Log {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How a machine's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It did all of its plan.
    Finished,
    /// It ended before it had: its kernel panicked, or QEMU died.
    Died,
    /// It fell silent.
    Frozen,
}

/// Runs the command and hands over each event as it comes. A command that says nothing for
/// `silence` is killed.
pub(crate) fn follow(
    command: &[OsString],
    log: &Path,
    silence: Duration,
    mut on_event: impl FnMut(Event),
) -> Result<End, Error> {
    let mut machine = Running::start(command, log)?;
    loop {
        match machine.events.recv_timeout(silence) {
            Ok(Event::Finished) => {
                machine.wait(POWER_OFF);
                return Ok(End::Finished);
            }
            Ok(event) => on_event(event),
            Err(RecvTimeoutError::Timeout) => return Ok(End::Frozen),
            Err(RecvTimeoutError::Disconnected) => return Ok(End::Died),
        }
    }
}

/// A running QEMU; killed when dropped.
struct Running {
    process: Child,
    events: Receiver<Event>,
}

impl Running {
    fn start(command: &[OsString], log: &Path) -> Result<Self, Error> {
        let said = |source| Error::Log { path: log.to_owned(), source };
        let log = File::create(log).map_err(said)?;
        let (program, arguments) = command.split_first().ok_or_else(|| {
            Error::Start(io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"))
        })?;
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(Error::Start)?;
        let (sender, events) = mpsc::channel();
        if let Some(output) = process.stdout.take() {
            thread::spawn(move || read(output, &sender));
        }
        Ok(Self { process, events })
    }

    fn wait(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(output: ChildStdout, events: &Sender<Event>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        if let Some(event) = Event::from_line(&String::from_utf8_lossy(&line))
            && events.send(event).is_err()
        {
            return;
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows a shell script in place of a machine.
    fn follow_script(script: &str) -> (End, Vec<Event>) {
        let directory = tempfile::tempdir().unwrap();
        let command = ["sh", "-c", script].map(OsString::from);
        let (silence, mut events) = (Duration::from_millis(500), Vec::new());
        let end =
            follow(&command, &directory.path().join("log"), silence, |event| events.push(event));
        (end.unwrap(), events)
    }

    #[test]
    fn a_machine_that_does_its_plan_has_finished() {
        let (end, events) = follow_script("echo noise; echo '\"alive\"'; echo '\"finished\"'");
        assert_eq!((end, events), (End::Finished, vec![Event::Alive]));
    }

    #[test]
    fn a_machine_that_ends_before_its_plan_has_died_even_with_exit_code_0() {
        assert_eq!(follow_script("echo '\"alive\"'").0, End::Died);
    }

    #[test]
    fn a_silent_machine_is_frozen_and_killed() {
        let begin = Instant::now();
        let (end, events) = follow_script("echo '\"alive\"'; exec sleep 600");
        assert_eq!((end, events.len()), (End::Frozen, 1));
        assert!(begin.elapsed() < Duration::from_secs(60), "nobody killed it");
    }

    #[test]
    fn a_machine_that_goes_on_talking_is_not_frozen() {
        let script =
            "for i in 1 2 3 4 5 6; do echo '\"alive\"'; sleep 0.2; done; echo '\"finished\"'";
        assert_eq!(follow_script(script).0, End::Finished);
    }
}
