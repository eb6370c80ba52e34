use super::*;
use crate::bus::{BusDevice, MmioBus};
use crate::page_state::{PageState, PageStateMap};
use crate::pci::bus::{Aperture, ECAM_SIZE, Ecam, PciBus};
use crate::pci::msix::MsiMessage;
use crate::shared_window::tests::{FakeSlot, window};
use proptest::prelude::*;
use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::registers::{self, Mode};
use ravelin_gpu_model::FirmwareSet;
use std::time::{Duration, Instant};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const ECAM: u64 = 0xe000_0000;
const APERTURE: Range<u64> = 1 << 32..1 << 36;
const FUNCTION: u64 = ECAM + (1 << 15);
const MEMORY: u64 = 1 << 20;

#[derive(Default)]
struct Sent(Mutex<Vec<MsiMessage>>);

impl MsiSink for Sent {
    fn signal(&self, message: MsiMessage) {
        self.0.lock().unwrap().push(message);
    }
}

/// A GPU on a bus, as a guest sees it.
struct Machine {
    bus: MmioBus,
    gpu: Arc<ApmDevice>,
    pages: Arc<PageStateMap>,
    memory: GuestMemoryMmap,
    sent: Arc<Sent>,
}

fn machine(mode: Mode) -> Machine {
    machine_with(mode, |gate| gate)
}

/// The same, with a gate of one's own making.
fn machine_with(mode: Mode, with: impl FnOnce(DmaGate) -> DmaGate) -> Machine {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY as usize)]).unwrap();
    let pages =
        Arc::new(PageStateMap::new(std::iter::once(0..MEMORY), PageState::Private).unwrap());
    let gate = Arc::new(with(DmaGate::new("gpu0", pages.clone(), memory.clone())));
    let config = GpuConfig {
        memory: 64 << 20,
        mode,
        serial: 1,
        identity: None,
        firmware: FirmwareSet::current(),
    };
    let sent = Arc::new(Sent::default());
    let gpu = ApmDevice::new(config, gate, sent.clone()).unwrap();
    let pci = PciBus::new(APERTURE);
    assert_eq!(pci.add(gpu.clone()), Ok(1));
    let bus = MmioBus::new();
    bus.insert(ECAM, ECAM_SIZE, Arc::new(Ecam(pci.clone()))).unwrap();
    let length = APERTURE.end - APERTURE.start;
    bus.insert(APERTURE.start, length, Arc::new(Aperture(pci))).unwrap();
    Machine { bus, gpu, pages, memory, sent }
}

impl Machine {
    fn read(&self, address: u64) -> u32 {
        let mut data = [0; 4];
        self.bus.read(address, &mut data);
        u32::from_le_bytes(data)
    }

    fn write(&self, address: u64, value: u32) {
        self.bus.write(address, &value.to_le_bytes());
    }

    fn bar(&self, index: u8) -> u64 {
        self.gpu.bar_range(index).unwrap().start
    }

    fn register(&self, offset: u64) -> u32 {
        self.read(self.bar(abi::REGISTERS_BAR) + offset)
    }

    /// The configuration address of a capability of either list.
    fn capability(&self, id: u32) -> u64 {
        let mut at = u64::from(self.read(FUNCTION + 0x34) & 0xff);
        while at != 0 {
            let header = self.read(FUNCTION + at);
            if header & 0xff == id {
                return FUNCTION + at;
            }
            at = u64::from(header >> 8 & 0xff);
        }
        let mut at = 0x100;
        loop {
            let header = self.read(FUNCTION + at);
            if header & 0xffff == id {
                return FUNCTION + at;
            }
            at = u64::from(header >> 20);
            assert_ne!(at, 0, "no capability {id:#x}");
        }
    }

    /// Makes an engine look at a ring at this address of guest memory.
    fn start_ring(&self, engine: Engine, address: u64) {
        let block = self.bar(abi::REGISTERS_BAR) + registers::ring(engine, 0);
        self.bus.write(block + registers::RING_ADDRESS, &address.to_le_bytes());
        self.bus.write(block + registers::RING_SLOTS, &(address + 0x1000).to_le_bytes());
        self.write(block + registers::RING_ENTRIES, 4);
        self.write(block + registers::RING_SLOT_SIZE, 4096);
        self.write(block + registers::RING_ENABLE, 1);
        self.write(block + registers::RING_DOORBELL, 1);
    }
}

/// Waits for what another thread does.
fn eventually(what: &str, check: impl Fn() -> bool) {
    let begin = Instant::now();
    while !check() {
        assert!(begin.elapsed() < Duration::from_secs(10), "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_guest_finds_a_gpu_whose_bars_answer() {
    let machine = machine(Mode::On);
    assert_eq!(machine.read(FUNCTION), 0x4150_1234);
    assert_eq!(machine.read(FUNCTION + 8) >> 8, abi::PCI_CLASS);
    assert_eq!(machine.register(registers::MAGIC), registers::MAGIC_VALUE);
    for (index, size) in [
        (abi::REGISTERS_BAR, abi::REGISTERS_BAR_SIZE),
        (abi::WINDOW_BAR, abi::WINDOW_BAR_SIZE),
        (abi::MSIX_BAR, abi::MSIX_BAR_SIZE),
    ] {
        let range = machine.gpu.bar_range(index).unwrap();
        assert_eq!(range.end - range.start, size);
    }
    for id in [u32::from(express::ID), msix_capability::ID.into(), doe_capability::ID.into()] {
        machine.capability(id);
    }
}

/// Row 13 at the PCI face: the window shows nothing of the protected region.
#[test]
fn the_window_does_not_open_protected_memory() {
    let machine = machine(Mode::On);
    let base = u64::from(machine.register(registers::PROTECTED_BASE));
    let end = u64::from(machine.register(registers::PROTECTED_END));
    assert!(base < end && end <= abi::WINDOW_BAR_SIZE);
    let window = machine.bar(abi::WINDOW_BAR);
    let before = machine.gpu.gpu().admin().telemetry().violations;
    machine.write(window + base - 4, 0x1234_5678);
    assert_eq!(machine.read(window + base - 4), 0x1234_5678);
    for at in [base, base - 2, end - 4] {
        machine.write(window + at, 0x6666_6666);
        assert_eq!(machine.read(window + at), u32::MAX, "{at:#x}");
    }
    assert_eq!(machine.gpu.gpu().admin().telemetry().violations, before + 6);
    // A GPU with less HBM than the window answers all ones behind its end.
    assert_eq!(machine.read(window + (64 << 20)), u32::MAX);
}

/// Row 15 at the PCI face: a ring in private memory is never read.
#[test]
fn a_ring_in_private_memory_is_a_fault_and_not_an_access() {
    let machine = machine(Mode::Off);
    let faults = || machine.gpu.gpu().admin().telemetry().dma_faults;
    machine.start_ring(Engine::CopyIn, 0x4000);
    eventually("the DMA fault", || faults() == 1);
    assert_eq!(machine.gpu.gate().refusals(), 1);
    machine.pages.convert(0x4000, 0x8000, PageState::Shared).unwrap();
    machine.start_ring(Engine::CopyIn, 0x4000);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!((faults(), machine.gpu.gate().refusals()), (1, 1));
}

#[test]
fn without_bus_mastering_the_gpu_reaches_not_even_shared_memory() {
    let machine = machine(Mode::Off);
    machine.pages.convert(0, MEMORY, PageState::Shared).unwrap();
    machine.memory.write_slice(&[0x55; 0x2000], GuestAddress(0x4000)).unwrap();
    machine.bus.write(FUNCTION + 4, &COMMAND_MEMORY.to_le_bytes());
    machine.start_ring(Engine::CopyIn, 0x4000);
    eventually("the DMA fault", || machine.gpu.gpu().admin().telemetry().dma_faults == 1);
    assert_eq!(machine.gpu.gate().refusals(), 1);
}

#[test]
fn a_function_level_reset_takes_setup_session_and_mailbox() {
    let machine = machine(Mode::On);
    let msix = machine.capability(msix_capability::ID.into());
    let doe = machine.capability(doe_capability::ID.into());
    machine.write(msix, 0xc000_0000);
    machine.write(doe + u64::from(doe::WRITE_MAILBOX), 1);
    let resets = machine.register(registers::RESET_COUNT);
    let bars = [0x10, 0x14, 0x18, 0x1c].map(|at| machine.read(FUNCTION + at));
    let control = machine.capability(express::ID.into()) + u64::from(express::DEVICE_CONTROL);
    // Bit 15 alone, by a write of its byte.
    machine.bus.write(control + 1, &[0x80]);
    assert_eq!(machine.read(control) & express::INITIATE_FLR, 0);
    assert_eq!(machine.gpu.bar_range(abi::REGISTERS_BAR), None);
    assert_eq!(machine.read(FUNCTION + 4) & 0xffff, 0);
    assert_eq!(machine.read(msix) >> 30, 0);
    assert_eq!(machine.read(doe + u64::from(doe::STATUS)), 0);
    for (at, value) in [0x10, 0x14, 0x18, 0x1c].into_iter().zip(bars) {
        machine.write(FUNCTION + at, value);
    }
    machine.write(FUNCTION + 4, COMMAND_MEMORY.into());
    assert_eq!(machine.register(registers::RESET_COUNT), resets + 1);
}

fn machine_with_window() -> (Machine, FakeSlot) {
    let (window, slot) = window(abi::SHARED_WINDOW_SIZE);
    (machine_with(Mode::Off, |gate| gate.with_window(window)), slot)
}

#[test]
fn a_gpu_without_a_window_has_the_bar_that_it_always_had() {
    let machine = machine(Mode::On);
    let bar = machine.gpu.bar_range(abi::MSIX_BAR).unwrap();
    assert_eq!(bar.end - bar.start, abi::MSIX_BAR_SIZE);
    assert_eq!(machine.read(FUNCTION + 0x20) & 0xf, 0b0100);
}

/// Rows 15 and 17 at the PCI face: guest and GPU find the window in the BAR, wherever that is.
#[test]
fn the_shared_window_follows_its_bar() {
    let (machine, slot) = machine_with_window();
    let gate = machine.gpu.gate();
    let window = |bar: u64| bar + abi::SHARED_WINDOW_OFFSET..bar + abi::SHARED_BAR_SIZE;
    let first = machine.bar(abi::MSIX_BAR);
    assert_eq!(machine.read(FUNCTION + 0x20) & 0xf, 0b1100, "64 bits, prefetchable");
    assert_eq!(slot.mapped(), Some(window(first)));
    gate.write(window(first).start, b"here").unwrap();
    assert!(gate.write(first, &[1]).is_err(), "DMA to the GPU's own MSI-X table");

    let second = first + 16 * abi::SHARED_BAR_SIZE;
    machine.write(FUNCTION + 0x20, second as u32);
    machine.write(FUNCTION + 0x24, (second >> 32) as u32);
    assert_eq!(slot.mapped(), Some(window(second)));
    let mut found = [0; 4];
    gate.read(window(second).start, &mut found).unwrap();
    assert_eq!(&found, b"here");
    assert!(gate.read(window(first).start, &mut found).is_err(), "the window was left behind");
}

#[test]
fn a_bar_that_is_disabled_probed_or_misplaced_has_no_window() {
    let (machine, slot) = machine_with_window();
    let gate = machine.gpu.gate();
    let bar = machine.bar(abi::MSIX_BAR);
    let start = bar + abi::SHARED_WINDOW_OFFSET;
    let registers = |low: u32, high: u32| {
        machine.write(FUNCTION + 0x20, low);
        machine.write(FUNCTION + 0x24, high);
    };
    let closed = |why: &str| {
        assert_eq!(slot.mapped(), None, "{why}");
        assert!(gate.write(start, &[1]).is_err(), "{why}");
    };
    let open = || {
        registers(bar as u32, (bar >> 32) as u32);
        machine.write(FUNCTION + 4, u32::from(COMMAND_MEMORY | COMMAND_BUS_MASTER));
        assert!(slot.mapped().is_some_and(|addresses| addresses.start == start));
        gate.write(start, &[1]).unwrap();
    };
    machine.write(FUNCTION + 4, COMMAND_BUS_MASTER.into());
    closed("memory decoding is off");
    open();
    registers(u32::MAX, u32::MAX);
    closed("the size is probed");
    let size = !(u64::from(machine.read(FUNCTION + 0x24)) << 32
        | u64::from(machine.read(FUNCTION + 0x20) & !0xf))
        + 1;
    assert_eq!(size, abi::SHARED_BAR_SIZE);
    open();
    registers(0, 0);
    closed("over guest memory");
    assert!(gate.write(abi::SHARED_WINDOW_OFFSET, &[1]).is_err(), "a window where memory is");
    open();
    let control = machine.capability(express::ID.into()) + u64::from(express::DEVICE_CONTROL);
    machine.bus.write(control + 1, &[0x80]);
    closed("a function level reset");
    open();
}

/// Row 15: what the gate counts is what a guest or a GPU tried beside the window.
#[test]
fn a_ring_behind_the_windows_end_is_a_fault() {
    let (machine, slot) = machine_with_window();
    let faults = || machine.gpu.gpu().admin().telemetry().dma_faults;
    let addresses = slot.mapped().unwrap();
    machine.start_ring(Engine::CopyIn, addresses.end);
    eventually("the DMA fault", || faults() == 1);
    assert_eq!(machine.gpu.gate().refusals(), 1);
    machine.start_ring(Engine::CopyIn, addresses.start);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!((faults(), machine.gpu.gate().refusals()), (1, 1));
}

#[test]
fn a_window_of_another_size_is_refused() {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY as usize)]).unwrap();
    let pages = Arc::new(PageStateMap::new(std::iter::once(0..MEMORY), PageState::Shared).unwrap());
    let (window, _) = window(1 << 20);
    let gate = Arc::new(DmaGate::new("gpu0", pages, memory).with_window(window));
    let firmware = FirmwareSet::current();
    let config =
        GpuConfig { memory: 64 << 20, mode: Mode::On, serial: 1, identity: None, firmware };
    let refused = ApmDevice::new(config, gate, Arc::new(Sent::default()));
    assert!(matches!(refused, Err(Error::Window(size)) if size == 1 << 20));
}

#[test]
fn a_device_event_reaches_the_guest_as_the_message_that_it_programmed() {
    let machine = machine(Mode::On);
    let table = machine.bar(abi::MSIX_BAR) + u64::from(abi::EVENT_VECTOR) * 16;
    machine.bus.write(table, &0xfee0_0000u64.to_le_bytes());
    machine.write(table + 8, 0x41);
    machine.write(table + 12, 0);
    machine.write(machine.capability(msix_capability::ID.into()), 0x8000_0000);
    machine.gpu.gpu().admin().reset(ResetKind::Bus).unwrap();
    let message = MsiMessage { address: 0xfee0_0000, data: 0x41 };
    eventually("the message", || machine.sent.0.lock().unwrap().contains(&message));
}

#[test]
fn discovery_goes_through_the_mailbox() {
    let machine = machine(Mode::On);
    let doe = machine.capability(doe_capability::ID.into());
    for dword in [1, 3, 0] {
        machine.write(doe + u64::from(doe::WRITE_MAILBOX), dword);
    }
    machine.write(doe + u64::from(doe::CONTROL), doe::GO);
    assert_eq!(machine.read(doe + u64::from(doe::STATUS)), doe::READY);
    // The PCI-SIG's discovery object, then a length of 3 dwords.
    assert_eq!(machine.read(doe + u64::from(doe::READ_MAILBOX)), 1);
    machine.write(doe + u64::from(doe::READ_MAILBOX), 0);
    assert_eq!(machine.read(doe + u64::from(doe::READ_MAILBOX)), 3);
}

#[test]
fn part_of_a_dword_does_nothing_to_the_mailbox() {
    let machine = machine(Mode::On);
    let doe = machine.capability(doe_capability::ID.into());
    for width in [1, 2] {
        machine.bus.write(doe + u64::from(doe::READ_MAILBOX), &[0xff; 4][..width]);
        machine.bus.write(doe + u64::from(doe::CONTROL) + 3, &[0x80][..1]);
    }
    assert_eq!(machine.read(doe + u64::from(doe::STATUS)), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Row 23: a guest that writes anything anywhere on the bus is not the VMM's problem.
    #[test]
    fn no_access_of_any_width_panics(
        accesses in prop::collection::vec((
            prop_oneof![
                FUNCTION..FUNCTION + 0x140,
                ECAM..ECAM + ECAM_SIZE,
                0u64..0x2000,
                any::<u64>(),
            ],
            prop::sample::select(vec![0usize, 1, 2, 3, 4, 5, 8, 16]),
            any::<u64>(),
            0u8..3,
        ), 1..100),
    ) {
        let machine = machine(Mode::On);
        for (address, width, value, bar) in accesses {
            // Low addresses are offsets in a BAR, wherever it is now.
            let address = match machine.gpu.bar_range(2 * bar) {
                Some(range) if address < 0x2000 => range.start + address,
                _ => address,
            };
            let bytes = [value.to_le_bytes(), value.to_be_bytes()].concat();
            let data = bytes.get(..width).unwrap();
            machine.bus.write(address, data);
            let mut back = vec![0; width];
            machine.bus.read(address, &mut back);
        }
        let mut data = [0; 4];
        Ecam(PciBus::new(APERTURE)).read(0, &mut data);
        prop_assert_eq!(data, [0x34, 0x12, 0x1d, 0x0b]);
    }
}
