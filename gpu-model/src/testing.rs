//! For the tests: a machine to plug the GPU into and a guest to drive it, with every byte of shared
//! memory in an attacker's reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use getrandom::SysRng;
use parking_lot::{Condvar, Mutex};
use rand_core::UnwrapErr;
use ravelin_channel::{Binding, Direction, Opener, Sealer};
use ravelin_dice::{Chain, Clock, TrustAnchor, UnixTime};
use ravelin_gpu_abi::command::{Command, Reply};
use ravelin_gpu_abi::registers::{self, Mode, Status};
use ravelin_gpu_abi::ring::{
    DESCRIPTOR_SIZE, Descriptor, Outcome, request_offset, response_offset, slot_offset,
};
use ravelin_gpu_abi::{Engine, MSIX_VECTORS};
use ravelin_maker::FirmwareSet;
use ravelin_spdm::CertificateChain;
use ravelin_spdm::requester::{Config, Established, Requester, Session, Step};
use ravelin_spdm::transport::doe;

use crate::firewall::Initiator;
use crate::gpu::{Gpu, GpuConfig};
use crate::host::{DmaFault, HostMemory, Interrupts};

/// HBM of the GPUs under test.
pub(crate) const HBM: u64 = 32 << 20;
/// Their first protected byte.
pub(crate) const BASE: u64 = HBM / 4;
/// Entries of the guest's rings.
pub(crate) const ENTRIES: u32 = 8;
/// Bytes of the guest's slots.
pub(crate) const SLOT: u32 = 64 << 10;
/// Guest memory that a ring takes, and where the ring of the next engine begins.
const STRIDE: u64 = 1 << 20;
const SLOTS: u64 = 0x1000;
const PATIENCE: Duration = Duration::from_secs(10);

/// Guest memory.
pub(crate) struct Memory {
    bytes: Mutex<Vec<u8>>,
    /// Accesses of at least so many bytes hang.
    stuck: Mutex<Option<usize>>,
    freed: Condvar,
    waiting: AtomicU64,
}

impl Memory {
    pub(crate) fn new() -> Memory {
        Memory {
            bytes: Mutex::new(vec![0; (STRIDE * 3) as usize]),
            stuck: Mutex::new(None),
            freed: Condvar::new(),
            waiting: AtomicU64::new(0),
        }
    }

    /// Makes accesses of at least so many bytes hang, or lets those that hang go on.
    pub(crate) fn stick(&self, stuck: Option<usize>) {
        *self.stuck.lock() = stuck;
        self.freed.notify_all();
    }

    /// Waits until an access hangs.
    pub(crate) fn wait_until_stuck(&self) {
        wait(|| self.waiting.load(SeqCst) > 0);
    }

    /// What an attacker does to it.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut [u8]) -> T) -> T {
        act(&mut self.bytes.lock())
    }

    pub(crate) fn put(&self, address: u64, bytes: &[u8]) {
        self.with(|memory| memory[address as usize..][..bytes.len()].copy_from_slice(bytes));
    }

    pub(crate) fn get<const N: usize>(&self, address: u64) -> [u8; N] {
        self.with(|memory| memory[address as usize..][..N].try_into().unwrap())
    }

    fn hang(&self, length: usize) {
        let mut stuck = self.stuck.lock();
        while stuck.is_some_and(|least| length >= least) {
            self.waiting.fetch_add(1, SeqCst);
            self.freed.wait(&mut stuck);
            self.waiting.fetch_sub(1, SeqCst);
        }
    }
}

impl HostMemory for Memory {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), DmaFault> {
        self.hang(buffer.len());
        let bytes = self.bytes.lock();
        let range = bytes.get(address as usize..).and_then(|bytes| bytes.get(..buffer.len()));
        buffer.copy_from_slice(range.ok_or(DmaFault::OutOfRange)?);
        Ok(())
    }

    fn write(&self, address: u64, from: &[u8]) -> Result<(), DmaFault> {
        self.hang(from.len());
        let mut bytes = self.bytes.lock();
        let range = bytes.get_mut(address as usize..).and_then(|bytes| bytes.get_mut(..from.len()));
        range.ok_or(DmaFault::OutOfRange)?.copy_from_slice(from);
        Ok(())
    }
}

/// The interrupts raised.
#[derive(Default)]
pub(crate) struct Lines([AtomicU64; MSIX_VECTORS as usize]);

impl Lines {
    pub(crate) fn raised(&self, vector: u16) -> u64 {
        self.0[usize::from(vector)].load(SeqCst)
    }
}

impl Interrupts for Lines {
    fn raise(&self, vector: u16) {
        self.0[usize::from(vector)].fetch_add(1, SeqCst);
    }
}

/// The guest's end of one engine's ring.
#[expect(clippy::large_enum_variant, reason = "three of them, in a test")]
enum End {
    Plain { next: u64 },
    Sealed { sealer: Sealer, opener: Opener },
}

/// A GPU, its machine and its guest.
pub(crate) struct Guest {
    pub(crate) gpu: Arc<Gpu>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) lines: Arc<Lines>,
    ends: Option<[End; 3]>,
}

impl Guest {
    /// A GPU without a session.
    pub(crate) fn new(mode: Mode) -> Guest {
        Guest::with(mode, HBM)
    }

    pub(crate) fn with(mode: Mode, memory: u64) -> Guest {
        let config =
            GpuConfig { memory, mode, serial: 1, identity: None, firmware: FirmwareSet::current() };
        let (memory, lines) = (Arc::new(Memory::new()), Arc::new(Lines::default()));
        let gpu = Gpu::power_on(config, memory.clone(), lines.clone()).unwrap();
        Guest { gpu, memory, lines, ends: None }
    }

    /// A GPU in confidential mode with a session and its rings in use.
    pub(crate) fn attached() -> Guest {
        let mut guest = Guest::new(Mode::On);
        guest.attach();
        guest
    }

    /// Establishes a session and takes the rings into use.
    pub(crate) fn attach(&mut self) {
        self.attach_and_keep();
    }

    /// The same, for a test that ends the session as well.
    pub(crate) fn attach_and_keep(&mut self) -> Session {
        let established = self.converse();
        let secret = &established.export_secret;
        self.ends = Some(Engine::ALL.map(|engine| End::Sealed {
            sealer: Sealer::new(secret, engine as u32, Direction::GuestToGpu),
            opener: Opener::new(secret, engine as u32, Direction::GpuToGuest),
        }));
        self.enable_rings();
        established.session
    }

    /// Takes the rings into use for plain records.
    pub(crate) fn attach_plain(&mut self) {
        self.ends = Some(Engine::ALL.map(|_| End::Plain { next: 1 }));
        self.enable_rings();
    }

    /// Speaks SPDM with SEC2 to the end, believing whatever key its chain ends in.
    pub(crate) fn converse(&self) -> Box<Established> {
        let leaf = |chain: &CertificateChain| {
            let certificates: Vec<&[u8]> = chain.certificates().collect();
            let anchor = TrustAnchor::new(certificates[0]).unwrap();
            let clock = Clock::At(UnixTime(1_800_000_000));
            Ok(Chain::verify(&certificates, &anchor, clock).unwrap().public_key)
        };
        let config = Config { framing: doe::FRAMING, slot: 0, verifier_nonce: [7; 32] };
        let mut requester = Requester::new(UnwrapErr(SysRng), leaf, config);
        let mut message = requester.start();
        loop {
            let object = self.gpu.doe_exchange(&doe::encode_message(&message).unwrap());
            match requester.receive(&doe::decode_message(&object).unwrap()).unwrap() {
                Step::Send(next) => message = next,
                Step::Done(established) => return established,
            }
        }
    }

    fn enable_rings(&self) {
        for engine in Engine::ALL {
            let base = STRIDE * engine as u64;
            self.memory.put(base, &[0; SLOTS as usize]);
            self.write32(registers::ring(engine, registers::RING_ENABLE), 0);
            self.write64(registers::ring(engine, registers::RING_ADDRESS), base);
            self.write64(registers::ring(engine, registers::RING_SLOTS), base + SLOTS);
            self.write32(registers::ring(engine, registers::RING_ENTRIES), ENTRIES);
            self.write32(registers::ring(engine, registers::RING_SLOT_SIZE), SLOT);
            self.write32(registers::ring(engine, registers::RING_ENABLE), 1);
            assert_eq!(self.read32(registers::ring(engine, registers::RING_ENABLE)), 1);
        }
    }

    pub(crate) fn write32(&self, offset: u64, value: u32) {
        self.gpu.write_register(Initiator::GuestMmio, offset, &value.to_le_bytes());
    }

    pub(crate) fn write64(&self, offset: u64, value: u64) {
        self.gpu.write_register(Initiator::GuestMmio, offset, &value.to_le_bytes());
    }

    pub(crate) fn read32(&self, offset: u64) -> u32 {
        let mut data = [0; 4];
        self.gpu.read_register(Initiator::GuestMmio, offset, &mut data);
        u32::from_le_bytes(data)
    }

    pub(crate) fn read64(&self, offset: u64) -> u64 {
        let mut data = [0; 8];
        self.gpu.read_register(Initiator::GuestMmio, offset, &mut data);
        u64::from_le_bytes(data)
    }

    pub(crate) fn status(&self) -> Status {
        Status::from_value(self.read32(registers::STATUS)).unwrap()
    }

    pub(crate) fn wait_for(&self, status: Status) {
        wait(|| self.status() == status);
    }

    /// Seals a request and lays it into the ring, without the doorbell. Gives its number.
    pub(crate) fn submit(
        &mut self,
        engine: Engine,
        hbm_address: u64,
        length: u32,
        bytes: &[u8],
    ) -> u64 {
        let mut bytes = bytes.to_vec();
        let binding = Binding { hbm_address, length, outcome: 0 };
        let (sequence, tag) = match &mut self.ends.as_mut().unwrap()[engine.index()] {
            End::Plain { next } => {
                *next += 1;
                (*next - 1, [0; 16])
            }
            End::Sealed { sealer, .. } => {
                let sealed = sealer.seal_in_place(&binding, &mut bytes).unwrap();
                (sealed.sequence, sealed.tag)
            }
        };
        self.memory.put(slot(engine, sequence), &bytes);
        let engine_number = engine as u32;
        let request =
            Descriptor { sequence, hbm_address, length, engine: engine_number, outcome: 0, tag };
        let encoded = request.encode();
        self.memory.put(request_place(engine, sequence) + 8, &encoded[8..]);
        self.memory.put(request_place(engine, sequence), &encoded[..8]);
        sequence
    }

    pub(crate) fn ring(&self, engine: Engine) {
        self.write32(registers::ring(engine, registers::RING_DOORBELL), 1);
    }

    /// Whether the response of this number is there.
    pub(crate) fn answered(&self, engine: Engine, sequence: u64) -> bool {
        self.memory.get(response_place(engine, sequence)) == sequence.to_le_bytes()
    }

    /// Waits for the response of this number and opens it.
    pub(crate) fn response(&mut self, engine: Engine, sequence: u64) -> (Outcome, Vec<u8>) {
        wait(|| self.answered(engine, sequence));
        let bytes = self.memory.get::<DESCRIPTOR_SIZE>(response_place(engine, sequence));
        let response = Descriptor::decode(&bytes).unwrap();
        assert_eq!(response.engine, engine as u32);
        let carried = if engine == Engine::CopyIn { 0 } else { response.length as usize };
        let at = slot(engine, sequence) as usize;
        let mut bytes = self.memory.with(|memory| memory[at..at + carried].to_vec());
        let binding = Binding {
            hbm_address: response.hbm_address,
            length: response.length,
            outcome: response.outcome,
        };
        match &mut self.ends.as_mut().unwrap()[engine.index()] {
            End::Plain { .. } => assert_eq!(response.tag, [0; 16]),
            End::Sealed { opener, .. } => {
                opener.open_in_place(sequence, &binding, &response.tag, &mut bytes).unwrap();
            }
        }
        (Outcome::from_value(response.outcome).unwrap(), bytes)
    }

    fn call(
        &mut self,
        engine: Engine,
        address: u64,
        length: u32,
        bytes: &[u8],
    ) -> (Outcome, Vec<u8>) {
        let sequence = self.submit(engine, address, length, bytes);
        self.ring(engine);
        self.response(engine, sequence)
    }

    pub(crate) fn copy_in(&mut self, address: u64, bytes: &[u8]) -> Outcome {
        self.call(Engine::CopyIn, address, bytes.len() as u32, bytes).0
    }

    pub(crate) fn copy_out(&mut self, address: u64, length: u32) -> Result<Vec<u8>, Outcome> {
        match self.call(Engine::CopyOut, address, length, &[]) {
            (Outcome::Done, bytes) => Ok(bytes),
            (outcome, bytes) => {
                assert!(bytes.is_empty());
                Err(outcome)
            }
        }
    }

    pub(crate) fn launch(&mut self, command: Command) -> Reply {
        let record = command.encode();
        let (_, reply) = self.call(Engine::Command, 0, record.len() as u32, &record);
        Reply::decode(&reply).unwrap()
    }

    /// Whether `needle` stands anywhere in HBM, protected or not.
    pub(crate) fn hbm_holds(&self, needle: &[u8]) -> bool {
        self.gpu.machine().hbm.holds(needle)
    }

    /// Whether `needle` stands anywhere in memory that the host can read.
    pub(crate) fn host_sees(&self, needle: &[u8]) -> bool {
        self.memory.with(|memory| memory.windows(needle.len()).any(|window| window == needle))
    }
}

/// Where the request of this number stands.
pub(crate) fn request_place(engine: Engine, sequence: u64) -> u64 {
    STRIDE * engine as u64 + request_offset(sequence, ENTRIES)
}

/// Where its response goes.
pub(crate) fn response_place(engine: Engine, sequence: u64) -> u64 {
    STRIDE * engine as u64 + response_offset(sequence, ENTRIES)
}

/// Where its bytes stand.
pub(crate) fn slot(engine: Engine, sequence: u64) -> u64 {
    STRIDE * engine as u64 + SLOTS + slot_offset(sequence, ENTRIES, SLOT)
}

/// Waits until it is so.
pub(crate) fn wait(so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "it does not happen");
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Gives what should not happen the time to happen.
pub(crate) fn linger() {
    std::thread::sleep(Duration::from_millis(50));
}
