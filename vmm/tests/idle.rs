//! An idle guest, alone in its process, so that the process's time is the guest's.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

mod support;

use ravelin::platform::Platform;
use ravelin::vcpu::Exit;
use ravelin_report::Event;
use std::fs;
use std::time::Duration;
use support::{config, run_after};

const IDLE: Duration = Duration::from_secs(3);
/// Clock ticks of `/proc`, a hundred a second on every Linux for x86.
const TICKS_A_SECOND: u64 = 100;

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn an_idle_guest_uses_no_processor_and_can_be_stopped() {
    let outcome = run_after(config(Platform::Emulated, "workload=idle"), |vm| {
        let stopper = vm.stopper();
        std::thread::spawn(move || {
            std::thread::sleep(IDLE);
            stopper.stop();
        });
    });
    let used = ticks();
    assert_eq!(outcome.exit, Exit::Stopped);
    assert_eq!(outcome.events, [Event::Ready { guest: "builtin".into() }]);
    // A guest that spins uses all of it; starting takes some milliseconds.
    assert!(used < IDLE.as_secs() * TICKS_A_SECOND / 4, "{used} ticks");
}

/// User and system time of this process (proc(5), `/proc/pid/stat`, fields 14 and 15).
fn ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}
