//! Pages that an SNP guest has besides its memory's: secrets, CPUID, and for Linux the word of where they
//! are, the confidential-computing blob (`struct cc_blob_sev_info`) in a setup data entry of type
//! SETUP_CC_BLOB (Documentation/arch/x86/boot.rst).
//!
//! All of them lie below 640 KiB and are not memory in the guest's map.

use super::start_info;
use linux_loader::bootparam::setup_header;
use ravelin_launch::PageType;
use ravelin_snp::ghcb::PAGE_SIZE;
use std::ops::Range;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

/// Guest-physical address of the blob's setup data.
const SETUP_DATA: u64 = 0xa000;
/// Guest-physical address of the blob.
const BLOB: u64 = SETUP_DATA + 0x100;
/// Guest-physical address of the secrets page.
pub const SECRETS: u64 = start_info::SECRETS;
/// Guest-physical address of the CPUID page.
pub const CPUID: u64 = 0xc000;
/// What the guest's map does not have as memory.
pub const RESERVED: Range<u64> = SETUP_DATA..CPUID + PAGE_SIZE as u64;

/// The pages that a launch makes itself.
pub const SPECIAL: [(u64, PageType); 2] = [(SECRETS, PageType::Secrets), (CPUID, PageType::Cpuid)];

/// `SETUP_CC_BLOB`.
const SETUP_CC_BLOB: u32 = 7;
/// "AMDE" (`CC_BLOB_SEV_HDR_MAGIC`).
const MAGIC: u32 = 0x4544_4d41;
/// Version of the blob.
const VERSION: u16 = 0;

/// Writes blob and setup data, and chains them to the header.
///
/// # Errors
/// Memory is not there.
pub(super) fn write_blob(
    memory: &GuestMemoryMmap,
    header: &mut setup_header,
) -> Result<(), GuestMemoryError> {
    let page = PAGE_SIZE as u32;
    let mut blob = Vec::with_capacity(40);
    blob.extend(MAGIC.to_le_bytes());
    blob.extend(VERSION.to_le_bytes());
    blob.extend([0; 2]);
    for address in [SECRETS, CPUID] {
        blob.extend(address.to_le_bytes());
        blob.extend(page.to_le_bytes());
        blob.extend([0; 4]);
    }
    memory.write_slice(&blob, GuestAddress(BLOB))?;
    // next, type, len, cc_blob_address.
    let mut data = header.setup_data.to_le_bytes().to_vec();
    data.extend(SETUP_CC_BLOB.to_le_bytes());
    data.extend(4_u32.to_le_bytes());
    data.extend((BLOB as u32).to_le_bytes());
    memory.write_slice(&data, GuestAddress(SETUP_DATA))?;
    header.setup_data = SETUP_DATA;
    Ok(())
}
