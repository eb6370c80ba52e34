//! One boot: from `exec` to the first line of user space, and the VMM's memory at that moment.

use crate::smaps;
use crate::vmm::Vmm;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Least words: the console, and nothing that only one of the machines has.
const WORDS: &str = "console=ttyS0 panic=-1 quiet random.trust_cpu=on";
/// A guest that says nothing for so long never will.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot write an initramfs: {0}")]
    Place(#[source] io::Error),
    #[error("cannot pack an initramfs: {0}")]
    Initramfs(#[from] ravelin_initramfs::Error),
    #[error("{0} does not start: {1}")]
    Start(Vmm, #[source] io::Error),
    #[error("{0} did not come to user space: {1}")]
    NoUserSpace(Vmm, String),
    #[error("the memory of {0} cannot be read: {1}")]
    Memory(Vmm, #[source] io::Error),
}

/// What is booted.
pub(crate) struct Boot<'a> {
    pub(crate) kernel: &'a Path,
    pub(crate) initrd: &'a Path,
    pub(crate) memory_mib: u64,
    /// For files of the VMM's.
    pub(crate) directory: &'a Path,
    /// What user space says first.
    pub(crate) first_line: &'static str,
}

/// What one boot showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) time: Duration,
    /// Resident memory beyond guest memory.
    pub(crate) resident_kib: u64,
}

impl Boot<'_> {
    /// Boots once and ends the VMM.
    pub(crate) fn run(&self, vmm: Vmm) -> Result<Sample, Error> {
        let command = vmm.command(self.kernel, self.initrd, self.memory_mib, WORDS);
        let Some((program, arguments)) = command.split_first() else {
            return Err(Error::Start(vmm, io::ErrorKind::InvalidInput.into()));
        };
        let begin = Instant::now();
        let child = Command::new(program)
            .args(arguments)
            .env("RAVELIN_RUNTIME_DIR", self.directory.join("run"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut running = Running(child.map_err(|error| Error::Start(vmm, error))?);
        let time = self.wait_for_user_space(&mut running.0, vmm)?.duration_since(begin);
        let guest_kib = self.memory_mib << 10;
        let resident_kib = smaps::beyond_guest_memory(running.0.id(), guest_kib)
            .map_err(|error| Error::Memory(vmm, error))?;
        Ok(Sample { time, resident_kib })
    }

    /// When the line came.
    fn wait_for_user_space(&self, child: &mut Child, vmm: Vmm) -> Result<Instant, Error> {
        let Some(output) = child.stdout.take() else {
            return Err(Error::Start(vmm, io::ErrorKind::BrokenPipe.into()));
        };
        let (lines, heard) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if lines.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        let (begin, mut last) = (Instant::now(), String::new());
        loop {
            match heard.recv_timeout(PATIENCE.saturating_sub(begin.elapsed())) {
                Ok((moment, line)) if line.contains(self.first_line) => return Ok(moment),
                Ok((_, line)) => last = line,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Error::NoUserSpace(vmm, format!("it last said {last:?}")));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::NoUserSpace(vmm, format!("it ended after {last:?}")));
                }
            }
        }
    }
}

/// A VMM that does not outlive its measurement.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
