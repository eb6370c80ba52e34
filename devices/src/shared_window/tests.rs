use super::*;
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use vm_memory::{Bytes, GuestAddress};

pub(crate) const SIZE: u64 = 64 << 10;
/// Where the fake VMM takes windows.
pub(crate) const ROOM: Range<u64> = 1 << 32..1 << 36;

/// A VMM that takes windows in its room, and remembers where the guest finds them.
#[derive(Clone, Default)]
pub(crate) struct FakeSlot(Arc<Mutex<Option<Range<u64>>>>);

impl FakeSlot {
    pub(crate) fn mapped(&self) -> Option<Range<u64>> {
        self.0.lock().unwrap().clone()
    }
}

impl Slot for FakeSlot {
    fn map(&self, addresses: Range<u64>) -> Result<(), Refused> {
        let mut mapped = self.0.lock().unwrap();
        assert_eq!(*mapped, None, "mapped twice");
        if addresses.start < ROOM.start || addresses.end > ROOM.end {
            return Err(Refused);
        }
        *mapped = Some(addresses);
        Ok(())
    }

    fn unmap(&self) {
        assert!(self.0.lock().unwrap().take().is_some(), "not mapped");
    }
}

pub(crate) fn window(size: u64) -> (Arc<SharedWindow>, FakeSlot) {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), size as usize)]).unwrap();
    let slot = FakeSlot::default();
    (Arc::new(SharedWindow::new(memory, Box::new(slot.clone()))), slot)
}

#[test]
fn guest_and_device_find_the_window_at_the_same_place_or_nowhere() {
    let (window, slot) = window(SIZE);
    assert_eq!(window.addresses(), None);
    assert!(window.admit(0, 1).is_none());
    let last = ROOM.end - SIZE;
    for place in [Some(ROOM.start), Some(last), Some(last), None, Some(ROOM.start)] {
        window.follow(place);
        assert_eq!(window.addresses(), place.map(|start| start..start + SIZE));
        assert_eq!(slot.mapped(), window.addresses());
    }
    for beyond in [0, ROOM.start - 1, last + 1, u64::MAX - SIZE + 1, u64::MAX] {
        window.follow(Some(ROOM.start));
        window.follow(Some(beyond));
        assert_eq!((window.addresses(), slot.mapped()), (None, None), "{beyond:#x}");
        assert!(window.admit(beyond, 1).is_none() && window.admit(ROOM.start, 1).is_none());
    }
}

/// A page that the window has left may be anything; nothing of the device may land there, nor in the
/// window from there.
#[test]
fn a_window_moves_only_when_the_devices_accesses_are_over() {
    let (window, slot) = window(SIZE);
    let stop = AtomicBool::new(false);
    let admitted = AtomicU64::new(0);
    thread::scope(|scope| {
        let device = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                if let Some(_access) = window.admit(ROOM.start, 8) {
                    let mapped = slot.mapped();
                    thread::yield_now();
                    assert_eq!(mapped, slot.mapped(), "the window moved under an access");
                    admitted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        for _ in 0..100 {
            window.follow(Some(ROOM.start));
            let before = admitted.load(Ordering::Relaxed);
            while admitted.load(Ordering::Relaxed) == before && !device.is_finished() {
                thread::yield_now();
            }
            window.follow(None);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

proptest! {
    #[test]
    fn exactly_the_windows_bytes_are_admitted(
        place in ROOM.start..ROOM.end - SIZE,
        before in 0..2 * SIZE,
        length in 1..2 * SIZE,
    ) {
        let (window, _) = window(SIZE);
        window.follow(Some(place));
        let address = place - SIZE + before;
        let inside = address >= place && address + length <= place + SIZE;
        let admitted = window.admit(address, length);
        prop_assert_eq!(admitted.is_some(), inside);
        if let Some(Admitted { memory, offset, .. }) = admitted {
            prop_assert_eq!(offset, address - place);
            memory.write_obj(1u8, GuestAddress(offset + length - 1)).unwrap();
        }
    }
}
