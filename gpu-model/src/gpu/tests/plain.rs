//! `Mode::Off`: the same rings, nothing sealed, nothing protected.

use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::command::{Command, Reply};
use ravelin_gpu_abi::registers::{self, Mode, Status};
use ravelin_gpu_abi::ring::Outcome;

use crate::firewall::Initiator;
use crate::testing::{Guest, HBM, request_place};

#[test]
fn plain_rings_work_without_a_session() {
    let mut guest = Guest::new(Mode::Off);
    guest.attach_plain();
    assert_eq!(guest.copy_in(0, b"plain"), Outcome::Done);
    assert_eq!(guest.copy_out(0, 5).as_deref(), Ok(&b"plain"[..]));
    assert_eq!(guest.launch(Command::Fill { address: 0, count: 1, value: 0 }), Reply::Done);
    assert!(guest.host_sees(b"plain"), "nothing is hidden");
    let mut data = [0; 5];
    guest.gpu.read_window(Initiator::HostMmio, 0, &mut data);
    assert_eq!(&data, b"\0\0\0\0n");
    assert_eq!(guest.read64(registers::PROTECTED_BASE), HBM);
    assert_eq!(guest.read64(registers::PROTECTED_END), HBM);
    assert_eq!(guest.status(), Status::Ready);
}

#[test]
fn a_driver_that_enables_its_rings_again_counts_from_one_again() {
    let mut guest = Guest::new(Mode::Off);
    for _ in 0..3 {
        guest.attach_plain();
        assert_eq!(guest.copy_in(0, b"plain"), Outcome::Done);
    }
}

#[test]
fn a_session_in_plain_mode_leaves_records_plain() {
    let mut guest = Guest::new(Mode::Off);
    guest.attach();
    assert_eq!(guest.status(), Status::Session);
    guest.attach_plain();
    assert_eq!(guest.copy_in(0, b"plain"), Outcome::Done);
    assert_eq!(guest.status(), Status::Session);
}

#[test]
fn a_tag_in_plain_mode_is_an_error() {
    let mut guest = Guest::new(Mode::Off);
    guest.attach_plain();
    let sequence = guest.submit(Engine::CopyIn, 0, 5, b"plain");
    guest.memory.put(request_place(Engine::CopyIn, sequence) + 32, &[1]);
    guest.ring(Engine::CopyIn);
    guest.wait_for(Status::Failed);
    assert!(!guest.hbm_holds(b"plain"));
}
