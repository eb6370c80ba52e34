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
const SILENCE: Duration = Duration::from_secs(90);

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

/// Runs the command and hands over each event as it comes.
pub(crate) fn follow(
    command: &[OsString],
    log: &Path,
    mut on_event: impl FnMut(Event),
) -> Result<End, Error> {
    let mut machine = Running::start(command, log)?;
    loop {
        match machine.events.recv_timeout(SILENCE) {
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
