use super::*;
use crate::drive::host::{KINDS, subject};
use proptest::prelude::*;
use ravelin_gpu_abi::registers::Mode;
use ravelin_gpu_model::{FirmwareSet, GpuConfig};

fn gpu(mode: Mode) -> Machine {
    let config = GpuConfig {
        memory: 8 << 20,
        mode,
        serial: 1,
        identity: None,
        firmware: FirmwareSet::current(),
    };
    let make = |gate, sink| ApmDevice::new(config, gate, sink);
    Machine::new().with_gpu(make).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_script_breaks_a_function(
        kind in 0..KINDS,
        script in prop::collection::vec(any::<u8>(), 0..900),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (device, host) = subject(kind, folder.path()).unwrap();
        Machine::new().with_virtio(device, host).unwrap().run(&script);
    }
}

#[test]
fn no_script_breaks_the_gpu() {
    for mode in [Mode::On, Mode::Off] {
        let mut machine = gpu(mode);
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(32));
        let scripts = prop::collection::vec(any::<u8>(), 0..900);
        let machine = std::cell::RefCell::new(&mut machine);
        let run = |script: Vec<u8>| {
            machine.borrow_mut().run(&script);
            Ok(())
        };
        runner.run(&scripts, run).unwrap();
    }
}
