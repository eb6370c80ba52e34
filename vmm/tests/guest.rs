//! The built-in guest in a real VM: it starts, it ends, and what it does works.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

mod support;

use ravelin::boot::image;
use ravelin::layout::Layout;
use ravelin::platform::Platform;
use ravelin::vcpu::Exit;
use ravelin::vm::Vm;
use ravelin_devices::page_state::PageState;
use ravelin_report::Event;
use std::time::{Duration, Instant};
use support::{config, run, run_after, with};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

const BOTH: [Platform; 2] = [Platform::Emulated, Platform::None];
const SHARED_MARKER: &[u8; 16] = b"SHARED-MARKER-01";
const PRIVATE_MARKER: &[u8; 16] = b"PRIVATE-MARKER02";

/// How often `marker` stands anywhere in this memory.
fn count(memory: &GuestMemoryMmap, marker: &[u8]) -> usize {
    let regions = memory.iter().map(|region| {
        let mut bytes = vec![0; region.len() as usize];
        memory.read_slice(&mut bytes, region.start_addr()).unwrap();
        bytes.windows(marker.len()).filter(|window| *window == marker).count()
    });
    regions.sum()
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn the_guest_reaches_user_mode_and_turns_its_power_off() {
    for platform in BOTH {
        let outcome = run(config(platform, "workload=probe probe=hello"));
        assert_eq!(outcome.console, "hello from user mode\n", "{platform}: {:?}", outcome.exit);
        assert_eq!(outcome.exit, Exit::PowerOff, "{platform}");
        assert_eq!(outcome.events[0], Event::Ready { guest: "builtin".into() });
        assert_eq!(outcome.result(), "ok");
    }
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn what_the_guest_shares_is_on_the_shared_side_and_nothing_else_is() {
    let outcome = run(config(Platform::Emulated, "workload=probe probe=markers"));
    assert_eq!(outcome.result(), "ok", "{}", outcome.console);
    let shared = outcome.number("shared marker at ");
    let mut bytes = [0; 16];
    outcome.memory.shared().read_slice(&mut bytes, GuestAddress(shared)).unwrap();
    assert_eq!(&bytes, SHARED_MARKER);
    assert_eq!(outcome.memory.pages().state(shared), Some(PageState::Shared));
    let private = outcome.number("private marker at ");
    assert_eq!(outcome.memory.pages().state(private), Some(PageState::Private));
    assert_eq!(count(outcome.memory.shared(), PRIVATE_MARKER), 0);
    assert_eq!(count(outcome.memory.shared(), b"hello from user mode"), 0, "not even the image");
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn without_a_platform_the_private_marker_is_there_for_everyone() {
    let outcome = run(config(Platform::None, "workload=probe probe=markers"));
    assert_eq!(outcome.result(), "ok", "{}", outcome.console);
    assert!(count(outcome.memory.shared(), PRIVATE_MARKER) > 0, "else the scan proves nothing");
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn an_exception_is_reported_with_registers_and_ends_the_guest() {
    for platform in BOTH {
        let outcome = run(config(platform, "workload=probe probe=supervisor"));
        assert_eq!(outcome.exit, Exit::PowerOff);
        assert_eq!(outcome.result(), "guest-exception", "{}", outcome.console);
        // A page fault, from user mode, at the supervisor's first byte.
        assert!(outcome.console.contains("vector  000000000000000e"), "{}", outcome.console);
        assert!(outcome.console.contains("cr2     0000000000200000"), "{}", outcome.console);
    }
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn a_halted_guest_wakes_by_its_timer() {
    let outcome = run(config(Platform::Emulated, "workload=probe probe=wait"));
    let waited = outcome.number("waited ");
    assert!((49_000..5_000_000).contains(&waited), "{waited}");
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn an_interrupt_message_wakes_a_halted_guest() {
    let start = Instant::now();
    let outcome = run_after(config(Platform::Emulated, "workload=probe probe=interrupt"), |vm| {
        let msi = vm.msi();
        std::thread::spawn(move || {
            // Until the guest is there to hear it.
            for _ in 0..1000 {
                std::thread::sleep(Duration::from_millis(5));
                msi.send(0xfee0_0000, 32);
            }
        });
    });
    assert_eq!(outcome.result(), "ok", "{}", outcome.console);
    let waited = outcome.number("waited ");
    assert!(waited < 3_000_000, "{waited}: the timer's end is at 4 s");
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn a_guest_can_be_stopped_before_it_starts() {
    let outcome = run_after(config(Platform::Emulated, "workload=idle"), |vm| vm.stopper().stop());
    assert_eq!(outcome.exit, Exit::Stopped);
    assert!(outcome.events.is_empty() && outcome.console.is_empty(), "the guest ran");
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn more_memory_and_processors_than_the_guest_uses_do_no_harm() {
    let mut config = config(Platform::Emulated, "workload=probe probe=hello");
    (config.memory, config.cpus) = (4 << 30, 3);
    let outcome = run(config);
    assert_eq!(outcome.console, "hello from user mode\n", "{:?}", outcome.exit);
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn an_image_that_is_none_is_refused() {
    for image in [&b""[..], b"\x7fELF", &[0; 4096]] {
        let config = with(Platform::Emulated, "", image, Vec::new());
        assert!(matches!(Vm::new(config), Err(ravelin::vm::Error::Boot(_))));
    }
    let config = with(Platform::Emulated, "", image::BUILTIN, vec![0; 60 << 20]);
    assert!(matches!(Vm::new(config), Err(ravelin::vm::Error::Boot(_))), "no room");
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn the_payload_is_where_the_guest_looks_for_it_whatever_its_length() {
    for length in [0, 1, 4096, (2 << 20) + 1] {
        let payload: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        let sum: u64 = payload.iter().map(|byte| u64::from(*byte)).sum();
        let parameters = "workload=probe probe=payload";
        let outcome = run(with(Platform::Emulated, parameters, image::BUILTIN, payload));
        assert_eq!(outcome.console, format!("payload {length} bytes, sum {sum}\n"));
    }
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn the_supervisor_converts_and_maps_only_what_is_user_modes() {
    for platform in BOTH {
        let outcome = run(config(platform, "workload=probe probe=conversions"));
        assert_eq!(outcome.console, "all refused\n", "{platform}");
        assert_eq!(outcome.exit, Exit::PowerOff, "{platform}");
    }
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn nothing_stands_where_the_layout_puts_bars() {
    let layout: Layout = Vm::new(config(Platform::Emulated, "")).unwrap().layout().clone();
    let storm = format!("workload=probe probe=storm storm={:#x}", layout.bars.start);
    let outcome = run(config(Platform::Emulated, &storm));
    assert_eq!(outcome.console, "nothing there: true\n", "{:?}", outcome.exit);
    assert_eq!(outcome.exit, Exit::PowerOff);
}
