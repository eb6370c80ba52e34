//! Keeps a ring full: the one loop behind copies in, copies out and launches.
//!
//! Both ends work at the same time. Requests are submitted in bursts with one doorbell each (an
//! exit to the VMM); the first burst is a single one, so that the GPU begins at once, and each next
//! one is twice as long, up to a quarter of the ring. A full ring is refilled when a whole burst
//! fits. Responses are taken as they come, from shared memory alone.

use ravelin_gpu_abi::ring::Outcome;

use crate::bus::Bus;
use crate::clock::Clock;
use crate::memory::SharedMemory;
use crate::ring::{Request, Ring};
use crate::session::Lost;
use crate::watch::Watch;

/// A number of requests and where their answers go.
pub(crate) trait Work {
    /// Number of requests.
    fn count(&self) -> usize;
    /// The request of this place.
    fn request(&self, index: usize) -> Request<'_>;
    /// Where the bytes of its response go.
    fn answer(&mut self, index: usize) -> &mut [u8];
    /// Its response is authentic. `false`: submit nothing more, only take what is in flight.
    fn settle(&mut self, index: usize, outcome: Outcome) -> bool;
}

/// Runs all the work, or as much of it as goes well.
pub(crate) fn run(
    work: &mut impl Work,
    ring: &mut Ring,
    bus: &mut impl Bus,
    memory: &impl SharedMemory,
    clock: &impl Clock,
    mut watch: Watch,
) -> Result<(), Lost> {
    let longest_burst = (ring.entries() / 4).max(1);
    let mut count = work.count();
    let (mut submitted, mut settled, mut burst) = (0, 0, 1);
    while settled < count {
        let next = burst.min(count - submitted);
        if next > 0 && ring.free() >= next {
            for index in submitted..submitted + next {
                ring.submit(memory, &work.request(index))?;
            }
            ring.announce(bus);
            submitted += next;
            burst = (2 * burst).min(longest_burst);
        }
        // With room for another burst, take what is there and go on; else wait for the next.
        loop {
            match ring.poll(memory, work.answer(settled))? {
                Some(outcome) => {
                    watch.progress();
                    if !work.settle(settled, outcome) {
                        count = submitted;
                    }
                    settled += 1;
                    if settled == submitted {
                        break;
                    }
                }
                None if submitted < count && ring.free() >= burst.min(count - submitted) => break,
                None => watch.quiet(bus, clock)?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
