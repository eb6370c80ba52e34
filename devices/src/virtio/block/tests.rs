use super::*;
use crate::virtio::harness::{BUFFERS, DriverQueue, Guest, PRIVATE, readable, writable};
use proptest::prelude::*;
use std::io::{Read, Write};
use tempfile::NamedTempFile;

const DATA: u64 = BUFFERS + 0x10_000;
const STATUS: u64 = BUFFERS + 0x1000;
const SIZE: usize = 1 << 20;

fn image() -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..SIZE).map(|at| (at / 512) as u8).collect();
    file.write_all(&bytes).unwrap();
    file
}

struct Machine {
    guest: Guest,
    queue: DriverQueue,
    file: NamedTempFile,
}

fn machine(read_only: bool, features: u64) -> Machine {
    let file = image();
    let disk = Disk::open(file.path(), read_only).unwrap();
    let (guest, mut queues) = Guest::started(Block::new(disk, "disk0"), features);
    Machine { guest, queue: queues.remove(0), file }
}

impl Machine {
    fn header(&self, kind: u32, sector: u64) {
        let mut header = kind.to_le_bytes().to_vec();
        header.extend([0; 4]);
        header.extend(sector.to_le_bytes());
        self.guest.fill(BUFFERS, &header);
        self.guest.fill(STATUS, &[0xff]);
    }

    /// A request with bytes to read and room to write between header and status.
    fn request(&mut self, kind: u32, sector: u64, output: usize, input: usize) -> u8 {
        self.header(kind, sector);
        let mut chain = vec![readable(BUFFERS, 16)];
        if output > 0 {
            chain.push(readable(DATA, output));
        }
        if input > 0 {
            chain.push(writable(DATA, input));
        }
        chain.push(writable(STATUS, 1));
        self.guest.round_trip(&mut self.queue, &chain);
        self.guest.bytes(STATUS, 1)[0]
    }

    fn file(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        std::fs::File::open(self.file.path()).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }
}

#[test]
fn sectors_go_out_and_come_back() {
    let mut machine = machine(false, FLUSH);
    assert_eq!(machine.guest.read_config::<8>(0), (SIZE as u64 / 512).to_le_bytes());
    assert_eq!(machine.request(VIRTIO_BLK_T_IN, 3, 0, 1024), 0);
    assert_eq!(machine.guest.bytes(DATA, 1024), [[3; 512], [4; 512]].concat());
    machine.guest.fill(DATA, &[0xaa; 512]);
    assert_eq!(machine.request(VIRTIO_BLK_T_OUT, 5, 512, 0), 0);
    assert_eq!(machine.file()[5 * 512..6 * 512], [0xaa; 512]);
    assert_eq!(machine.file()[6 * 512..7 * 512], [6; 512]);
    assert_eq!(machine.request(VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);
}

#[test]
fn a_request_larger_than_the_devices_buffer_is_served_whole() {
    let mut machine = machine(false, FLUSH);
    let length = 3 * PIECE + 512;
    assert_eq!(machine.request(VIRTIO_BLK_T_IN, 1, 0, length), 0);
    assert_eq!(machine.guest.bytes(DATA, length), machine.file()[512..512 + length]);
    machine.guest.fill(DATA, &vec![0x5a; length]);
    assert_eq!(machine.request(VIRTIO_BLK_T_OUT, 2, length, 0), 0);
    assert_eq!(machine.file()[1024..1024 + length], vec![0x5a; length]);
}

#[test]
fn data_and_status_may_share_buffers_as_they_like() {
    let mut machine = machine(false, FLUSH);
    machine.header(VIRTIO_BLK_T_IN, 9);
    // The header in three parts, the data in odd parts, the last with the status.
    let chain = [
        readable(BUFFERS, 1),
        readable(BUFFERS + 1, 0),
        readable(BUFFERS + 1, 15),
        writable(DATA, 500),
        writable(DATA + 500, 13),
    ];
    assert_eq!(machine.guest.round_trip(&mut machine.queue, &chain), 513);
    let mut expected = vec![9; 512];
    expected.push(0);
    assert_eq!(machine.guest.bytes(DATA, 513), expected);
}

#[test]
fn what_is_not_on_the_disk_fails_and_changes_nothing() {
    let mut machine = machine(false, FLUSH);
    let before = machine.file();
    let end = SIZE as u64 / 512;
    for sector in [end, end - 1, u64::MAX, u64::MAX / 512, 1 << 55] {
        assert_eq!(machine.request(VIRTIO_BLK_T_IN, sector, 0, 1024), 1, "{sector}");
        assert_eq!(machine.request(VIRTIO_BLK_T_OUT, sector, 1024, 0), 1, "{sector}");
    }
    for length in [1, 511, 513] {
        assert_eq!(machine.request(VIRTIO_BLK_T_IN, 0, 0, length), 1, "{length}");
        assert_eq!(machine.request(VIRTIO_BLK_T_OUT, 0, length, 0), 1, "{length}");
    }
    for kind in [2, 3, 14, 15, u32::MAX] {
        assert_eq!(machine.request(kind, 0, 512, 512), 2, "{kind}");
    }
    assert_eq!(machine.file(), before);
}

#[test]
fn a_read_only_disk_says_so_and_is_not_written() {
    let mut machine = machine(true, 1 << VIRTIO_BLK_F_RO | FLUSH);
    let before = machine.file();
    machine.guest.fill(DATA, &[0; 16]);
    machine.guest.fill(DATA + 8, &1u32.to_le_bytes());
    assert_eq!(machine.request(VIRTIO_BLK_T_OUT, 0, 512, 0), 1);
    for kind in [VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES] {
        machine.guest.fill(DATA, &1u64.to_le_bytes());
        machine.guest.fill(DATA + 8, &1u64.to_le_bytes());
        assert_eq!(machine.request(kind, 0, 16, 0), 1);
    }
    assert_eq!(machine.request(VIRTIO_BLK_T_IN, 2, 0, 512), 0);
    assert_eq!(machine.file(), before);
}

#[test]
fn ranges_are_discarded_and_zeroed_within_limits() {
    let mut machine = machine(false, FLUSH);
    let clear = |machine: &mut Machine, kind, sector: u64, sectors: u32, flags: u32| {
        let mut range = sector.to_le_bytes().to_vec();
        range.extend(sectors.to_le_bytes());
        range.extend(flags.to_le_bytes());
        machine.guest.fill(DATA, &range);
        machine.request(kind, 0, 16, 0)
    };
    assert_eq!(clear(&mut machine, VIRTIO_BLK_T_DISCARD, 8, 8, 0), 0);
    assert_eq!(clear(&mut machine, VIRTIO_BLK_T_WRITE_ZEROES, 24, 2, 0), 0);
    assert_eq!(clear(&mut machine, VIRTIO_BLK_T_WRITE_ZEROES, 32, 1, 1), 0);
    let file = machine.file();
    for sector in 8..33 {
        let zero = file[sector * 512..][..512].iter().all(|byte| *byte == 0);
        let expected = matches!(sector, 8..16 | 24 | 25 | 32);
        assert_eq!(zero, expected, "{sector}");
    }
    for (kind, sector, sectors, flags, status) in [
        (VIRTIO_BLK_T_DISCARD, 2047, 2, 0, 1),
        (VIRTIO_BLK_T_DISCARD, u64::MAX, 1, 0, 1),
        (VIRTIO_BLK_T_WRITE_ZEROES, 0, u32::MAX, 0, 1),
        (VIRTIO_BLK_T_DISCARD, 0, 1, 1, 2),
        (VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 2, 2),
    ] {
        let got = clear(&mut machine, kind, sector, sectors, flags);
        assert_eq!(got, status, "{kind} {sector} {sectors} {flags}");
    }
    assert_eq!(machine.file(), file);
}

#[test]
fn the_serial_number_is_the_devices_name() {
    let mut machine = machine(false, FLUSH);
    assert_eq!(machine.request(VIRTIO_BLK_T_GET_ID, 0, 0, 20), 0);
    assert_eq!(machine.guest.bytes(DATA, 20), *b"disk0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(machine.request(VIRTIO_BLK_T_GET_ID, 0, 0, 3), 0);
}

/// A failed flush stays failed: the kernel has let go of what was to be written.
#[test]
fn after_a_failed_flush_no_flush_succeeds() {
    let file = image();
    let mut disk = Disk::open(file.path(), false).unwrap();
    disk.flush().unwrap();
    disk.fail_flushes();
    let (guest, mut queues) = Guest::started(Block::new(disk, "disk0"), FLUSH);
    let mut machine = Machine { guest, queue: queues.remove(0), file };
    assert_eq!(machine.request(VIRTIO_BLK_T_FLUSH, 0, 0, 0), 1);
    assert_eq!(machine.request(VIRTIO_BLK_T_OUT, 0, 512, 0), 0, "its driver flushes itself");
    // Without the feature a write is its own flush, and tells.
    machine.queue = machine.guest.start(0).remove(0);
    assert_eq!(machine.request(VIRTIO_BLK_T_OUT, 0, 512, 0), 1);
}

#[test]
fn requests_that_are_none_cost_a_reset() {
    for chain in [
        [readable(BUFFERS, 15), writable(STATUS, 1)].as_slice(),
        &[readable(BUFFERS, 16)],
        &[writable(STATUS, 1)],
        &[readable(BUFFERS, 16), writable(STATUS, 0)],
        &[readable(PRIVATE.start, 16), writable(STATUS, 1)],
        &[readable(BUFFERS, 16), writable(PRIVATE.start, 512), writable(STATUS, 1)],
        &[readable(BUFFERS, 16), writable(DATA, 512), writable(PRIVATE.start, 1)],
    ] {
        let mut machine = machine(false, FLUSH);
        machine.header(VIRTIO_BLK_T_IN, 0);
        machine.queue.offer(&machine.guest, chain);
        machine.guest.kick(&machine.queue);
        machine.guest.wait_for_reset_request();
        machine.queue = machine.guest.start(FLUSH).remove(0);
        assert_eq!(machine.request(VIRTIO_BLK_T_IN, 3, 0, 512), 0);
    }
}

/// The attack that confidential guests fear of a disk: the host makes the guest's memory its source.
#[test]
fn private_memory_is_never_written_to_the_disk() {
    let mut machine = machine(false, FLUSH);
    let before = machine.file();
    machine.guest.fill(PRIVATE.start, &[0x77; 512]);
    machine.header(VIRTIO_BLK_T_OUT, 0);
    let chain = [readable(BUFFERS, 16), readable(PRIVATE.start, 512), writable(STATUS, 1)];
    machine.queue.offer(&machine.guest, &chain);
    machine.guest.kick(&machine.queue);
    machine.guest.wait_for_reset_request();
    assert_eq!(machine.file(), before);
    assert_eq!(machine.guest.device.gate().refusals(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Reads and writes are those of an array.
    #[test]
    fn a_disk_is_an_array_of_sectors(
        requests in prop::collection::vec((0u64..2050, 0usize..9, any::<u8>(), any::<bool>()), 1..20)
    ) {
        let mut machine = machine(false, FLUSH);
        let mut model = machine.file();
        for (sector, sectors, byte, write) in requests {
            let (first, length) = (sector as usize * 512, sectors * 512);
            let inside = first + length <= SIZE;
            machine.guest.fill(DATA, &vec![byte; length]);
            let kind = if write { VIRTIO_BLK_T_OUT } else { VIRTIO_BLK_T_IN };
            let (output, input) = if write { (length, 0) } else { (0, length) };
            let status = machine.request(kind, sector, output, input);
            prop_assert_eq!(status == 0, inside);
            if inside && write {
                model[first..first + length].fill(byte);
            } else if inside {
                prop_assert_eq!(&machine.guest.bytes(DATA, length), &model[first..first + length]);
            }
        }
        prop_assert!(machine.file() == model);
    }
}
