//! Running one job: its output goes to the host line by line, and when its limit has passed it and
//! all that it started are killed.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::SEARCH_PATH;
use super::port::Port;
use crate::protocol::{Ending, Event, Job, Stream};

/// How often a running job is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Runs a job to its end.
pub(super) fn run(index: usize, job: &Job, port: &Arc<Port>) -> Ending {
    let mut child = match start(job) {
        Ok(child) => child,
        Err(error) => return Ending::NotStarted(error.to_string()),
    };
    let readers = [
        child.stdout.take().map(|out| relay(index, Stream::Out, out, port)),
        child.stderr.take().map(|err| relay(index, Stream::Err, err, port)),
    ];
    let ending = wait(&mut child, job.limit);
    // What it left running holds its pipes and its devices.
    kill_group(&child);
    for reader in readers.into_iter().flatten() {
        let _ = reader.join();
    }
    ending
}

fn start(job: &Job) -> io::Result<Child> {
    let Some((program, arguments)) = job.command.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"));
    };
    Command::new(program)
        .args(arguments)
        .current_dir(&job.directory)
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .env("HOME", "/root")
        .envs(job.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

fn wait(child: &mut Child, limit: Duration) -> Ending {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return ending(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) => {
                kill_group(child);
                let _ = child.wait();
                return Ending::TimedOut;
            }
            Err(error) => return Ending::NotStarted(format!("cannot be waited for: {error}")),
        }
    }
}

fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exit(code),
        (None, signal) => Ending::Signal(signal.unwrap_or_default()),
    }
}

fn kill_group(child: &Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn relay(
    index: usize,
    stream: Stream,
    from: impl Read + Send + 'static,
    port: &Arc<Port>,
) -> JoinHandle<()> {
    let port = Arc::clone(port);
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            port.say(&Event::Output(index, stream, text.to_owned()));
            line.clear();
        }
    })
}
