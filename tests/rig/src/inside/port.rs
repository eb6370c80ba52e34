//! The machine's line to the host: a serial port that carries one event a line.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};

use crate::protocol::Event;

/// The open port. Any thread may speak; a line is never mixed with another.
pub(super) struct Port(Mutex<File>);

impl Port {
    /// Opens the port, so that what is written reaches the host as it is.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let port = File::options().read(true).write(true).open(path)?;
        let mut mode = tcgetattr(&port)?;
        mode.make_raw();
        tcsetattr(&port, OptionalActions::Now, &mode)?;
        Ok(Self(Mutex::new(port)))
    }

    /// Tells the host. A host that does not listen any more has ended the run: nobody is left who
    /// could be told.
    pub(super) fn say(&self, event: &Event) {
        let mut port = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = port.write_all(event.to_line().as_bytes());
    }

    /// Waits until all that was said has left the machine.
    pub(super) fn drain(&self) {
        let port = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = tcdrain(&*port);
    }
}

/// Says [`Event::Alive`] once a second until it is dropped.
pub(super) struct Heartbeat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    pub(super) fn start(port: &Arc<Port>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let port = Arc::clone(port);
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                port.say(&Event::Alive);
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
