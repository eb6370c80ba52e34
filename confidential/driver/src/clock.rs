//! The room `clock`: time that passes, for timeouts and pauses. No calendar.

/// A monotonic clock.
pub trait Clock {
    /// Microseconds since some moment. Must be cheap: it is asked in every waiting loop.
    fn now_us(&self) -> u64;

    /// Called in every turn of a waiting loop.
    fn relax(&self) {
        core::hint::spin_loop();
    }
}
