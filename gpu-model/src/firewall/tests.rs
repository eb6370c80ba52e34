use proptest::prelude::*;

use super::*;

const SIZE: u64 = 1 << 30;
const MODES: [Mode; 3] = [Mode::Off, Mode::On, Mode::Devtools];
const BUS: [Initiator; 2] = [Initiator::HostMmio, Initiator::GuestMmio];
const ENGINES: [Initiator; 3] = [Initiator::CopyEngine, Initiator::ComputeEngine, Initiator::Sec2];

fn admits(firewall: &Firewall, initiator: Initiator, address: u64, length: u64) -> bool {
    firewall.admit(initiator, address, length).is_ok()
}

#[test]
fn the_unprotected_part_is_64_mib_or_a_quarter() {
    let base = |size| Firewall::lock(Mode::On, size).protected().start;
    assert_eq!(base(80 << 30), 64 << 20);
    assert_eq!(base(256 << 20), 64 << 20);
    assert_eq!(base(8 << 20), 2 << 20);
    assert_eq!(Firewall::lock(Mode::Devtools, SIZE).protected(), 64 << 20..SIZE);
    assert!(Firewall::lock(Mode::Off, SIZE).protected().is_empty());
}

#[test]
fn every_width_stops_at_each_edge_of_the_protected_region() {
    for mode in [Mode::On, Mode::Devtools] {
        let firewall = Firewall::lock(mode, SIZE);
        let base = firewall.protected().start;
        for width in [1, 2, 4, 8, 16, 32, 64, 4096] {
            for initiator in BUS {
                assert!(admits(&firewall, initiator, base - width, width));
                // Every straddle of the bound, then the first and last place behind it.
                for before in 0..width.min(64) {
                    assert!(!admits(&firewall, initiator, base - before, width));
                }
                assert!(!admits(&firewall, initiator, SIZE - width, width));
                assert!(!admits(&firewall, initiator, SIZE, width));
            }
            for initiator in ENGINES {
                assert!(admits(&firewall, initiator, base, width));
                assert!(admits(&firewall, initiator, SIZE - width, width));
                for beyond in 1..=width.min(64) {
                    assert!(!admits(&firewall, initiator, base - beyond, width));
                    assert!(!admits(&firewall, initiator, SIZE - width + beyond, width));
                }
            }
        }
    }
}

#[test]
fn an_overflowing_range_is_refused() {
    for mode in MODES {
        let firewall = Firewall::lock(mode, SIZE);
        for initiator in BUS.into_iter().chain(ENGINES) {
            assert!(!admits(&firewall, initiator, u64::MAX, 1));
            assert!(!admits(&firewall, initiator, u64::MAX - 7, 16));
            // Wraps to the first bytes of HBM, or to a range around the protected region.
            assert!(!admits(&firewall, initiator, u64::MAX - 3, 8));
            assert!(!admits(&firewall, initiator, SIZE - 1, u64::MAX));
            assert!(!admits(&firewall, initiator, 64 << 20, u64::MAX - (64 << 20) + 5));
        }
    }
}

#[test]
fn a_peer_is_refused_everywhere() {
    for mode in MODES {
        let firewall = Firewall::lock(mode, SIZE);
        for (address, length) in [(0, 0), (0, 4), (64 << 20, 4), (SIZE - 4, 4)] {
            assert!(!admits(&firewall, Initiator::PeerGpu(0), address, length));
            assert!(!admits(&firewall, Initiator::PeerGpu(u32::MAX), address, length));
        }
    }
}

#[test]
fn plain_mode_opens_all_of_hbm_and_nothing_more() {
    let firewall = Firewall::lock(Mode::Off, SIZE);
    for initiator in BUS.into_iter().chain(ENGINES) {
        assert!(admits(&firewall, initiator, 0, SIZE));
        assert!(!admits(&firewall, initiator, 0, SIZE + 1));
        assert!(!admits(&firewall, initiator, SIZE, 1));
    }
}

fn initiator() -> impl Strategy<Value = Initiator> {
    prop_oneof![
        Just(Initiator::HostMmio),
        Just(Initiator::GuestMmio),
        any::<u32>().prop_map(Initiator::PeerGpu),
        Just(Initiator::CopyEngine),
        Just(Initiator::ComputeEngine),
        Just(Initiator::Sec2),
    ]
}

/// Anywhere, but mostly near an edge.
fn place(size: u64) -> impl Strategy<Value = u64> {
    let base = UNPROTECTED_MAX.min(size / 4);
    let near = |edge: u64| (0..128_u64).prop_map(move |at| edge.wrapping_sub(64).wrapping_add(at));
    prop_oneof![any::<u64>(), near(0), near(base), near(size), 0..size]
}

proptest! {
    /// The rule of the gate, said once more and byte by byte where it can be.
    #[test]
    fn what_is_admitted_lies_wholly_in_one_reach(
        mode in prop::sample::select(&MODES[..]),
        chunks in 4_u64..2048,
        initiator in initiator(),
        (address, length) in (8_u64..4096).prop_flat_map(|m| (place(m << 21), place(m << 21))),
    ) {
        let size = chunks << 21;
        let firewall = Firewall::lock(mode, size);
        let protected = firewall.protected();
        match firewall.admit(initiator, address, length) {
            Ok(admitted) => {
                prop_assert!(!matches!(initiator, Initiator::PeerGpu(_)));
                prop_assert_eq!((admitted.address(), admitted.length()), (address, length));
                let end = u128::from(address) + u128::from(length);
                prop_assert!(end <= u128::from(size));
                if mode != Mode::Off {
                    match initiator.is_heard_on_bus() {
                        true => prop_assert!(end <= u128::from(protected.start)),
                        false => prop_assert!(address >= protected.start),
                    }
                }
            }
            Err(Refused) => {
                // Not refused without need: some byte of it, or its very end, is out of reach.
                let reach = match (mode, initiator) {
                    (_, Initiator::PeerGpu(_)) => return Ok(()),
                    (Mode::Off, _) => 0..size,
                    (_, bus) if bus.is_heard_on_bus() => 0..protected.start,
                    _ => protected,
                };
                let end = u128::from(address) + u128::from(length);
                prop_assert!(address < reach.start || end > u128::from(reach.end));
            }
        }
    }

    #[test]
    fn a_part_lies_inside_its_whole(
        address in 0..SIZE, length in 0..SIZE, offset in place(SIZE), part in place(SIZE),
    ) {
        let firewall = Firewall::lock(Mode::Off, 2 * SIZE);
        let whole = firewall.admit(Initiator::CopyEngine, address, length).unwrap();
        let inside = u128::from(offset) + u128::from(part) <= u128::from(length);
        match whole.part(offset, part) {
            Some(narrow) => {
                prop_assert!(inside);
                prop_assert_eq!((narrow.address(), narrow.length()), (address + offset, part));
            }
            None => prop_assert!(!inside),
        }
    }
}
