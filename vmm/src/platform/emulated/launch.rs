//! The launch of a guest on the emulated platform: what the VMM has put into private memory goes through
//! the emulated AMD-SP, page by page in the order of addresses, as SNP_LAUNCH_UPDATE does it.
//!
//! Measured is everything below the payload's end: what the guest is told, its page tables, its image,
//! its payload. Not measured is the page of hints, which may differ at each start and decides nothing,
//! and (unlike on hardware) the state of the vCPUs: KVM has no VMSA for this guest.

use crate::boot::start_info;
use ravelin_snp::ghcb::PAGE_SIZE;
use ravelin_snp::launch_digest::PageType;
use ravelin_sp_model::{Guest, Launch};
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

/// The guest's policy: no debugging, no migration, sibling threads allowed; bit 17 is always set (ABI,
/// "Guest Policy").
const POLICY: u64 = 1 << 17 | 1 << 16;

/// Why a guest was not launched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The emulated AMD-SP could not.
    #[error("the emulated AMD-SP cannot launch the guest")]
    SecureProcessor(#[from] ravelin_sp_model::Error),
    /// Guest memory is not where the layout says.
    #[error("guest memory cannot be read")]
    Memory(#[from] GuestMemoryError),
}

/// Launches the guest in `memory`, whose last byte lies before `end`, and puts in its secrets page.
pub(crate) fn launch(
    memory: &GuestMemoryMmap,
    end: u64,
    host_data: [u8; 32],
) -> Result<Guest, Error> {
    let mut launch = Launch::start(POLICY)?;
    let mut page = [0; PAGE_SIZE];
    for address in (0..end).step_by(PAGE_SIZE) {
        let place = GuestAddress(address);
        if address == start_info::SECRETS {
            launch.insert_secrets(address, |secrets| memory.write_slice(secrets, place))?;
            continue;
        }
        memory.read_slice(&mut page, place)?;
        let kind = match address {
            start_info::HINTS => PageType::Unmeasured,
            _ if page == [0; PAGE_SIZE] => PageType::Zero,
            _ => PageType::Normal,
        };
        launch.update(kind, address, &page);
    }
    Ok(launch.finish(host_data)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: u64 = 0x20_0000;

    fn memory() -> GuestMemoryMmap {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), END as usize)]).unwrap();
        memory.write_slice(b"the guest", GuestAddress(0x10_0000)).unwrap();
        memory
    }

    fn measurement(memory: &GuestMemoryMmap) -> [u8; 48] {
        launch(memory, END, [0; 32]).unwrap().measurement()
    }

    #[test]
    fn what_a_guest_is_made_of_is_measured_and_its_hints_and_keys_are_not() {
        let good = measurement(&memory());
        assert_eq!(measurement(&memory()), good, "the same at each start");
        let with = |address: u64| {
            let memory = memory();
            memory.write_obj(1_u8, GuestAddress(address)).unwrap();
            measurement(&memory)
        };
        for address in [0, start_info::ADDRESS, 0x10_0003, END - 1] {
            assert_ne!(with(address), good, "{address:#x}");
        }
        assert_eq!(with(start_info::HINTS), good);
        assert_eq!(with(start_info::SECRETS), good, "overwritten");
    }

    #[test]
    fn the_secrets_page_is_in_the_guests_memory_and_another_one_each_time() {
        let page = |memory: &GuestMemoryMmap| {
            launch(memory, END, [0; 32]).unwrap();
            let mut page = [0; PAGE_SIZE];
            memory.read_slice(&mut page, GuestAddress(start_info::SECRETS)).unwrap();
            page
        };
        let (first, second) = (page(&memory()), page(&memory()));
        assert_ne!(first[0x20..0xa0], second[0x20..0xa0]);
        assert_eq!(first[0xa0..], [0; PAGE_SIZE - 0xa0]);
    }
}
