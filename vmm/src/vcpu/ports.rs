//! Port I/O: string instructions taken apart, and the two ports that end a guest.
//!
//! KVM hands over several elements of a string instruction at once; the buses see them one by one.

// kvm-ioctls shows the bytes of a port exit but not the size of an element, so `kvm_run` has to be
// read here.
#![allow(unsafe_code)]

use super::Exit;
use crate::boot::acpi;
use kvm_bindings::{
    KVM_EXIT_FAIL_ENTRY, KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_IO, KVM_EXIT_IO_OUT, kvm_run,
};
use kvm_ioctls::VcpuFd;
use ravelin_devices::bus::PioBus;

/// PM1a control of ACPI, where QEMU's q35 has it: the built-in guest's. Linux has the sleep control
/// register that its tables name.
const PM1A_CONTROL: u16 = 0x604;
/// PM1a control: sleep enable, sleep type 0, which is S5 here.
const SLEEP_ENABLE: u16 = 1 << 13;
/// The keyboard controller's command port, and its command to reset the processor.
const KEYBOARD_COMMAND: (u16, u8) = (0x64, 0xfe);
/// The reset control register of PC chipsets; bit 2 resets the processor.
const RESET_CONTROL: (u16, u8) = (0xcf9, 1 << 2);

/// The ports of one vCPU.
pub(super) struct Ports<'a> {
    bus: &'a PioBus,
}

impl<'a> Ports<'a> {
    pub(super) fn new(bus: &'a PioBus) -> Self {
        Self { bus }
    }

    /// Serves the port exit that `vcpu` has just made.
    pub(super) fn serve(&mut self, vcpu: &mut VcpuFd) -> Option<Exit> {
        let run: &mut kvm_run = vcpu.get_kvm_run();
        if run.exit_reason != KVM_EXIT_IO {
            return None;
        }
        // SAFETY: the exit reason says that this member of the union is the one in use.
        let io = unsafe { run.__bindgen_anon_1.io };
        let size = usize::from(io.size);
        let length = size * io.count as usize;
        let first: *mut u8 = std::ptr::from_mut(run).cast();
        // SAFETY: KVM places the elements within the region that `run` begins, which stays mapped
        // as long as the borrowed vCPU lives; nothing writes to it until the vCPU runs again.
        let data =
            unsafe { std::slice::from_raw_parts_mut(first.add(io.data_offset as usize), length) };
        let writes = u32::from(io.direction) == KVM_EXIT_IO_OUT;
        for element in data.chunks_exact_mut(size.max(1)) {
            if writes {
                if let Some(exit) = self.write(io.port, element) {
                    return Some(exit);
                }
            } else {
                self.bus.read(io.port.into(), element);
            }
        }
        None
    }

    fn write(&self, port: u16, data: &[u8]) -> Option<Exit> {
        match (port, data) {
            (PM1A_CONTROL, &[low, high]) if u16::from_le_bytes([low, high]) & SLEEP_ENABLE != 0 => {
                return Some(Exit::PowerOff);
            }
            (acpi::SLEEP_CONTROL, &[value]) if value & acpi::SLEEP_ENABLE != 0 => {
                return Some(Exit::PowerOff);
            }
            (port, &[value]) if (port, value) == KEYBOARD_COMMAND => return Some(Exit::Reset),
            (port, &[value]) if port == RESET_CONTROL.0 && value & RESET_CONTROL.1 != 0 => {
                return Some(Exit::Reset);
            }
            _ => {}
        }
        self.bus.write(port.into(), data);
        None
    }
}

/// KVM's exit reason and the detail that belongs to it.
pub(super) fn failure(run: &kvm_run) -> (u32, u64) {
    let detail = match run.exit_reason {
        KVM_EXIT_INTERNAL_ERROR => {
            // SAFETY: the exit reason says that this member of the union is the one in use.
            u64::from(unsafe { run.__bindgen_anon_1.internal.suberror })
        }
        KVM_EXIT_FAIL_ENTRY => {
            // SAFETY: as above.
            unsafe { run.__bindgen_anon_1.fail_entry.hardware_entry_failure_reason }
        }
        _ => 0,
    };
    (run.exit_reason, detail)
}
