//! What a guest says through the GHCB: the MSR protocol, the page, page-state changes. Each value
//! has one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_snp::cpuid::EncryptionLeaf;
use ravelin_snp::ghcb::page::{Field, Ghcb};
use ravelin_snp::ghcb::page_state::{Entry, Header, Status};
use ravelin_snp::ghcb::protocol::{Request, Response};

/// Bytes of the page.
const PAGE_SIZE: usize = 4096;

fuzz_target!(|data: &[u8]| {
    for bytes in data.as_chunks::<8>().0 {
        let word = u64::from_le_bytes(*bytes);
        if let Some(request) = Request::decode(word) {
            assert_eq!(Request::decode(request.encode()), Some(request));
        }
        if let Some(response) = Response::decode(word) {
            assert_eq!(Response::decode(response.encode()), Some(response));
        }
        if let Some(entry) = Entry::decode(word) {
            assert_eq!(entry.encode(), word);
        }
        if let Some(header) = Header::decode(*bytes) {
            assert_eq!(header.encode(), *bytes);
        }
        assert_eq!(Status::decode(Status::decode(word).encode()), Status::decode(word));
        let leaf = EncryptionLeaf::decode(word as u32, (word >> 32) as u32);
        let (eax, ebx) = leaf.encode();
        assert_eq!(EncryptionLeaf::decode(eax, ebx).encode(), (eax, ebx));
    }
    let mut page = [0; PAGE_SIZE];
    // The shared buffer and the fields behind it are where something stands.
    let length = data.len().min(PAGE_SIZE);
    page[..length].copy_from_slice(&data[..length]);
    page.rotate_right(PAGE_SIZE / 5);
    let mut ghcb = Ghcb::from_bytes(page);
    let _ = (ghcb.version(), ghcb.usage());
    for field in [Field::ExitCode, Field::ExitInfo1, Field::ExitInfo2, Field::Scratch] {
        if let Some(value) = ghcb.get(field) {
            ghcb.set(field, value);
            assert_eq!(ghcb.get(field), Some(value));
        }
    }
    if let Some(header) = ghcb.page_state_header() {
        for index in header.current..=header.end {
            if let Some(entry) = ghcb.page_state_entry(index) {
                ghcb.set_page_state_entry(index, entry);
                assert_eq!(ghcb.page_state_entry(index), Some(entry));
            }
        }
        ghcb.set_page_state_header(header);
        assert_eq!(ghcb.page_state_header(), Some(header));
    }
});
