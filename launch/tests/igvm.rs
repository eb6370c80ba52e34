//! IGVM files are read back as they were written, and a broken one is an error.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use igvm::snp_defs::SevVmsa;
use igvm::{IgvmDirectiveHeader as Directive, IgvmFile, IgvmPlatformHeader, IgvmRevision};
use igvm_defs::{
    IGVM_VHS_PARAMETER, IGVM_VHS_PARAMETER_INSERT, IGVM_VHS_SUPPORTED_PLATFORM, IgvmPageDataFlags,
    IgvmPageDataType, IgvmPlatformType,
};
use proptest::prelude::*;
use ravelin_launch::id_block::{IdBlock, PublicKey, Signature, Signed};
use ravelin_launch::igvm::{Error, read, write};
use ravelin_launch::{DEFAULT_POLICY, Image, Page, PageType};
use ravelin_snp::vmsa::Vmsa;
use zerocopy::FromBytes;

fn image() -> Image {
    let page = |kind, address, byte: Option<u8>| Page {
        kind,
        address,
        contents: byte.map(|byte| Box::new([byte; 4096])),
    };
    Image {
        policy: DEFAULT_POLICY,
        pages: vec![
            page(PageType::Normal, 0x1000, Some(1)),
            page(PageType::Zero, 0x2000, None),
            page(PageType::Unmeasured, 0x3000, Some(2)),
            page(PageType::Unmeasured, 0x4000, None),
            page(PageType::Secrets, 0x5000, None),
            page(PageType::Cpuid, 0x6000, None),
            // Zeros that are measured as bytes.
            page(PageType::Normal, 0x20_0000, Some(0)),
        ],
        vcpus: vec![
            Box::new(Vmsa::reset(0xffff_fff0, 0x00a0_0f11, 1).encode()),
            Box::new(Vmsa::reset(0x80_b004, 0x00a0_0f11, 1).encode()),
        ],
        required_memory: vec![0..0x20_0000, 4 << 30..7 << 30],
        id_block: None,
    }
}

fn signed(image: &Image, author: bool) -> Signed {
    let key = PublicKey { x: [1; 48], y: [2; 48] };
    let signature = Signature { r: [3; 48], s: [4; 48] };
    Signed {
        block: IdBlock {
            digest: image.digest(),
            family_id: [5; 16],
            image_id: [6; 16],
            guest_svn: 7,
            policy: image.policy,
        },
        key,
        signature,
        author: author.then_some((key, signature)),
    }
}

#[test]
fn what_is_written_is_read_and_has_the_same_digest() {
    let mut image = image();
    for id_block in [None, Some(false), Some(true)] {
        image.id_block = id_block.map(|author| Box::new(signed(&image, author)));
        let file = write(&image).unwrap();
        let loaded = read(&file).unwrap();
        assert_eq!(loaded, image);
        assert_eq!(loaded.digest(), image.digest());
        assert_eq!(write(&loaded).unwrap(), file, "the same bytes");
    }
}

/// The digest of the pages by hand, in the order in which they stand in the file.
#[test]
fn the_digest_follows_the_files_order() {
    let mut other = image();
    other.pages.swap(0, 1);
    assert_ne!(other.digest(), image().digest());
    assert_eq!(read(&write(&other).unwrap()).unwrap().digest(), other.digest());
    let mut zero = image();
    zero.pages[6] = Page { kind: PageType::Zero, address: 0x20_0000, contents: None };
    assert_ne!(zero.digest(), image().digest(), "a page of zeros is not a zero page");
}

/// A file of somebody else's.
fn foreign(directives: Vec<Directive>) -> Vec<u8> {
    foreign_for(IgvmPlatformType::SEV_SNP, 1, 0, directives)
}

fn foreign_for(
    platform_type: IgvmPlatformType,
    platform_version: u16,
    shared_gpa_boundary: u64,
    directives: Vec<Directive>,
) -> Vec<u8> {
    let platform = IGVM_VHS_SUPPORTED_PLATFORM {
        compatibility_mask: 1,
        highest_vtl: 0,
        platform_type,
        platform_version,
        shared_gpa_boundary,
    };
    let platforms = vec![IgvmPlatformHeader::SupportedPlatform(platform)];
    let file = IgvmFile::new(IgvmRevision::V1, platforms, vec![], directives).unwrap();
    let mut bytes = Vec::new();
    file.serialize(&mut bytes).unwrap();
    bytes
}

fn context(vp_index: u16) -> Directive {
    let page = Vmsa::reset(0xffff_fff0, 0, 1).encode();
    let vmsa = Box::new(SevVmsa::read_from_bytes(&page).unwrap());
    Directive::SnpVpContext { gpa: 0xffff_ffff_f000, compatibility_mask: 1, vp_index, vmsa }
}

fn page(flags: IgvmPageDataFlags) -> Directive {
    Directive::PageData {
        gpa: 0x20_0000,
        compatibility_mask: 1,
        flags,
        data_type: IgvmPageDataType::NORMAL,
        data: vec![1],
    }
}

#[test]
fn a_parameter_area_becomes_unmeasured_pages() {
    let area = Directive::ParameterArea {
        number_of_bytes: 0x2000,
        parameter_area_index: 3,
        initial_data: vec![9; 0x1001],
    };
    let insert = Directive::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
        gpa: 0x7000,
        compatibility_mask: 1,
        parameter_area_index: 3,
    });
    let loaded = read(&foreign(vec![area, insert, context(0)])).unwrap();
    let pages: Vec<_> = loaded.pages.iter().map(|page| (page.kind, page.address)).collect();
    assert_eq!(pages, [(PageType::Unmeasured, 0x7000), (PageType::Unmeasured, 0x8000)]);
    let second = loaded.pages[1].contents.as_ref().unwrap();
    assert_eq!((second[0], second[1]), (9, 0));
    assert_eq!(loaded.policy, DEFAULT_POLICY);
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    let refused = |file: Vec<u8>| read(&file).unwrap_err().to_string();
    let plain = page(IgvmPageDataFlags::new());
    let large = page(IgvmPageDataFlags::new().with_is_2mb_page(true));
    assert!(refused(foreign(vec![large, context(0)])).contains("2 MiB"));
    let shared = page(IgvmPageDataFlags::new().with_shared(true));
    assert!(refused(foreign(vec![shared, context(0)])).contains("host sees"));
    let area = Directive::ParameterArea {
        number_of_bytes: 0x1000,
        parameter_area_index: 0,
        initial_data: vec![],
    };
    let map = Directive::MemoryMap(IGVM_VHS_PARAMETER { parameter_area_index: 0, byte_offset: 0 });
    let insert = Directive::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
        gpa: 0,
        compatibility_mask: 1,
        parameter_area_index: 0,
    });
    assert!(refused(foreign(vec![area, map, insert, context(0)])).contains("memory map"));
    assert!(refused(foreign(vec![plain.clone()])).contains("no state for vCPU 0"));
    assert!(refused(foreign(vec![plain.clone(), context(1)])).contains("no state for vCPU 0"));
    assert!(refused(foreign(vec![context(0), context(0)])).contains("two states"));
    let native = foreign_for(IgvmPlatformType::NATIVE, 1, 0, vec![plain.clone()]);
    assert!(matches!(read(&native), Err(Error::OtherPlatform)));
    let virtual_top = foreign_for(IgvmPlatformType::SEV_SNP, 1, 1 << 46, vec![plain, context(0)]);
    assert!(refused(virtual_top).contains("virtual top"));
}

#[test]
fn what_is_no_igvm_file_is_an_error() {
    let file = write(&image()).unwrap();
    for bytes in [&[][..], b"IGVM", &file[..file.len() - 1], &file[..23], &file[1..]] {
        assert!(read(bytes).is_err());
    }
    let mut checksum = file.clone();
    checksum[40] ^= 1;
    assert!(matches!(read(&checksum), Err(Error::Broken(_))));
}

/// The checksum of a changed file, so that the change is looked at (IGVM_FIXED_HEADER.checksum).
fn with_checksum(mut file: Vec<u8>) -> Vec<u8> {
    let word = |file: &[u8], at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let end = (word(&file, 8) as usize).saturating_add(word(&file, 12) as usize);
    if end <= file.len() {
        file[20..24].fill(0);
        let mut crc = !0_u32;
        for byte in &file[..end] {
            crc ^= u32::from(*byte);
            (0..8).for_each(|_| crc = crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()));
        }
        file[20..24].copy_from_slice(&(!crc).to_le_bytes());
    }
    file
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_change_of_the_headers_makes_reading_panic(
        changes in prop::collection::vec((0_usize..800, any::<u8>()), 1..4),
    ) {
        let mut file = write(&image()).unwrap();
        for (at, value) in changes {
            if let Some(byte) = file.get_mut(at) {
                *byte = value;
            }
        }
        if let Ok(loaded) = read(&with_checksum(file)) {
            let _ = write(&loaded);
        }
    }
}
