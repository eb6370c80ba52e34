//! The versions of SPDM that this crate speaks, and how a message and VERSION spell them.

/// A version of DSP0274.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Version {
    /// 1.0: only GET_VERSION, VERSION and an ERROR before negotiation.
    V1_0 = 0x10,
    /// 1.1: signatures over bare digests, no transfer in chunks.
    V1_1 = 0x11,
    /// 1.2: what is signed says what it is for.
    V1_2 = 0x12,
    /// 1.3: the requester's context in what is signed.
    V1_3 = 0x13,
}

impl Version {
    /// What [`Responder`](crate::responder::Responder) offers, and what a
    /// [`Requester`](crate::requester::Requester) may be allowed to take.
    pub const NEGOTIABLE: [Version; 3] = [Version::V1_1, Version::V1_2, Version::V1_3];

    /// The negotiable version with this byte in its messages' headers.
    pub fn negotiable(byte: u8) -> Option<Version> {
        Version::NEGOTIABLE.into_iter().find(|version| *version as u8 == byte)
    }
}

/// An entry of VERSION, and of the list of versions of secured messages: major and minor version,
/// update and alpha, a nibble each from the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionNumber(pub u16);

impl VersionNumber {
    /// Major and minor version as the first byte of a message spells them.
    pub fn byte(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// Whether it is a draft, which nobody implements by accident.
    pub fn is_alpha(self) -> bool {
        self.0 & 0xf != 0
    }
}

impl From<Version> for VersionNumber {
    fn from(version: Version) -> VersionNumber {
        VersionNumber(u16::from_be_bytes([version as u8, 0]))
    }
}
