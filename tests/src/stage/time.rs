//! Time, from the machine's own clock.

use std::time::Instant;

use ravelin_driver::Clock;

/// Microseconds since it was made. Waiting gives the processor away: there may be few.
pub struct Monotonic(Instant);

impl Monotonic {
    /// A clock that begins now.
    pub fn new() -> Monotonic {
        Monotonic(Instant::now())
    }
}

impl Default for Monotonic {
    fn default() -> Self {
        Monotonic::new()
    }
}

impl Clock for Monotonic {
    fn now_us(&self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }

    fn relax(&self) {
        std::thread::yield_now();
    }
}
