//! The launch digest of an SNP guest (ABI, SNP_LAUNCH_UPDATE, "PAGE_INFO"): a chain of SHA-384 over
//! the pages that were put into its memory before it began, in the order in which they were.

use sha2::{Digest, Sha384};

/// What kind of page is put in (ABI, "PAGE_TYPE").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PageType {
    /// Measured.
    Normal = 1,
    /// The state of a vCPU, measured.
    Vmsa = 2,
    /// Zeros; that it is zero is measured.
    Zero = 3,
    /// That it is there is measured, but not what is on it.
    Unmeasured = 4,
    /// The secrets page, which the AMD-SP fills.
    Secrets = 5,
    /// The CPUID page, which the AMD-SP checks.
    Cpuid = 6,
}

/// Bytes of PAGE_INFO.
const PAGE_INFO: u16 = 0x70;

/// A launch digest in the making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchDigest([u8; 48]);

impl LaunchDigest {
    /// Of no pages.
    pub fn new() -> LaunchDigest {
        LaunchDigest([0; 48])
    }

    /// Adds a page at this guest-physical address, with no rights for VMPLs above 0.
    pub fn update(&mut self, kind: PageType, address: u64, page: &[u8; crate::ghcb::PAGE_SIZE]) {
        let contents = match kind {
            PageType::Normal | PageType::Vmsa => Sha384::digest(page).into(),
            PageType::Zero | PageType::Unmeasured | PageType::Secrets | PageType::Cpuid => [0; 48],
        };
        let digest = Sha384::new()
            .chain_update(self.0)
            .chain_update(contents)
            .chain_update(PAGE_INFO.to_le_bytes())
            // Page type; no IMI page; permissions of VMPL 3, 2 and 1; reserved.
            .chain_update([kind as u8, 0, 0, 0, 0, 0])
            .chain_update(address.to_le_bytes());
        self.0 = digest.finalize().into();
    }

    /// The digest of the pages so far: MEASUREMENT in a report.
    pub fn value(&self) -> [u8; 48] {
        self.0
    }
}

impl Default for LaunchDigest {
    fn default() -> Self {
        Self::new()
    }
}
