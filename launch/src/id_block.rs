//! ID blocks (ABI, SNP_LAUNCH_FINISH): what a guest's owner says of it, signed, so that firmware starts no
//! other guest under that name and reports carry the digests of the owner's keys.
//!
//! Layouts only. Who has the keys signs and checks: `ravelin-id-block`.

use sha2::{Digest, Sha384};

/// Bytes of ID_BLOCK.
pub const BLOCK_SIZE: usize = 96;
/// Bytes of ID_AUTH, "ID Authentication Information Structure".
pub const AUTH_SIZE: usize = 4096;

/// A number of P-384, big-endian.
type Number = [u8; 48];
/// Bytes of a number as firmware has it, little-endian.
const NUMBER: usize = 72;
/// Bytes of a signature: two numbers, the rest reserved.
const SIGNATURE: usize = 512;
/// Bytes of a public key: curve, two numbers, the rest reserved.
const KEY: usize = 1028;
/// ECDSA P-384 with SHA-384, for both keys.
const ECDSA_P384_SHA384: u32 = 1;

// Offsets in ID_AUTH.
const ID_KEY_ALGORITHM: usize = 0;
const AUTHOR_KEY_ALGORITHM: usize = 4;
const ID_BLOCK_SIGNATURE: usize = 0x40;
const ID_KEY: usize = 0x240;
const ID_KEY_SIGNATURE: usize = 0x680;
const AUTHOR_KEY: usize = 0x880;

/// What the owner says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdBlock {
    /// The launch digest that the guest must have.
    pub digest: [u8; 48],
    /// FAMILY_ID, the owner's to choose.
    pub family_id: [u8; 16],
    /// IMAGE_ID, the owner's to choose.
    pub image_id: [u8; 16],
    /// GUEST_SVN: the version of the image as far as security goes.
    pub guest_svn: u32,
    /// The policy that the guest must be launched with.
    pub policy: u64,
}

impl IdBlock {
    /// VERSION.
    pub const VERSION: u32 = 1;

    /// ID_BLOCK: what is signed.
    pub fn encode(&self) -> [u8; BLOCK_SIZE] {
        let mut bytes = [0; BLOCK_SIZE];
        put(&mut bytes, 0x00, &self.digest);
        put(&mut bytes, 0x30, &self.family_id);
        put(&mut bytes, 0x40, &self.image_id);
        put(&mut bytes, 0x50, &Self::VERSION.to_le_bytes());
        put(&mut bytes, 0x54, &self.guest_svn.to_le_bytes());
        put(&mut bytes, 0x58, &self.policy.to_le_bytes());
        bytes
    }

    /// The block in these bytes; `None` for another version.
    pub fn decode(bytes: &[u8; BLOCK_SIZE]) -> Option<IdBlock> {
        let block = IdBlock {
            digest: chunk(bytes, 0x00),
            family_id: chunk(bytes, 0x30),
            image_id: chunk(bytes, 0x40),
            guest_svn: u32::from_le_bytes(chunk(bytes, 0x54)),
            policy: u64::from_le_bytes(chunk(bytes, 0x58)),
        };
        (block.encode() == *bytes).then_some(block)
    }
}

/// A public key on P-384.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// X, big-endian.
    pub x: Number,
    /// Y, big-endian.
    pub y: Number,
}

impl PublicKey {
    /// CURVE of P-384.
    pub const P384: u32 = 2;

    /// The key as firmware has it: what an author signs.
    pub fn encode(&self) -> [u8; KEY] {
        let mut bytes = [0; KEY];
        put(&mut bytes, 0, &Self::P384.to_le_bytes());
        put(&mut bytes, 4, &little(&self.x));
        put(&mut bytes, 4 + NUMBER, &little(&self.y));
        bytes
    }

    /// ID_KEY_DIGEST or AUTHOR_KEY_DIGEST in reports.
    pub fn digest(&self) -> [u8; 48] {
        Sha384::digest(self.encode()).into()
    }

    fn decode(bytes: &[u8; KEY]) -> Option<PublicKey> {
        let key = PublicKey { x: big(&chunk(bytes, 4)), y: big(&chunk(bytes, 4 + NUMBER)) };
        (key.encode() == *bytes).then_some(key)
    }
}

/// A signature of ECDSA on P-384.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// R, big-endian.
    pub r: Number,
    /// S, big-endian.
    pub s: Number,
}

impl Signature {
    fn encode(&self) -> [u8; SIGNATURE] {
        let mut bytes = [0; SIGNATURE];
        put(&mut bytes, 0, &little(&self.r));
        put(&mut bytes, NUMBER, &little(&self.s));
        bytes
    }

    fn decode(bytes: &[u8; SIGNATURE]) -> Option<Signature> {
        let signature = Signature { r: big(&chunk(bytes, 0)), s: big(&chunk(bytes, NUMBER)) };
        (signature.encode() == *bytes).then_some(signature)
    }
}

/// An id block with its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// What the owner says.
    pub block: IdBlock,
    /// The id key, which has signed the block.
    pub key: PublicKey,
    /// Its signature.
    pub signature: Signature,
    /// The author's key and its signature on the id key, where there is an author.
    pub author: Option<(PublicKey, Signature)>,
}

impl Signed {
    /// ID_AUTH.
    pub fn encode_auth(&self) -> [u8; AUTH_SIZE] {
        let mut bytes = [0; AUTH_SIZE];
        put(&mut bytes, ID_KEY_ALGORITHM, &ECDSA_P384_SHA384.to_le_bytes());
        put(&mut bytes, ID_BLOCK_SIGNATURE, &self.signature.encode());
        put(&mut bytes, ID_KEY, &self.key.encode());
        if let Some((key, signature)) = &self.author {
            put(&mut bytes, AUTHOR_KEY_ALGORITHM, &ECDSA_P384_SHA384.to_le_bytes());
            put(&mut bytes, ID_KEY_SIGNATURE, &signature.encode());
            put(&mut bytes, AUTHOR_KEY, &key.encode());
        }
        bytes
    }

    /// Both structures, read back; `None` where one of them is none, or has something reserved.
    pub fn decode(block: &[u8; BLOCK_SIZE], auth: &[u8; AUTH_SIZE]) -> Option<Signed> {
        let author = match u32::from_le_bytes(chunk(auth, AUTHOR_KEY_ALGORITHM)) {
            ECDSA_P384_SHA384 => Some((
                PublicKey::decode(&chunk(auth, AUTHOR_KEY))?,
                Signature::decode(&chunk(auth, ID_KEY_SIGNATURE))?,
            )),
            _ => None,
        };
        let signed = Signed {
            block: IdBlock::decode(block)?,
            key: PublicKey::decode(&chunk(auth, ID_KEY))?,
            signature: Signature::decode(&chunk(auth, ID_BLOCK_SIGNATURE))?,
            author,
        };
        (signed.encode_auth() == *auth).then_some(signed)
    }
}

/// Writes into bytes that are long enough by their layout.
fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes.iter_mut().skip(at).zip(value).for_each(|(place, byte)| *place = *byte);
}

/// So many bytes from `at` on; zeros behind the end.
fn chunk<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    core::array::from_fn(|index| bytes.get(at + index).copied().unwrap_or(0))
}

/// A big-endian number as firmware has it.
pub(crate) fn little(number: &Number) -> [u8; NUMBER] {
    core::array::from_fn(|at| 47_usize.checked_sub(at).map_or(0, |from| number[from]))
}

/// The lower 384 bits of a number as firmware has it, big-endian.
pub(crate) fn big(number: &[u8; NUMBER]) -> Number {
    core::array::from_fn(|at| number[47 - at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(author: bool) -> Signed {
        let key = |byte| PublicKey { x: [byte; 48], y: [byte + 1; 48] };
        let signature = |byte| Signature { r: [byte; 48], s: [byte + 1; 48] };
        let block = IdBlock {
            digest: [1; 48],
            family_id: [2; 16],
            image_id: [3; 16],
            guest_svn: 4,
            policy: 0x3_0000,
        };
        let author = author.then(|| (key(9), signature(11)));
        Signed { block, key: key(5), signature: signature(7), author }
    }

    /// Offsets from the ABI's tables of ID_BLOCK and ID_AUTH. That others write the same is tested
    /// where id blocks are signed.
    #[test]
    fn fields_stand_where_the_abi_puts_them() {
        let signed = signed(true);
        let block = signed.block.encode();
        assert_eq!((block[0x2f], block[0x30], block[0x40], block[0x50]), (1, 2, 3, 1));
        assert_eq!((block[0x54], block[0x5a]), (4, 3));
        let auth = signed.encode_auth();
        assert_eq!((auth[0], auth[4]), (1, 1));
        assert_eq!((auth[0x40], auth[0x6f], auth[0x70], auth[0x88]), (7, 7, 0, 8));
        assert_eq!((auth[0x240], auth[0x244], auth[0x28c]), (2, 5, 6));
        assert_eq!((auth[0x680], auth[0x880], auth[0x884]), (11, 2, 9));
    }

    #[test]
    fn what_was_written_is_read_and_nothing_reserved_is() {
        for signed in [signed(true), signed(false)] {
            let (block, auth) = (signed.block.encode(), signed.encode_auth());
            assert_eq!(Signed::decode(&block, &auth), Some(signed));
            for at in [0x08, 0x70, 0x240 + 1027, 0xfff] {
                let mut auth = auth;
                auth[at] = 1;
                assert_eq!(Signed::decode(&block, &auth), None, "{at:#x}");
            }
            let mut other = block;
            other[0x50] = 2;
            assert_eq!(Signed::decode(&other, &auth), None, "another version");
        }
    }

    #[test]
    fn numbers_are_little_endian() {
        let mut number = [0; 48];
        number[47] = 1;
        assert_eq!(little(&number)[0], 1);
        assert_eq!(big(&little(&number)), number);
    }
}
