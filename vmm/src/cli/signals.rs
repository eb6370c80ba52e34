//! Ctrl-C, SIGTERM and SIGHUP end the guest; a second one ends the process on the spot.

use super::exit::ExitCode;
use crate::vm::Stopper;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::emulate_default_handler;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::{self, JoinHandle};

/// Listens to signals until it is dropped.
pub(super) struct SignalWatch {
    seen: Arc<AtomicI32>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl SignalWatch {
    /// Stops the guest on the first signal.
    pub(super) fn start(stopper: Stopper) -> io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let handle = signals.handle();
        let seen = Arc::new(AtomicI32::new(0));
        let mark = seen.clone();
        let watch = move || {
            for signal in signals.forever() {
                if mark.swap(signal, Ordering::SeqCst) == 0 {
                    stopper.stop();
                } else if let Err(error) = emulate_default_handler(signal) {
                    tracing::warn!(%error, signal, "signal ignored");
                }
            }
        };
        let thread = thread::Builder::new().name("signals".into()).spawn(watch)?;
        Ok(Self { seen, handle, thread: Some(thread) })
    }

    /// The exit code of the signal that came, if one did.
    pub(super) fn exit_code(&self) -> Option<ExitCode> {
        match self.seen.load(Ordering::SeqCst) {
            0 => None,
            SIGINT => Some(ExitCode::Interrupted),
            _ => Some(ExitCode::Terminated),
        }
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // A panic of its own has been reported already.
            let _ = thread.join();
        }
    }
}
