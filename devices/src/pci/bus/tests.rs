use super::super::config::{COMMAND, COMMAND_MEMORY, VENDOR_ID};
use super::*;
use proptest::prelude::*;

const APERTURE: Range<u64> = 0x10_0000_0000..0x20_0000_0000;

/// A function whose BARs read their own number and the offset.
struct Echo(Mutex<ConfigSpace>);

impl Echo {
    fn new(sizes: [u64; 3]) -> Arc<Self> {
        let identity = Identity { vendor: 0x1234, device: 1, class: 0, revision: 0 };
        let mut space = ConfigSpace::new(identity);
        for (index, size) in [0, 2, 4].into_iter().zip(sizes) {
            space.add_bar(Bar { index, size }, false).unwrap();
        }
        Arc::new(Self(Mutex::new(space)))
    }
}

impl Function for Echo {
    fn read_config(&self, offset: u16, data: &mut [u8]) {
        self.0.lock().unwrap().read(offset, data);
    }
    fn write_config(&self, offset: u16, data: &[u8]) {
        self.0.lock().unwrap().write(offset, data);
    }
    fn bars(&self) -> Vec<Bar> {
        self.0.lock().unwrap().bars().to_vec()
    }
    fn place_bar(&self, index: u8, address: u64) {
        let mut space = self.0.lock().unwrap();
        space.place_bar(index, address);
        space.write(COMMAND, &COMMAND_MEMORY.to_le_bytes());
    }
    fn bar_range(&self, index: u8) -> Option<Range<u64>> {
        self.0.lock().unwrap().bar_range(index)
    }
    fn read_bar(&self, index: u8, offset: u64, data: &mut [u8]) {
        data.fill(index ^ offset as u8);
    }
    fn write_bar(&self, _: u8, _: u64, _: &[u8]) {}
}

fn read<const N: usize>(device: &impl BusDevice, offset: u64) -> [u8; N] {
    let mut data = [0; N];
    device.read(offset, &mut data);
    data
}

#[test]
fn a_scan_finds_the_host_bridge_and_the_functions_and_nothing_else() {
    let bus = PciBus::new(APERTURE);
    assert_eq!(bus.add(Echo::new([4096; 3])), Ok(1));
    assert_eq!(bus.add(Echo::new([4096; 3])), Ok(2));
    let ecam = Ecam(bus);
    let found: Vec<u64> =
        (0..256).filter(|number| read::<2>(&ecam, number << 12) != [0xff; 2]).collect();
    assert_eq!(found, [0, 1 << 3, 2 << 3]);
    assert_eq!(read::<4>(&ecam, 8), [0, 0, 0, 6], "no host bridge");
}

#[test]
fn configuration_accesses_of_odd_shapes_reach_no_function() {
    let bus = PciBus::new(APERTURE);
    bus.add(Echo::new([4096; 3])).unwrap();
    let ecam = Ecam(bus);
    let function = 1 << 15;
    assert_eq!(read::<8>(&ecam, function), [0xff; 8]);
    assert_eq!(read::<3>(&ecam, function), [0xff; 3]);
    assert_eq!(read::<2>(&ecam, function + 3), [0xff; 2]);
    assert_eq!(read::<4>(&ecam, function + 2), [0xff; 4]);
    assert_eq!(read::<2>(&ecam, function + u64::from(VENDOR_ID)), [0x34, 0x12]);
    ecam.write(function + u64::from(COMMAND), &[0; 8]);
    assert_eq!(read::<1>(&ecam, function + u64::from(COMMAND)), [2], "an 8-byte write landed");
}

#[test]
fn bars_are_placed_aligned_and_apart() {
    let bus = PciBus::new(APERTURE);
    let mut ranges = Vec::new();
    for sizes in [[64 << 10, 256 << 20, 8 << 10], [128, 1 << 30, 4096], [1 << 12; 3]] {
        let function = Echo::new(sizes);
        bus.add(function.clone()).unwrap();
        for (index, size) in [0, 2, 4].into_iter().zip(sizes) {
            let range = function.bar_range(index).unwrap();
            assert_eq!((range.end - range.start, range.start % size), (size, 0));
            assert!(APERTURE.start <= range.start && range.end <= APERTURE.end);
            ranges.push(range);
        }
    }
    ranges.sort_by_key(|range| range.start);
    assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "{ranges:x?}");
}

#[test]
fn a_bar_answers_where_the_guest_moves_it() {
    let bus = PciBus::new(APERTURE);
    let function = Echo::new([4096; 3]);
    bus.add(function.clone()).unwrap();
    let (ecam, aperture) = (Ecam(bus.clone()), Aperture(bus));
    let old = function.bar_range(2).unwrap().start - APERTURE.start;
    assert_eq!(read::<1>(&aperture, old + 1), [3]);
    assert_eq!(read::<2>(&aperture, old + 4095), [0xff; 2], "an access past the BAR's end");
    let new = APERTURE.start + 0x5000_0000;
    for (half, value) in [(0, new as u32), (4, (new >> 32) as u32)] {
        ecam.write((1 << 15) + 0x18 + half, &value.to_le_bytes());
    }
    assert_eq!(read::<1>(&aperture, old + 1), [0xff]);
    assert_eq!(read::<1>(&aperture, 0x5000_0001), [3]);
}

#[test]
fn a_full_bus_and_a_full_aperture_refuse() {
    let bus = PciBus::new(APERTURE);
    assert_eq!(bus.add(Echo::new([4096, 1 << 40, 4096])), Err(Error::NoRoom(1 << 40)));
    for number in 1..DEVICES {
        assert_eq!(bus.add(Echo::new([4096; 3])), Ok(number as u8));
    }
    assert_eq!(bus.add(Echo::new([4096; 3])), Err(Error::Full));
}

proptest! {
    #[test]
    fn no_access_panics_wherever_the_guest_moves_bars(
        accesses in prop::collection::vec((
            prop_oneof![0u64..0x2000, 0x8000u64..0x8030, any::<u64>()],
            prop::collection::vec(any::<u8>(), 0..9),
        ), 0..100),
    ) {
        let bus = PciBus::new(APERTURE);
        bus.add(Echo::new([4096, 1 << 20, 4096])).unwrap();
        let (ecam, aperture) = (Ecam(bus.clone()), Aperture(bus));
        for (offset, mut data) in accesses {
            ecam.write(offset, &data);
            ecam.read(offset, &mut data);
            aperture.write(offset, &data);
            aperture.read(offset, &mut data);
        }
    }
}
