//! The secrets page (ABI, SNP_LAUNCH_UPDATE, "Secrets Page Format"): how a guest learns its keys.
//!
//! | offset | field |
//! | --- | --- |
//! | 0x00 | VERSION |
//! | 0x08 | FMS: family, model and stepping of the processor |
//! | 0x10 | GOSVW, 16 bytes |
//! | 0x20 | VMPCK0 to VMPCK3, 32 bytes each |
//! | 0xa0 | 96 bytes for the guest's own use |
//! | 0x100 | VMSA tweak bitmap, 64 bytes |
//!
//! On hardware the AMD-SP writes the page into memory that only the guest reads.

use crate::{Page, VMPCKS, Vmpck, field, put};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The oldest version that has the fields above.
const OLDEST_VERSION: u32 = 2;
/// The version that is written here.
const VERSION: u32 = 3;
const FMS: usize = 0x08;
const VMPCK0: usize = 0x20;
const KEY_SIZE: usize = 32;

/// A secrets page. It wipes itself.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretsPage(Page);

/// A page is no secrets page, or its key is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// VERSION.
    #[error("a secrets page of version {0}, where {OLDEST_VERSION} and later are known")]
    Version(u32),
    /// There is no such key, or it is zeros.
    #[error("the secrets page has no key {0}")]
    NoKey(u8),
}

impl SecretsPage {
    /// The AMD-SP's page for a guest: the processor's CPUID 1 EAX, and the guest's keys.
    pub fn new(fms: u32, keys: &[Vmpck; VMPCKS]) -> SecretsPage {
        let mut page = SecretsPage([0; size_of::<Page>()]);
        put(&mut page.0, 0, &VERSION.to_le_bytes());
        put(&mut page.0, FMS, &fms.to_le_bytes());
        for key in keys {
            put(&mut page.0, VMPCK0 + KEY_SIZE * usize::from(key.number()), key.bytes());
        }
        page
    }

    /// The page in these bytes. The caller's own copy is the caller's to wipe.
    ///
    /// # Errors
    /// It is none.
    pub fn from_bytes(bytes: Page) -> Result<SecretsPage, Error> {
        let page = SecretsPage(bytes);
        match field(&page.0, 0).map(u32::from_le_bytes) {
            Some(version) if version >= OLDEST_VERSION => Ok(page),
            version => Err(Error::Version(version.unwrap_or_default())),
        }
    }

    /// The page's bytes.
    pub fn as_bytes(&self) -> &Page {
        &self.0
    }

    /// Takes a key out of the page: it is not there afterwards.
    ///
    /// # Errors
    /// It is not there.
    pub fn take_key(&mut self, number: u8) -> Result<Vmpck, Error> {
        let at = VMPCK0 + KEY_SIZE * usize::from(number);
        let key = match usize::from(number) < VMPCKS {
            true => field(&self.0, at).and_then(|key| Vmpck::new(number, key)),
            false => None,
        };
        put(&mut self.0, at, if key.is_some() { &[0; KEY_SIZE] } else { &[] });
        key.ok_or(Error::NoKey(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> [Vmpck; VMPCKS] {
        core::array::from_fn(|number| Vmpck::new(number as u8, [number as u8 + 1; 32]).unwrap())
    }

    /// Offsets from the ABI's table, as Linux (`struct snp_secrets_page`) has them too.
    #[test]
    fn keys_stand_where_the_abi_puts_them() {
        let page = SecretsPage::new(0x00a0_0f11, &keys());
        let bytes = page.as_bytes();
        assert_eq!((bytes[0], bytes[8], bytes[10]), (3, 0x11, 0xa0));
        assert_eq!(bytes[0x20..0x40], [1; 32]);
        assert_eq!(bytes[0x80..0xa0], [4; 32]);
        assert!(bytes[0xa0..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_key_is_taken_once() {
        let mut page = SecretsPage::from_bytes(*SecretsPage::new(0, &keys()).as_bytes()).unwrap();
        assert_eq!(page.take_key(2).unwrap().bytes(), &[3; 32]);
        assert_eq!(page.take_key(2).err(), Some(Error::NoKey(2)));
        assert_eq!(page.as_bytes()[0x60..0x80], [0; 32]);
        assert_eq!(page.as_bytes()[0x80..0xa0], [4; 32], "the other keys stay");
        assert_eq!(page.take_key(4).err(), Some(Error::NoKey(4)));
        assert_eq!(page.as_bytes()[0x80..0xa0], [4; 32]);
        assert_eq!(SecretsPage::from_bytes([0; 4096]).err(), Some(Error::Version(0)));
    }
}
