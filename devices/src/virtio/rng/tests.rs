use super::*;
use crate::virtio::harness::{BUFFERS, Guest, readable, writable};

#[test]
fn a_buffer_comes_back_full_of_bytes_that_differ() {
    let (guest, mut queues) = Guest::started(Rng, 0);
    for at in [BUFFERS, BUFFERS + 0x1000] {
        assert_eq!(guest.round_trip(&mut queues[0], &[writable(at, 256)]), 256);
    }
    let (first, second) = (guest.bytes(BUFFERS, 256), guest.bytes(BUFFERS + 0x1000, 256));
    assert_ne!(first, [0; 256]);
    assert_ne!(first, second);
    assert!(guest.interrupts(1) >= 1, "the driver was not interrupted");
}

#[test]
fn one_request_is_answered_with_no_more_than_a_page_and_none_is_an_answer() {
    let (guest, mut queues) = Guest::started(Rng, 0);
    let length = guest.round_trip(&mut queues[0], &[writable(BUFFERS, 1 << 20)]);
    assert_eq!(u64::from(length), MOST);
    assert_eq!(guest.round_trip(&mut queues[0], &[readable(BUFFERS, 16)]), 0);
    assert_eq!(guest.round_trip(&mut queues[0], &[writable(BUFFERS, 0)]), 0);
}
