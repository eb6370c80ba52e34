//! Standard input for the guest's console: letter by letter where it is a terminal.
//!
//! Ctrl-C stays with the launcher and ends the VM.

use super::Output;
use ravelin_devices::serial::SerialPort;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, Read};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How long to wait for the guest to take what it has been given.
const PAUSE: Duration = Duration::from_millis(2);

/// The terminal in the guest's hands; dropping it gives it back.
pub(super) struct Terminal {
    before: Option<Termios>,
}

impl Terminal {
    /// Begins to hand standard input to the port, until the process ends.
    pub(super) fn start(port: Arc<SerialPort<Output>>) -> io::Result<Self> {
        // Not a terminal: a pipe or a file is read as it is.
        let before = tcgetattr(io::stdin()).ok();
        if let Some(mut mode) = before.clone() {
            mode.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            tcsetattr(io::stdin(), OptionalActions::Now, &mode)?;
        }
        let terminal = Self { before };
        thread::Builder::new().name("stdin".into()).spawn(move || relay(&port))?;
        Ok(terminal)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that is gone needs no mode.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

fn relay(port: &SerialPort<Output>) {
    let mut input = [0; 64];
    while let Ok(length @ 1..) = io::stdin().read(&mut input) {
        let mut rest = input.get(..length).unwrap_or_default();
        while !rest.is_empty() {
            rest = rest.get(port.receive(rest)..).unwrap_or_default();
            if !rest.is_empty() {
                thread::sleep(PAUSE);
            }
        }
    }
}
