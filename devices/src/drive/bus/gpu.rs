//! The GPU's function under a script: its rings, its mailbox, and the region that it protects.

use crate::apm::ApmDevice;
use crate::bus::MmioBus;
use crate::drive::Script;
use crate::drive::guest::{BUFFERS, Guest, SHARE};
use crate::pci::bus::Function;
use crate::pci::doe;
use ravelin_gpu_abi::registers::{self, MAGIC_VALUE};
use ravelin_gpu_abi::ring::Descriptor;
use ravelin_gpu_abi::{Engine, WINDOW_BAR};
use ravelin_gpu_model::Initiator;

/// Its only extended capability.
const DOE: u64 = 0x100;
/// DOE discovery, index 0: a data object of three dwords (PCIe 6.0, section 6.30.1.1).
const DISCOVERY: [u32; 3] = [1, 3, 0];
/// Most dwords of an answer that are taken.
const LONGEST: usize = 1 << 14;

/// Whether a read of the window touches what is protected.
pub(super) fn refuses(gpu: &ApmDevice, address: u64, width: usize) -> bool {
    let Some(bar) = gpu.bar_range(WINDOW_BAR) else { return false };
    let register = |at| {
        let mut bytes = [0; 8];
        gpu.gpu().read_register(Initiator::GuestMmio, at, &mut bytes);
        u64::from_le_bytes(bytes)
    };
    let (base, end) = (register(registers::PROTECTED_BASE), register(registers::PROTECTED_END));
    let Some(first) = address.checked_sub(bar.start) else { return false };
    address < bar.end && first < end && first + width as u64 > base && base < end
}

/// Sets a ring up, puts a request into it and rings.
pub(super) fn ring(bus: &MmioBus, bar: u64, guest: &Guest, how: u8, script: &mut Script<'_>) {
    let engine = Engine::ALL[usize::from(how) % Engine::ALL.len()];
    let share = u64::from(how / 4 % 4) * SHARE;
    let at = |register| bar + registers::ring(engine, register);
    let sequence = u64::from(script.or_zero());
    let request = Descriptor {
        sequence,
        hbm_address: script.number(),
        length: script.little_endian(2) as u32,
        engine: engine as u32,
        outcome: 0,
        tag: [0; 16],
    };
    // The first of 16 entries is that of sequence number 16.
    let entry = ravelin_gpu_abi::ring::request_offset(sequence, 16);
    let length = script.or_zero();
    guest.write(share + entry, &request.encode());
    guest.write(share + BUFFERS + sequence % 4 * 0x1000, script.bytes(length));
    if how & 16 == 0 {
        bus.write(at(registers::RING_ENABLE), &0u32.to_le_bytes());
        bus.write(at(registers::RING_ADDRESS), &share.to_le_bytes());
        bus.write(at(registers::RING_SLOTS), &(share + BUFFERS).to_le_bytes());
        bus.write(at(registers::RING_ENTRIES), &16u32.to_le_bytes());
        bus.write(at(registers::RING_SLOT_SIZE), &0x1000u32.to_le_bytes());
        bus.write(at(registers::RING_ENABLE), &1u32.to_le_bytes());
    }
    bus.write(at(registers::RING_DOORBELL), &1u32.to_le_bytes());
}

/// Sends SEC2 a data object and takes the answer.
pub(super) fn exchange(bus: &MmioBus, place: u64, how: u8, script: &mut Script<'_>) {
    let length = script.or_zero();
    let bytes = script.bytes(length);
    // A header that fits, but where the script wants its own.
    let mut object: Vec<u32> = match how & 1 {
        0 => vec![1 | u32::from(how / 2 % 4) << 16, bytes.len().div_ceil(4) as u32 + 2],
        _ => Vec::new(),
    };
    object.extend(bytes.chunks(4).map(|chunk| {
        let mut dword = [0; 4];
        dword[..chunk.len()].copy_from_slice(chunk);
        u32::from_le_bytes(dword)
    }));
    ask(bus, place, &object);
}

/// The GPU is there, and its mailbox works.
pub(super) fn must_answer(bus: &MmioBus, place: u64, bar: u64) {
    let mut magic = [0; 4];
    bus.read(bar + registers::MAGIC, &mut magic);
    assert_eq!(u32::from_le_bytes(magic), MAGIC_VALUE, "the GPU does not answer");
    for engine in Engine::ALL {
        bus.write(bar + registers::ring(engine, registers::RING_ENABLE), &0u32.to_le_bytes());
    }
    let answer = ask(bus, place, &DISCOVERY);
    assert_eq!(answer.get(..2), Some(&[1, 3][..]), "the mailbox does not answer: {answer:x?}");
}

fn ask(bus: &MmioBus, place: u64, object: &[u32]) -> Vec<u32> {
    let put = |register: u16, value: u32| {
        bus.write(place + DOE + u64::from(register), &value.to_le_bytes());
    };
    let get = |register: u16| {
        let mut bytes = [0; 4];
        bus.read(place + DOE + u64::from(register), &mut bytes);
        u32::from_le_bytes(bytes)
    };
    put(doe::CONTROL, doe::ABORT);
    object.iter().for_each(|dword| put(doe::WRITE_MAILBOX, *dword));
    put(doe::CONTROL, doe::GO);
    let mut answer = Vec::new();
    while get(doe::STATUS) & doe::READY != 0 && answer.len() < LONGEST {
        answer.push(get(doe::READ_MAILBOX));
        put(doe::READ_MAILBOX, 0);
    }
    answer
}
