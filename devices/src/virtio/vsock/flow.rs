//! What one stream's two ends owe each other: credit (Virtio 1.3, section 5.10.6.3) and who may still
//! send.
//!
//! Counters run modulo 2^32 on both sides, and the guest's are whatever it says.

use super::packet::{Header, NO_RECEIVE, NO_SEND};

/// Bytes of the guest's data that a stream holds until its host end takes them.
pub(super) const BUFFER: u32 = 256 << 10;

/// The state of one stream's flow.
#[derive(Debug)]
pub(super) struct Flow {
    /// Bytes that have come from the guest.
    received: u32,
    /// Of those, bytes that the host end has taken.
    forwarded: u32,
    /// What of that the guest knows.
    told: u32,
    /// Bytes that have gone to the guest.
    sent: u32,
    /// What the guest has said of its own buffer.
    peer_alloc: u32,
    peer_forwarded: u32,
    /// The guest sends no more, and wants no more.
    pub(super) guest_sends: bool,
    pub(super) guest_receives: bool,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self {
            received: 0,
            forwarded: 0,
            told: 0,
            sent: 0,
            peer_alloc: 0,
            peer_forwarded: 0,
            guest_sends: true,
            guest_receives: true,
        }
    }

    /// Learns from a packet of the guest's; every one carries its credit.
    pub(super) fn learn(&mut self, header: &Header) {
        self.peer_alloc = header.buf_alloc;
        self.peer_forwarded = header.fwd_cnt;
    }

    /// Learns which ways the guest has shut.
    pub(super) fn shut(&mut self, flags: u32) {
        self.guest_receives &= flags & NO_RECEIVE == 0;
        self.guest_sends &= flags & NO_SEND == 0;
    }

    /// Bytes that the guest takes now.
    pub(super) fn credit(&self) -> u32 {
        let underway = self.sent.wrapping_sub(self.peer_forwarded);
        if self.guest_receives { self.peer_alloc.saturating_sub(underway) } else { 0 }
    }

    /// So many bytes go to the guest.
    pub(super) fn send(&mut self, bytes: u32) {
        self.sent = self.sent.wrapping_add(bytes);
    }

    /// So many bytes have come from the guest; false where it had no credit for them.
    pub(super) fn receive(&mut self, bytes: u32) -> bool {
        let held = self.received.wrapping_sub(self.forwarded);
        // Never more than BUFFER is held, so this does not wrap.
        let allowed = self.guest_sends && bytes <= BUFFER - held.min(BUFFER);
        if allowed {
            self.received = self.received.wrapping_add(bytes);
        }
        allowed
    }

    /// The host end has taken so many of the guest's bytes.
    pub(super) fn forward(&mut self, bytes: u32) {
        self.forwarded = self.forwarded.wrapping_add(bytes);
    }

    /// Whether the guest should hear of the room that it has again: it believes less than half.
    pub(super) fn update_due(&self) -> bool {
        self.forwarded.wrapping_sub(self.told) >= BUFFER / 2
    }

    /// Puts our credit into a packet for the guest.
    pub(super) fn tell(&mut self, header: &mut Header) {
        self.told = self.forwarded;
        header.buf_alloc = BUFFER;
        header.fwd_cnt = self.forwarded;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_guest_that_sends_more_than_it_may_is_found_out() {
        let mut flow = Flow::new();
        assert!(flow.receive(BUFFER));
        assert!(!flow.receive(1));
        flow.forward(10);
        assert!(!flow.receive(11));
        assert!(flow.receive(10));
        flow.shut(NO_SEND);
        flow.forward(10);
        assert!(!flow.receive(1));
    }

    #[test]
    fn counters_that_wrap_or_lie_give_no_credit_that_is_not_there() {
        let mut flow = Flow::new();
        flow.sent = u32::MAX - 5;
        flow.learn(&Header { buf_alloc: 100, fwd_cnt: u32::MAX - 15, ..Header::default() });
        assert_eq!(flow.credit(), 90);
        flow.send(20);
        assert_eq!(flow.credit(), 70);
        // More forwarded than was ever sent.
        flow.learn(&Header { buf_alloc: 100, fwd_cnt: 1000, ..Header::default() });
        assert_eq!(flow.credit(), 0);
    }

    proptest! {
        /// Whatever comes, no more than the buffer is ever held.
        #[test]
        fn the_buffer_is_the_bound(
            steps in prop::collection::vec((any::<bool>(), any::<u32>()), 0..64)
        ) {
            let (mut flow, mut held) = (Flow::new(), 0u64);
            for (receive, bytes) in steps {
                if receive {
                    let fits = held + u64::from(bytes) <= u64::from(BUFFER);
                    prop_assert_eq!(flow.receive(bytes), fits);
                    held += if fits { u64::from(bytes) } else { 0 };
                } else {
                    let bytes = u64::from(bytes).min(held);
                    flow.forward(bytes as u32);
                    held -= bytes;
                }
            }
        }
    }
}
