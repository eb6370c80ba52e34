//! The certificates that a hypervisor gives a guest with a report (GHCB standard, 4.1.8.1): a table of
//! entries of 24 bytes, ended by one of zeros, and behind it what they point to.
//!
//! An entry is a GUID, an offset from the table's beginning and a length. The certificates prove
//! themselves, so that the table needs no protection; but it is the host's, and it is read as such.

use core::ops::Range;

const ENTRY: usize = 24;
/// More entries than these are not looked at.
const MOST: usize = 16;

/// What an entry holds: a GUID, in the order of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// VCEK certificate, 63da758d-e664-4564-adc5-f4b93be8accd.
    pub const VCEK: Guid = Guid(0x63da758d_e664_4564_adc5_f4b93be8accd_u128.to_be_bytes());
    /// VLEK certificate, a8074bc2-a25a-483e-aae6-39c045a0b8a1.
    pub const VLEK: Guid = Guid(0xa8074bc2_a25a_483e_aae6_39c045a0b8a1_u128.to_be_bytes());
    /// ASK (or ASVK) certificate, 4ab7b379-bbac-4fe4-a02f-05aef327c782.
    pub const ASK: Guid = Guid(0x4ab7b379_bbac_4fe4_a02f_05aef327c782_u128.to_be_bytes());
    /// ARK certificate, c0b406a4-a803-4952-9743-3fb6014cd0ae.
    pub const ARK: Guid = Guid(0xc0b406a4_a803_4952_9743_3fb6014cd0ae_u128.to_be_bytes());
    /// The ARK's revocation list, 92f81bc3-5811-4d3d-97ff-d19f88dc67ea.
    pub const CRL: Guid = Guid(0x92f81bc3_5811_4d3d_97ff_d19f88dc67ea_u128.to_be_bytes());
}

/// The table points out of its pages, or does not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host's table of certificates makes no sense")]
pub struct Malformed;

/// Bytes that a table of such certificates takes.
pub fn length(certificates: &[(Guid, &[u8])]) -> usize {
    let table = ENTRY * (certificates.len() + 1);
    certificates.iter().fold(table, |sum, (_, bytes)| sum.saturating_add(bytes.len()))
}

/// Writes a table. `None` where it does not fit; nothing is written then.
pub fn write(certificates: &[(Guid, &[u8])], pages: &mut [u8]) -> Option<()> {
    let pages = pages.get_mut(..length(certificates)).filter(|_| certificates.len() < MOST)?;
    pages.fill(0);
    let mut at = ENTRY * (certificates.len() + 1);
    for (index, (guid, bytes)) in certificates.iter().enumerate() {
        let entry = pages.get_mut(ENTRY * index..)?.first_chunk_mut::<ENTRY>()?;
        let (offset, length) = (u32::try_from(at).ok()?, u32::try_from(bytes.len()).ok()?);
        entry[..16].copy_from_slice(&guid.0);
        entry[16..20].copy_from_slice(&offset.to_le_bytes());
        entry[20..].copy_from_slice(&length.to_le_bytes());
        pages.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
        at += bytes.len();
    }
    Some(())
}

/// What the table has under this GUID; `None` where it has nothing. `pages` must be a private copy.
///
/// # Errors
/// The table makes no sense, up to this entry.
pub fn find(pages: &[u8], guid: Guid) -> Result<Option<&[u8]>, Malformed> {
    for index in 0..MOST {
        let entry: &[u8; ENTRY] =
            pages.get(ENTRY * index..).and_then(<[u8]>::first_chunk).ok_or(Malformed)?;
        if entry[..16] == [0; 16] {
            return Ok(None);
        }
        if entry[..16] == guid.0 {
            let word = |at: usize| {
                u32::from_le_bytes(core::array::from_fn(|byte| entry[at + byte])) as usize
            };
            let range: Range<usize> = word(16)..word(16).checked_add(word(20)).ok_or(Malformed)?;
            return pages.get(range).map(Some).ok_or(Malformed);
        }
    }
    Err(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let certificates: [(Guid, &[u8]); 2] = [(Guid::VCEK, &[1, 2, 3]), (Guid::ARK, &[4])];
        let mut pages = [0xff; 128];
        write(&certificates, &mut pages).unwrap();
        // As the GHCB standard lays it out: GUID, offset, length.
        assert_eq!(pages[..8], [0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64]);
        assert_eq!(pages[16..24], [72, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!(pages[40..48], [75, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(pages[48..77], [[0; 24].as_slice(), &[1, 2, 3, 4], &[0xff]].concat());
        assert_eq!(find(&pages, Guid::VCEK), Ok(Some(&[1, 2, 3][..])));
        assert_eq!(find(&pages, Guid::ARK), Ok(Some(&[4][..])));
        assert_eq!(find(&pages, Guid::ASK), Ok(None));
        assert_eq!(write(&certificates, &mut [0; 75]), None);
        assert_eq!(length(&certificates), 76);
    }

    #[test]
    fn a_table_of_a_hostile_host_is_refused() {
        let mut pages = [0; 128];
        write(&[(Guid::VCEK, &[1, 2, 3])], &mut pages).unwrap();
        for (at, value) in [(16, 126), (19, 0x80), (20, 81), (23, 0xff)] {
            let mut changed = pages;
            changed[at] = value;
            assert_eq!(find(&changed, Guid::VCEK), Err(Malformed), "byte {at}");
        }
        assert_eq!(find(&[], Guid::VCEK), Err(Malformed));
        assert_eq!(find(&[0xff; 4096], Guid::VCEK), Err(Malformed), "a table without end");
        assert_eq!(find(&pages[..23], Guid::VCEK), Err(Malformed));
    }
}
