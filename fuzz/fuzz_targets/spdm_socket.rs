//! The emulators' socket, with a GPU behind it. Every frame is answered with one frame, however the
//! bytes are cut into pieces.
//!
//! The first byte tells transport and cut.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use ravelin_gpu_abi::registers::Mode;
use ravelin_gpu_model::{
    DmaFault, FirmwareSet, Gpu, GpuConfig, HostMemory, Interrupts, SpdmSocket, SpdmTransport,
};
use ravelin_spdm::transport::socket::{Command, HEADER_SIZE, Header};

struct NoHost;

impl HostMemory for NoHost {
    fn read(&self, _: u64, _: &mut [u8]) -> Result<(), DmaFault> {
        Err(DmaFault::OutOfRange)
    }

    fn write(&self, _: u64, _: &[u8]) -> Result<(), DmaFault> {
        Err(DmaFault::OutOfRange)
    }
}

impl Interrupts for NoHost {
    fn raise(&self, _: u16) {}
}

static GPU: LazyLock<Arc<Gpu>> = LazyLock::new(|| {
    let config = GpuConfig {
        memory: 32 << 20,
        mode: Mode::On,
        serial: 1,
        firmware: FirmwareSet::current(),
        identity: None,
    };
    Gpu::power_on(config, Arc::new(NoHost), Arc::new(NoHost)).unwrap()
});

fuzz_target!(|data: &[u8]| {
    let Some((how, bytes)) = data.split_first() else { return };
    let transports = [SpdmTransport::Doe, SpdmTransport::Mctp, SpdmTransport::None];
    let mut socket = SpdmSocket::new(GPU.spdm_port(transports[usize::from(how % 3)]));
    for mut piece in bytes.chunks(usize::from(how / 3) + 1) {
        while let Some(served) = socket.receive(&mut piece) {
            let (header, payload) = served.frame.split_first_chunk::<HEADER_SIZE>().unwrap();
            let header = Header::decode(header);
            assert_eq!(header.size as usize, payload.len());
            let command = Command::from_number(header.command).expect("no command");
            assert_eq!(command == Command::Shutdown, served.last);
            if command == Command::Normal {
                assert!(!payload.is_empty(), "an unanswered request");
            }
        }
        assert!(piece.is_empty());
    }
});
