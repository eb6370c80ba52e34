//! Row 26, and the admin port's rule: nothing that it says holds content or a key.

use ravelin_gpu_abi::command::Command;
use ravelin_gpu_abi::registers::{Mode, Status};

use crate::admin::ResetKind;
use crate::firewall::Initiator;
use crate::gpu::GpuConfig;
use crate::testing::{BASE, Guest, HBM};

const SECRET: &str = "THE-TENANTS-SECRET";

/// Everything that the port says, in the shape in which an operator gets it.
fn everything(guest: &Guest) -> String {
    let admin = guest.gpu.admin();
    [
        serde_json::to_string(&admin.info()).unwrap(),
        serde_json::to_string(&admin.telemetry()).unwrap(),
        serde_json::to_string(&admin.events()).unwrap(),
        format!("{:?} {:?} {:?}", admin.info(), admin.telemetry(), admin.events()),
    ]
    .join("\n")
}

#[test]
fn nothing_that_the_admin_port_says_holds_content_or_an_address() {
    let mut guest = Guest::attached();
    let address = BASE + 0x0012_3458;
    guest.copy_in(address, SECRET.as_bytes());
    guest.copy_out(address, SECRET.len() as u32).unwrap();
    guest.launch(Command::Copy { source: address, destination: BASE, length: 18 });
    guest.gpu.write_window(Initiator::HostMmio, address, SECRET.as_bytes());
    guest.gpu.read_window(Initiator::HostMmio, address, &mut [0; 18]);
    guest.copy_in(0x0012_3458, SECRET.as_bytes());
    guest.write64(ravelin_gpu_abi::registers::PROTECTED_BASE, address);
    let said = everything(&guest);
    assert!(said.contains("violation") && said.contains("host-mmio"));
    for secret in [SECRET.to_owned(), format!("{address}"), format!("{address:x}")] {
        assert!(!said.contains(&secret), "{secret} is in {said}");
    }
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(!said.contains(&hex) && !said.contains(&hex.to_uppercase()));
}

#[test]
fn the_port_tells_what_the_gpu_is() {
    let guest = Guest::new(Mode::On);
    let info = guest.gpu.admin().info();
    assert_eq!((info.model, info.serial, info.status, info.mode), ("APM", 1, "ready", "on"));
    assert_eq!((info.hbm_size, info.protected_size), (HBM, HBM - BASE));
    assert_eq!((info.identity.len(), info.firmware.len()), (96, 96));
    assert_ne!(info.identity, "0".repeat(96));
    assert_eq!((info.resets, info.session), (0, 0));
}

#[test]
fn what_happens_is_logged_in_order() {
    let mut guest = Guest::attached();
    guest.gpu.admin().set_mode(Mode::Devtools);
    guest.gpu.admin().reset(ResetKind::Bus).unwrap();
    guest.attach();
    let events = serde_json::to_value(guest.gpu.admin().events()).unwrap();
    let names: Vec<&str> =
        events.as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    let expected = [
        "power_on",
        "ready",
        "session_established",
        "mode_chosen",
        "reset",
        "ready",
        "session_established",
    ];
    assert_eq!(names, expected);
    assert_eq!(events[4]["kind"], "bus");
    assert_eq!(events[5]["mode"], "devtools");
    assert_eq!(events[6]["session"], 2);
    let last = events[6]["number"].as_u64().unwrap();
    assert!(guest.gpu.admin().events_after(last).is_empty());
}

#[test]
fn a_gpu_that_cannot_be_is_refused_with_words() {
    let power_on = |memory| {
        let guest = Guest::new(Mode::On);
        let firmware = ravelin_maker::FirmwareSet::current();
        let config = GpuConfig { memory, mode: Mode::On, serial: 1, identity: None, firmware };
        crate::Gpu::power_on(config, guest.memory.clone(), guest.lines.clone()).err()
    };
    assert!(matches!(power_on(0), Some(crate::Error::Memory(_))));
    assert!(matches!(power_on(HBM + 1), Some(crate::Error::Memory(_))));
    assert!(power_on(HBM).is_none());
}

#[test]
fn the_port_outlives_the_power_and_says_so() {
    let guest = Guest::attached();
    let admin = guest.gpu.admin();
    drop(guest);
    assert_eq!(admin.telemetry().status, "booting");
    assert_eq!(admin.telemetry().hbm_resident, 0);
    assert_ne!(admin.telemetry().status, format!("{:?}", Status::Ready));
}
