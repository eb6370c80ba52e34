use super::*;
use proptest::prelude::*;
use std::sync::Mutex;

/// Answers with its own mark and remembers what was written.
struct Marked(u8, Mutex<Vec<(u64, Vec<u8>)>>);

impl Marked {
    fn new(mark: u8) -> Arc<Self> {
        Arc::new(Self(mark, Mutex::default()))
    }
}

impl BusDevice for Marked {
    fn read(&self, _: u64, data: &mut [u8]) {
        data.fill(self.0);
    }
    fn write(&self, offset: u64, data: &[u8]) {
        self.1.lock().unwrap().push((offset, data.to_vec()));
    }
}

#[test]
fn what_nobody_claims_reads_all_ones_and_swallows_writes() {
    let bus = PioBus::new();
    let mut data = [0; 4];
    bus.read(0x80, &mut data);
    bus.write(0x80, &data);
    assert_eq!(data, [0xff; 4]);
}

#[test]
fn an_access_that_straddles_a_device_reaches_no_one() {
    let bus = MmioBus::new();
    let (low, high) = (Marked::new(1), Marked::new(2));
    bus.insert(0x1000, 0x10, low.clone()).unwrap();
    bus.insert(0x1010, 0x10, high.clone()).unwrap();
    let mut data = [0; 8];
    for (address, mark) in [(0x0ffc, 0xff), (0x1008, 1), (0x100c, 0xff), (0x1018, 2)] {
        bus.read(address, &mut data);
        assert_eq!(data, [mark; 8], "{address:#x}");
    }
    bus.write(0x100c, &data);
    assert!(low.1.lock().unwrap().is_empty() && high.1.lock().unwrap().is_empty());
    bus.write(0x1011, &[7]);
    assert_eq!(*high.1.lock().unwrap(), [(1, vec![7])]);
}

#[test]
fn ranges_that_overlap_or_leave_the_bus_are_refused() {
    let bus = PioBus::new();
    bus.insert(0x3f8, 8, Marked::new(1)).unwrap();
    for (start, length) in [(0x3f8, 8), (0x3f0, 9), (0x3ff, 1), (0, 0x1_0000)] {
        assert_eq!(
            bus.insert(start, length, Marked::new(2)),
            Err(Error::Overlap(start, start + length - 1, 0x3f8))
        );
    }
    for (start, length) in [(0, 0), (0xffff, 2), (0x1_0000, 1), (u64::MAX, u64::MAX)] {
        assert_eq!(bus.insert(start, length, Marked::new(2)), Err(Error::BadRange(start, length)));
    }
    bus.insert(0xffff, 1, Marked::new(3)).unwrap();
    MmioBus::new().insert(0, u64::MAX, Marked::new(4)).unwrap();
}

proptest! {
    #[test]
    fn no_access_panics_and_only_whole_ones_arrive(
        start in any::<u64>(), length in 1..=u64::MAX, address in any::<u64>(), size in 0usize..16,
    ) {
        let bus = MmioBus::new();
        let fits = bus.insert(start, length, Marked::new(1)).is_ok();
        let mut data = vec![0; size];
        bus.read(address, &mut data);
        let inside = fits && address >= start
            && u128::from(address) + size as u128 <= u128::from(start) + u128::from(length);
        prop_assert_eq!(data, vec![if inside { 1 } else { 0xff }; size]);
        bus.write(address, &[0; 4]);
    }
}
