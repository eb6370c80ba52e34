//! The launch of a guest on the emulated platform: an image goes through the emulated AMD-SP, page by page
//! as SNP_LAUNCH_UPDATE does it, then the states of its vCPUs.
//!
//! What is in the image is in private memory already, but for the secrets page, which is the AMD-SP's to
//! write. An owner's id block is compared with what was launched; its signatures are not looked at, since
//! nothing here would keep anybody from leaving it away.

use ravelin_launch::{Image, Page, PageType};
use ravelin_snp::ghcb::PAGE_SIZE;
use ravelin_snp::vmsa;
use ravelin_sp_model::{Guest, Launch};
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

/// Why a guest was not launched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The emulated AMD-SP could not.
    #[error("the emulated AMD-SP cannot launch the guest")]
    SecureProcessor(#[from] ravelin_sp_model::Error),
    /// Guest memory is not where the layout says.
    #[error("guest memory cannot be read")]
    Memory(#[from] GuestMemoryError),
    /// The owner means another guest.
    #[error("the image's id block is for another launch digest or policy: sign the image again")]
    IdBlock,
}

/// Launches the guest whose image is in `memory`, and puts in its secrets page.
pub(crate) fn launch(
    image: &Image,
    memory: &GuestMemoryMmap,
    host_data: [u8; 32],
) -> Result<Guest, Error> {
    let mut launch = Launch::start(image.policy)?;
    for Page { kind, address, contents } in &image.pages {
        if *kind == PageType::Secrets {
            launch.insert_secrets(*address, |page| {
                memory.write_slice(page, GuestAddress(*address))
            })?;
        } else {
            launch.update(*kind, *address, contents.as_deref().unwrap_or(&[0; PAGE_SIZE]));
        }
    }
    for vcpu in &image.vcpus {
        launch.update(PageType::Vmsa, vmsa::ADDRESS, vcpu);
    }
    let guest = launch.finish(host_data)?;
    if let Some(signed) = &image.id_block
        && (signed.block.digest != guest.measurement() || signed.block.policy != image.policy)
    {
        return Err(Error::IdBlock);
    }
    Ok(guest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::{builtin, start_info};
    use ravelin_launch::DEFAULT_POLICY;
    use ravelin_launch::id_block::{IdBlock, PublicKey, Signature, Signed};
    use ravelin_snp::vmsa::Vmsa;

    const END: u64 = 0x20_0000;

    fn memory() -> GuestMemoryMmap {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), END as usize)]).unwrap();
        memory.write_slice(b"the guest", GuestAddress(0x10_0000)).unwrap();
        memory
    }

    fn image(memory: &GuestMemoryMmap) -> Image {
        Image {
            policy: DEFAULT_POLICY,
            pages: builtin::pages(memory, END).unwrap(),
            vcpus: vec![Box::new(Vmsa::reset(0x10_0000, 0, 1).encode())],
            ..Image::default()
        }
    }

    fn measurement(memory: &GuestMemoryMmap) -> [u8; 48] {
        launch(&image(memory), memory, [0; 32]).unwrap().measurement()
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
    fn the_state_of_the_vcpus_is_measured() {
        let memory = memory();
        let good = measurement(&memory);
        let mut other = image(&memory);
        other.vcpus[0][0x178] ^= 1;
        assert_ne!(launch(&other, &memory, [0; 32]).unwrap().measurement(), good, "RIP");
        let mut more = image(&memory);
        more.vcpus.push(more.vcpus[0].clone());
        assert_ne!(launch(&more, &memory, [0; 32]).unwrap().measurement(), good, "one more");
    }

    #[test]
    fn the_digest_is_the_one_that_the_image_predicts() {
        let memory = memory();
        assert_eq!(measurement(&memory), image(&memory).digest());
    }

    #[test]
    fn an_image_that_its_owner_did_not_mean_is_not_launched() {
        let memory = memory();
        let signed = |digest, policy| Signed {
            block: IdBlock { digest, family_id: [0; 16], image_id: [0; 16], guest_svn: 0, policy },
            key: PublicKey { x: [1; 48], y: [2; 48] },
            signature: Signature { r: [3; 48], s: [4; 48] },
            author: None,
        };
        let with = |signed| Image { id_block: Some(Box::new(signed)), ..image(&memory) };
        let good = image(&memory).digest();
        assert!(launch(&with(signed(good, DEFAULT_POLICY)), &memory, [0; 32]).is_ok());
        for other in [signed([0; 48], DEFAULT_POLICY), signed(good, DEFAULT_POLICY | 1 << 19)] {
            assert!(matches!(launch(&with(other), &memory, [0; 32]), Err(Error::IdBlock)));
        }
    }

    #[test]
    fn the_secrets_page_is_in_the_guests_memory_and_another_one_each_time() {
        let page = |memory: &GuestMemoryMmap| {
            launch(&image(memory), memory, [0; 32]).unwrap();
            let mut page = [0; PAGE_SIZE];
            memory.read_slice(&mut page, GuestAddress(start_info::SECRETS)).unwrap();
            page
        };
        let (first, second) = (page(&memory()), page(&memory()));
        assert_ne!(first[0x20..0xa0], second[0x20..0xa0]);
        assert_eq!(first[0xa0..], [0; PAGE_SIZE - 0xa0]);
    }
}
