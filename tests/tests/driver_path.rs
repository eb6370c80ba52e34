//! The whole path in one process: driver, rings in shared memory, GPU model.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use ravelin_driver::attest::Standing;
use ravelin_driver::{Error, Layout};
use ravelin_gpu_abi::command::{Command, Reply};
use ravelin_tests::stage::{Driver, HBM, Stage, trust};

/// Bytes that differ everywhere.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn returned(driver: &mut Driver, hbm_address: u64, length: usize) -> Vec<u8> {
    let mut buffer = vec![0xee; length];
    driver.copy_out(hbm_address, &mut buffer).unwrap();
    buffer
}

#[test]
fn a_gpu_is_attested_and_named() {
    let stage = Stage::confidential();
    let mut driver = stage.driver();
    let attested = trust::attest(&mut driver).unwrap();
    let Standing::Trusted(identity) = attested.standing else { panic!("unprotected") };
    let info = stage.gpu.admin().info();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(identity.model, info.model);
    assert_eq!(identity.serial, "0001");
    assert_eq!(hex(&identity.identity), info.identity);
    assert_eq!(hex(&identity.firmware), info.firmware);
    assert_eq!(attested.session, 1);
    assert_eq!(info.status, "session");
}

#[test]
fn bytes_of_any_length_go_there_and_come_back() {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    let chunk = Layout::default().chunk() as usize;
    for length in [0, 1, 63, chunk - 1, chunk, chunk + 1, 7 * chunk + 5, 80 * chunk] {
        let bytes = pattern(length);
        driver.copy_in(stage.protected() + 3, &bytes).unwrap();
        assert_eq!(returned(&mut driver, stage.protected() + 3, length), bytes, "{length} bytes");
    }
}

#[test]
fn kernels_run_in_order_and_their_replies_come_back() {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    let base = stage.protected();
    driver
        .launch_all(&[
            Command::Fill { address: base, count: 4, value: 0x0102_0304 },
            Command::Copy { source: base, destination: base + 64, length: 8 },
            Command::Fill { address: base, count: 4, value: 0 },
        ])
        .unwrap();
    assert_eq!(returned(&mut driver, base + 64, 8), [4, 3, 2, 1, 4, 3, 2, 1]);
    assert_eq!(driver.launch(Command::Nop).unwrap(), Reply::Done);
}

#[test]
fn more_kernels_than_a_ring_has_entries_all_run() {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    let base = stage.protected();
    let fills: Vec<_> = (0..1000)
        .map(|index| Command::Fill { address: base + 4 * index, count: 1, value: index as u32 })
        .collect();
    driver.launch_all(&fills).unwrap();
    assert_eq!(returned(&mut driver, base + 4 * 999, 4), 999_u32.to_le_bytes());
}

#[test]
fn what_the_gpu_refuses_is_an_error_and_the_session_goes_on() {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    let base = stage.protected();
    // Behind the end of memory, and before the protected region, where everyone could read it.
    for hbm_address in [HBM, HBM - 8, u64::MAX - 3, base - 16, 0] {
        let refused = driver.copy_in(hbm_address, &[7; 16]);
        assert!(matches!(refused, Err(Error::OutOfRange { .. })), "{hbm_address:#x}: {refused:?}");
        let mut buffer = [9; 16];
        let refused = driver.copy_out(hbm_address, &mut buffer);
        assert!(matches!(refused, Err(Error::OutOfRange { .. })), "{hbm_address:#x}: {refused:?}");
        assert_eq!(buffer, [0; 16]);
    }
    let far = Command::Fill { address: HBM, count: 1, value: 7 };
    assert_eq!(driver.launch(far).unwrap(), Reply::BadOperand);
    let refused = driver.launch_all(&[Command::Nop, far, Command::Nop]);
    let bad = Some(Reply::BadOperand);
    assert!(matches!(refused, Err(Error::Launch { index: 1, reply }) if reply == bad));
    assert!(driver.has_session());
    driver.copy_in(base, &[7; 16]).unwrap();
    assert_eq!(returned(&mut driver, base, 16), [7; 16]);
}

#[test]
fn a_long_copy_past_the_end_stops_and_the_session_goes_on() {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    let bytes = pattern(8 << 20);
    let start = HBM - (1 << 20);
    let refused = driver.copy_in(start, &bytes);
    assert!(matches!(refused, Err(Error::OutOfRange { hbm_address: HBM, .. })), "{refused:?}");
    assert_eq!(returned(&mut driver, start, 1 << 20), bytes[..1 << 20]);
}

#[test]
fn traffic_is_counted() {
    let stage = Stage::confidential();
    let mut driver = stage.attested();
    driver.copy_in(stage.protected(), &pattern(100_000)).unwrap();
    returned(&mut driver, stage.protected(), 5);
    driver.launch(Command::Nop).unwrap();
    let traffic = driver.traffic();
    assert_eq!((traffic.to_gpu, traffic.from_gpu), (100_000, 5));
    // Two chunks in, one out, one command; a request and a response each.
    assert_eq!(traffic.records, 8);
}

#[test]
fn nothing_works_without_a_session() {
    let stage = Stage::confidential();
    let mut driver = stage.driver();
    assert!(matches!(driver.copy_in(stage.protected(), &[1]), Err(Error::NoSession)));
    assert!(matches!(driver.copy_out(stage.protected(), &mut [1]), Err(Error::NoSession)));
    assert!(matches!(driver.launch(Command::Nop), Err(Error::NoSession)));
    assert!(matches!(driver.check(), Err(Error::NoSession)));
}
