//! Rows 13 and 14: accesses over the bus into the protected region, and to its bounds.

use ravelin_gpu_abi::WINDOW_BAR_SIZE;
use ravelin_gpu_abi::registers::{self, Mode};

use crate::events::What;
use crate::firewall::{Access, Initiator};
use crate::testing::{BASE, Guest, HBM};

const EVERYONE: [Initiator; 6] = [
    Initiator::HostMmio,
    Initiator::GuestMmio,
    Initiator::PeerGpu(3),
    Initiator::CopyEngine,
    Initiator::ComputeEngine,
    Initiator::Sec2,
];
const SECRET: &[u8] = &[0x5a; 256];

fn read(guest: &Guest, initiator: Initiator, address: u64, width: usize) -> Vec<u8> {
    let mut data = vec![0; width];
    guest.gpu.read_window(initiator, address, &mut data);
    data
}

#[test]
fn no_access_over_the_bus_reaches_the_protected_region() {
    let mut guest = Guest::attached();
    for address in [BASE, HBM - 256] {
        guest.copy_in(address, SECRET);
    }
    let mut violations = 0;
    for initiator in EVERYONE {
        for width in [1_usize, 2, 4, 8, 16, 32, 64, 256] {
            let wide = width as u64;
            let straddle = BASE - wide / 2;
            let overflow = (u64::MAX - wide).saturating_add(2);
            let places = [BASE, BASE + 1, HBM - wide, HBM, WINDOW_BAR_SIZE, overflow, u64::MAX];
            for address in places.into_iter().chain((width > 1).then_some(straddle)) {
                assert_eq!(read(&guest, initiator, address, width), vec![0xff; width]);
                guest.gpu.write_window(initiator, address, &vec![0x11; width]);
                violations += 2;
            }
        }
    }
    assert_eq!(guest.read64(registers::VIOLATIONS), violations);
    assert_eq!(guest.gpu.admin().telemetry().violations, violations);
    for address in [BASE, HBM - 256] {
        assert_eq!(guest.copy_out(address, 256).as_deref(), Ok(SECRET));
    }
    assert!(!guest.hbm_holds(&[0x11]), "not even the unprotected half of a straddle");
    for initiator in EVERYONE {
        for access in [Access::Read, Access::Write] {
            let what = What::Violation { initiator, access };
            let events = guest.gpu.admin().events();
            assert!(events.iter().any(|event| event.what == what), "{what:?} is logged");
        }
    }
}

#[test]
fn the_unprotected_part_is_memory_to_the_bus() {
    let guest = Guest::attached();
    guest.gpu.write_window(Initiator::GuestMmio, BASE - 8, b"eight by");
    assert_eq!(read(&guest, Initiator::HostMmio, BASE - 8, 8), b"eight by");
    assert_eq!(guest.read64(registers::VIOLATIONS), 0);
}

#[test]
fn peers_and_those_who_claim_to_be_engines_are_refused_everywhere() {
    let guest = Guest::new(Mode::Off);
    for initiator in &EVERYONE[2..] {
        guest.gpu.write_window(*initiator, 0, &[1; 4]);
        assert_eq!(read(&guest, *initiator, 0, 4), [0xff; 4]);
        let mut magic = [0; 4];
        guest.gpu.read_register(*initiator, registers::MAGIC, &mut magic);
        assert_eq!(magic, [0xff; 4]);
        let address = registers::ring(ravelin_gpu_abi::Engine::CopyIn, registers::RING_ENTRIES);
        guest.gpu.write_register(*initiator, address, &[8; 4]);
        assert_eq!(guest.read32(address), 0);
    }
    assert_eq!(guest.read64(registers::VIOLATIONS), 16);
    assert_eq!(read(&guest, Initiator::HostMmio, 0, 4), [0; 4]);
}

#[test]
fn the_bounds_do_not_move_after_boot() {
    let guest = Guest::attached();
    let bounds = || {
        [registers::PROTECTED_BASE, registers::PROTECTED_END].map(|register| guest.read64(register))
    };
    assert_eq!(bounds(), [BASE, HBM]);
    assert_eq!(guest.read32(registers::BOUNDS_LOCKED), 1);
    let mut violations = 0;
    for register in [registers::PROTECTED_BASE, registers::PROTECTED_END] {
        for value in [0, BASE + 4096, HBM - 4096, HBM, u64::MAX] {
            guest.write64(register, value);
            guest.write32(register, value as u32);
            guest.write32(register + 4, (value >> 32) as u32);
            violations += 4;
        }
    }
    guest.write32(registers::BOUNDS_LOCKED, 0);
    guest.write64(registers::BOUNDS_LOCKED, 0);
    violations += 2;
    guest.write32(registers::MODE, Mode::Off as u32);
    assert_eq!(bounds(), [BASE, HBM]);
    assert_eq!(guest.read32(registers::BOUNDS_LOCKED), 1);
    assert_eq!(guest.read32(registers::MODE), Mode::On as u32);
    assert_eq!(guest.read64(registers::VIOLATIONS), violations);
    assert_eq!(read(&guest, Initiator::HostMmio, BASE, 4), [0xff; 4]);
}
