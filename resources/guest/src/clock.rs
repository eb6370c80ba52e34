//! Time from the time-stamp counter, which the VMM tells the frequency of.

use core::arch::x86_64::_rdtsc;
use ravelin_driver::clock::Clock;

/// A clock that counts from its creation.
#[derive(Clone, Copy, Debug)]
pub struct TscClock {
    start: u64,
    khz: u64,
}

impl TscClock {
    /// A clock for a counter of this frequency.
    pub fn new(khz: u64) -> Self {
        Self { start: ticks(), khz: khz.max(1) }
    }
}

impl Clock for TscClock {
    fn now_us(&self) -> u64 {
        let ticks = u128::from(ticks().wrapping_sub(self.start));
        // 2^64 microseconds are half a million years.
        (ticks * 1000 / u128::from(self.khz)) as u64
    }
}

#[allow(unsafe_code)]
fn ticks() -> u64 {
    // SAFETY: every 64-bit processor has it, and nobody has set CR4.TSD.
    unsafe { _rdtsc() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_at_the_given_rate() {
        let start = ticks();
        let (slow, fast) = (TscClock { start, khz: 1000 }, TscClock { start, khz: 4000 });
        let (before, quarter, after) = (slow.now_us(), fast.now_us(), slow.now_us());
        assert!(before / 4 <= quarter && quarter <= after / 4, "{before} {quarter} {after}");
    }
}
