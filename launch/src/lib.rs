//! What an SNP guest is launched from, as pages, vCPU states and a digest.
//!
//! An [`Image`] is all that a launch puts into a guest, in its order. It comes from a firmware file
//! ([`ovmf`]), from an IGVM file ([`igvm`]) or from whoever loads a kernel by himself, and whatever it
//! comes from, its [digest](Image::digest) is what reports on the guest will say. [`vcpu`] knows
//! processors by name and the state in which VMMs leave them; [`id_block`] is what the guest's owner
//! signs.
//!
//! Nothing here talks to a kernel or holds a key. Files are outside bytes: whatever is in them, the worst
//! that comes of it is an error.

pub mod id_block;
pub mod igvm;
pub mod ovmf;
pub mod vcpu;

use ravelin_snp::ghcb::PAGE_SIZE;
use ravelin_snp::launch_digest::LaunchDigest;
pub use ravelin_snp::launch_digest::PageType;
use ravelin_snp::vmsa;
use std::ops::Range;

/// The bytes of a page.
pub type PageBytes = [u8; PAGE_SIZE];

/// The policy of guests whose owner says nothing: no debugging, no migration, sibling threads allowed;
/// bit 17 is always set (ABI, "Guest Policy").
pub const DEFAULT_POLICY: u64 = 1 << 17 | 1 << 16;

/// A page that a launch puts in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its type.
    pub kind: PageType,
    /// Its guest-physical address.
    pub address: u64,
    /// What is on it; zeros where there is nothing.
    pub contents: Option<Box<PageBytes>>,
}

/// All that a launch puts into a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The guest's policy.
    pub policy: u64,
    /// Pages, in the order in which they are put in.
    pub pages: Vec<Page>,
    /// A VMSA page for each vCPU, in the order of the vCPUs. They are put in last, as KVM does it.
    pub vcpus: Vec<Box<PageBytes>>,
    /// Memory that the guest takes to be there; not measured by itself.
    pub required_memory: Vec<Range<u64>>,
    /// What the owner has signed, if anything.
    pub id_block: Option<Box<id_block::Signed>>,
}

impl Image {
    /// Puts everything in, in its order.
    pub fn launch(&self, mut put: impl FnMut(PageType, u64, &PageBytes)) {
        for Page { kind, address, contents } in &self.pages {
            put(*kind, *address, contents.as_deref().unwrap_or(&[0; PAGE_SIZE]));
        }
        for vcpu in &self.vcpus {
            put(PageType::Vmsa, vmsa::ADDRESS, vcpu);
        }
    }

    /// The launch digest: MEASUREMENT in the guest's reports.
    pub fn digest(&self) -> [u8; 48] {
        let mut digest = LaunchDigest::new();
        self.launch(|kind, address, page| digest.update(kind, address, page));
        digest.value()
    }

    /// Appends pages of one type from `address` on, without contents.
    pub fn push_empty(&mut self, kind: PageType, address: u64, count: u64) {
        let pages = (0..count).map(|page| address + PAGE_SIZE as u64 * page);
        self.pages.extend(pages.map(|address| Page { kind, address, contents: None }));
    }
}
