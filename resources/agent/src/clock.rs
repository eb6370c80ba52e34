//! Time, from the kernel's monotonic clock.

use std::time::Instant;

use ravelin_driver::Clock;

/// Microseconds since it was made.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic(Instant);

impl Monotonic {
    /// A clock that begins now.
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for Monotonic {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for Monotonic {
    fn now_us(&self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }

    /// Other programs of the guest may want the processor.
    fn relax(&self) {
        std::thread::yield_now();
    }
}
