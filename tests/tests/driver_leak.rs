//! The leak scan: a marker planted in the weights is nowhere that the host can look, while the
//! guest works with them. Everything is looked at: each byte that the GPU reads or writes in shared
//! memory at the moment when it does, shared memory afterwards, the window on HBM, the operator's
//! telemetry and events. Where nothing is encrypted the same scan finds the marker.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ravelin_gpu_abi::WINDOW_BAR_SIZE;
use ravelin_gpu_abi::command::Command;
use ravelin_gpu_abi::registers::Mode;
use ravelin_gpu_model::Initiator;
use ravelin_tests::stage::trust::{self, Documents};
use ravelin_tests::stage::{HBM, Stage, config};

/// As weights: 0x5a5b5c5d.. are finite numbers.
const MARKER: [u8; 32] = *b"MARKER-IN-THE-WEIGHTS-0123456789";

fn found_in(haystack: &[u8]) -> bool {
    haystack.windows(MARKER.len()).any(|window| window == MARKER)
}

/// Where the host finds the marker while a guest works with it.
fn leaks(stage: &Stage, documents: &Documents) -> Vec<&'static str> {
    let crossing = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&crossing);
    stage.pages.set_tap(Some(Box::new(move |access| {
        if found_in(access.bytes) {
            seen.store(true, Ordering::Relaxed);
        }
    })));

    let mut driver = stage.driver();
    driver.attest(&mut trust::rng(), &documents.trust()).unwrap();
    let base = driver.memory_range().start;
    let weights: Vec<u8> = MARKER.iter().copied().cycle().take(300_000).collect();
    driver.copy_in(base, &weights).unwrap();
    let (source, destination) = (base, base + (1 << 20));
    driver.launch(Command::Copy { source, destination, length: 300_000 }).unwrap();
    let mut returned = vec![0; 300_000];
    driver.copy_out(destination, &mut returned).unwrap();
    assert_eq!(returned, weights, "the guest itself has what it asked for");

    let mut window = vec![0; HBM.min(WINDOW_BAR_SIZE) as usize];
    for (at, bytes) in (0..).step_by(4096).zip(window.chunks_mut(4096)) {
        stage.gpu.read_window(Initiator::HostMmio, at, bytes);
    }
    let admin = stage.gpu.admin();
    let told = format!("{:?} {:?} {:?}", admin.info(), admin.telemetry(), admin.events());
    let places = [
        ("crossing", crossing.load(Ordering::Relaxed)),
        ("shared memory", found_in(&stage.pages.snapshot())),
        ("window", found_in(&window)),
        ("admin port", found_in(told.as_bytes())),
    ];
    places.into_iter().filter(|(_, found)| *found).map(|(place, _)| place).collect()
}

#[test]
fn the_marker_is_nowhere_that_the_host_can_look() {
    let nowhere: [&str; 0] = [];
    assert_eq!(leaks(&Stage::confidential(), &Documents::development()), nowhere);
}

fn plain() -> Stage {
    Stage::new(ravelin_gpu_model::GpuConfig { mode: Mode::Off, ..config() })
}

const EVERYWHERE_IN_CLEAR: [&str; 3] = ["crossing", "shared memory", "window"];

#[test]
fn the_scan_finds_the_marker_where_the_policy_allows_plain_mode() {
    let mut documents = Documents::development();
    documents.policy.mode_off_allowed = true;
    assert_eq!(leaks(&plain(), &documents), EVERYWHERE_IN_CLEAR);
}

#[cfg(feature = "test-encryption-off")]
#[test]
fn the_scan_finds_the_marker_with_encryption_switched_off_in_the_driver() {
    assert_eq!(leaks(&plain(), &Documents::development()), EVERYWHERE_IN_CLEAR);
}
