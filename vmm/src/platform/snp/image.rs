//! An image through the launch: its pages in their order, runs of a kind at once, then what binds it to
//! its owner.
//!
//! What is to be put in stands on the shared side of guest memory, where loading has left it. It is
//! given back when the launch is over.

use super::cpuid;
use super::kernel::Kernel;
use super::launch::{self, Binding, Identity, Launch, New, PageKind};
use crate::memory::Memory;
use kvm_bindings::kvm_cpuid_entry2;
use ravelin_launch::{Image, Page, PageType};
use ravelin_snp::ghcb::PAGE_SIZE;
use std::ops::Range;
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryError};

/// Why an image was not launched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel, or the AMD-SP, refused a step.
    #[error(transparent)]
    Launch(#[from] launch::Error),
    /// There is no CPUID page.
    #[error(transparent)]
    Cpuid(#[from] cpuid::TooMany),
    /// The image puts vCPU states in as pages.
    #[error("the image has a vCPU's state among its pages, at {0:#x}: KVM puts those in itself")]
    State(u64),
    /// The image is for memory that the guest does not have.
    #[error("the image has a page at {0:#x}, where the guest has no memory: give it more --memory")]
    NoMemory(u64, #[source] GuestMemoryError),
}

/// Launches an image that has been loaded into this memory, with the CPUID that its vCPUs have. Their
/// registers have been set.
///
/// # Errors
/// Something in the image cannot be launched, or a step is refused. The VM is of no use afterwards.
pub(crate) fn launch<K: Kernel>(
    begun: Launch<'_, K, New>,
    image: &Image,
    memory: &Memory,
    cpuid: &[kvm_cpuid_entry2],
    host_data: [u8; 32],
) -> Result<(), Error> {
    let page = cpuid::page(cpuid)?;
    let mut started = begun.start(image.policy)?;
    for (kind, range) in runs(&image.pages)? {
        if kind == PageKind::Cpuid {
            started.cpuid(range.start, &page)?;
            continue;
        }
        let source = memory
            .private()
            .get_host_address(GuestAddress(range.start))
            .map_err(|error| Error::NoMemory(range.start, error))?;
        started.update(kind, range, source)?;
    }
    let identity = image.id_block.as_ref().map(|signed| {
        Box::new(Identity {
            block: signed.block.encode(),
            authentication: signed.encode_auth(),
            author: signed.author.is_some(),
        })
    });
    let finished = started.finish(&Binding { identity, host_data })?;
    if !finished.asks_for_certificates() {
        tracing::info!("this kernel gives guests no certificates with their reports");
    }
    memory.forget_what_was_launched();
    Ok(())
}

/// Pages of one kind that follow each other, in the image's order.
fn runs(pages: &[Page]) -> Result<Vec<(PageKind, Range<u64>)>, Error> {
    let mut runs: Vec<(PageKind, Range<u64>)> = Vec::new();
    for page in pages {
        let kind = match page.kind {
            PageType::Normal => PageKind::Normal,
            PageType::Zero => PageKind::Zero,
            PageType::Unmeasured => PageKind::Unmeasured,
            PageType::Secrets => PageKind::Secrets,
            PageType::Cpuid => PageKind::Cpuid,
            PageType::Vmsa => return Err(Error::State(page.address)),
        };
        let end = page.address.saturating_add(PAGE_SIZE as u64);
        match runs.last_mut() {
            // Each CPUID page is one of its own.
            Some((last, range))
                if *last == kind && range.end == page.address && kind != PageKind::Cpuid =>
            {
                range.end = end;
            }
            _ => runs.push((kind, page.address..end)),
        }
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::VmType;
    use crate::platform::snp::recorder::{Call, Recorder};
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::sync::Arc;
    use vm_memory::Bytes;

    const PAGE: u64 = PAGE_SIZE as u64;
    const RANGES: [Range<u64>; 2] = [0..8 << 20, 4 << 30..(4 << 30) + (2 << 20)];

    fn image() -> Image {
        let page = |kind, address, byte: Option<u8>| Page {
            kind,
            address,
            contents: byte.map(|byte| Box::new([byte; PAGE_SIZE])),
        };
        Image {
            policy: 0x3_0000,
            pages: vec![
                page(PageType::Normal, 0x1000, Some(1)),
                page(PageType::Normal, 0x2000, Some(2)),
                page(PageType::Zero, 0x3000, None),
                page(PageType::Unmeasured, 0x4000, Some(3)),
                page(PageType::Secrets, 0x5000, None),
                page(PageType::Cpuid, 0x6000, None),
                page(PageType::Zero, RANGES[0].end - PAGE, None),
                page(PageType::Zero, RANGES[1].start, None),
                page(PageType::Normal, RANGES[1].start + PAGE, Some(4)),
            ],
            ..Image::default()
        }
    }

    fn launched(image: &Image) -> (Arc<Recorder>, Memory, Result<(), Error>) {
        let kernel = Arc::<Recorder>::default();
        let memory = Memory::of_kernel(kernel.clone(), &RANGES, VmType::Snp).unwrap();
        for page in &image.pages {
            if let Some(contents) = &page.contents {
                // Best effort: an image may name memory that there is not.
                let _ = memory.private().write_slice(&**contents, GuestAddress(page.address));
            }
        }
        let device = File::open("/dev/null").unwrap();
        let begun = Launch::new(&*kernel, device.as_fd()).unwrap();
        let result = launch(begun, image, &memory, &[], [0; 32]);
        (kernel, memory, result)
    }

    #[test]
    fn the_sequence_implies_the_digest_that_the_image_predicts() {
        let image = image();
        let (kernel, _, result) = launched(&image);
        result.unwrap();
        assert_eq!(kernel.digest(), image.digest());
        let updates = kernel.calls().into_iter().filter(|call| matches!(call, Call::Update { .. }));
        assert_eq!(updates.count(), 8, "neighbours of a kind go in at once");
    }

    #[test]
    fn what_was_launched_is_not_left_in_this_process() {
        let (_, memory, result) = launched(&image());
        result.unwrap();
        for address in [0x1000, 0x4000, RANGES[1].start + PAGE] {
            let left: u64 = memory.shared().read_obj(GuestAddress(address)).unwrap();
            assert_eq!(left, 0, "{address:#x}");
        }
    }

    #[test]
    fn an_image_that_kvm_would_not_take_is_refused_before_it_is_asked() {
        let mut state = image();
        state.pages[0].kind = PageType::Vmsa;
        assert!(matches!(launched(&state).2, Err(Error::State(0x1000))));
        let mut hole = image();
        hole.pages[6].address = RANGES[0].end;
        assert!(matches!(launched(&hole).2, Err(Error::NoMemory(0x80_0000, _))));
    }
}
