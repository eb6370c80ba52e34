//! Signing an id block, and checking one as firmware does at SNP_LAUNCH_FINISH.

use p384::ecdsa::signature::{Signer, Verifier};
use p384::ecdsa::{SigningKey, VerifyingKey};
use p384::elliptic_curve::sec1::FromSec1Point;
use ravelin_launch::id_block::{IdBlock, PublicKey, Signature, Signed};

/// Why an id block would not start its guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The digests.
    #[error("the id block is for another image: its launch digest is not this image's")]
    Digest,
    /// The policies.
    #[error("the id block is for another policy than the image's")]
    Policy,
    /// A key.
    #[error("a public key of the id block is no point on P-384")]
    Key,
    /// The block's signature.
    #[error("the id key has not signed this id block")]
    BlockSignature,
    /// The id key's signature.
    #[error("the author key has not signed this id key")]
    KeySignature,
}

/// Signs a block with the owner's id key, and the id key with the author's where there is one.
pub fn sign(block: IdBlock, id_key: &SigningKey, author: Option<&SigningKey>) -> Signed {
    let key = public(id_key);
    Signed {
        block,
        key,
        signature: signature(id_key, &block.encode()),
        author: author.map(|author| (public(author), signature(author, &key.encode()))),
    }
}

/// Checks the signatures.
///
/// # Errors
/// One of them is not the key's.
pub fn check(signed: &Signed) -> Result<(), Refused> {
    let Signed { block, key, signature, author } = signed;
    if !verifies(key, &block.encode(), signature)? {
        return Err(Refused::BlockSignature);
    }
    match author {
        Some((author, signature)) if !verifies(author, &key.encode(), signature)? => {
            Err(Refused::KeySignature)
        }
        _ => Ok(()),
    }
}

/// Checks that the block is for a guest of this digest and policy.
///
/// # Errors
/// It is for another one.
pub fn check_guest(block: &IdBlock, digest: &[u8; 48], policy: u64) -> Result<(), Refused> {
    if block.digest != *digest {
        return Err(Refused::Digest);
    }
    if block.policy != policy { Err(Refused::Policy) } else { Ok(()) }
}

fn signature(key: &SigningKey, message: &[u8]) -> Signature {
    let signature: p384::ecdsa::Signature = key.sign(message);
    let (r, s) = signature.split_bytes();
    Signature { r: r.into(), s: s.into() }
}

fn public(key: &SigningKey) -> PublicKey {
    let point = key.verifying_key().to_sec1_point(false);
    let coordinate =
        |bytes: Option<&p384::FieldBytes>| bytes.map_or([0; 48], |bytes| (*bytes).into());
    PublicKey { x: coordinate(point.x()), y: coordinate(point.y()) }
}

fn verifies(key: &PublicKey, message: &[u8], signature: &Signature) -> Result<bool, Refused> {
    let point = p384::Sec1Point::from_affine_coordinates(&key.x.into(), &key.y.into(), false);
    let key = Option::<p384::PublicKey>::from(p384::PublicKey::from_sec1_point(&point));
    let key = VerifyingKey::from(key.ok_or(Refused::Key)?);
    // 0, or not below the order: no signature of anybody's.
    let signature = p384::ecdsa::Signature::from_scalars(signature.r, signature.s);
    Ok(signature.is_ok_and(|signature| key.verify(message, &signature).is_ok()))
}
