//! VM platform communication keys: what the guest and the AMD-SP seal messages with.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// How many keys a guest has: one for each VMPL, by convention of the guest's.
pub const VMPCKS: usize = 4;

/// One VMPCK: 32 bytes for AES-256-GCM, and which of the four it is. It wipes itself and can be neither
/// copied nor printed.
#[derive(ZeroizeOnDrop)]
pub struct Vmpck {
    key: [u8; 32],
    #[zeroize(skip)]
    number: u8,
}

impl Vmpck {
    /// The key of this number. The caller's own copy is the caller's to wipe. `None` where there are
    /// not so many keys, and for a key of zeros, which is no key but a wiped one.
    pub fn new(number: u8, mut key: [u8; 32]) -> Option<Vmpck> {
        let sound = usize::from(number) < VMPCKS && key != [0; 32];
        let vmpck = Vmpck { key, number };
        key.zeroize();
        sound.then_some(vmpck)
    }

    /// Which of the four it is: MSG_VMPCK.
    pub fn number(&self) -> u8 {
        self.number
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.key
    }
}
