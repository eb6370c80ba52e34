//! Id blocks as IGVM has them: the fields of the ABI's structures without what is reserved, and the policy
//! where the guest's is.

use super::{Directive, Error, MASK};
use crate::id_block::{IdBlock, PublicKey, Signature, Signed, big, little};
use igvm_defs::{IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY, IGVM_VHS_SNP_ID_BLOCK_SIGNATURE};

/// ECDSA P-384 with SHA-384.
const ECDSA_P384: u32 = 1;
/// No key.
const NONE: u32 = 0;

/// The id block in a directive that is one.
pub(super) fn from_directive(directive: &Directive, policy: u64) -> Result<Signed, Error> {
    let Directive::SnpIdBlock {
        author_key_enabled,
        ld,
        family_id,
        image_id,
        version,
        guest_svn,
        id_key_algorithm,
        author_key_algorithm,
        id_key_signature,
        id_public_key,
        author_key_signature,
        author_public_key,
        ..
    } = directive
    else {
        return Err(Error::IdBlock);
    };
    let author = match (*author_key_enabled, *author_key_algorithm) {
        (0, _) => None,
        (1, ECDSA_P384) => Some((key(author_public_key)?, signature(author_key_signature)?)),
        _ => return Err(Error::IdBlock),
    };
    if *version != IdBlock::VERSION || *id_key_algorithm != ECDSA_P384 {
        return Err(Error::IdBlock);
    }
    Ok(Signed {
        block: IdBlock {
            digest: *ld,
            family_id: *family_id,
            image_id: *image_id,
            guest_svn: *guest_svn,
            policy,
        },
        key: key(id_public_key)?,
        signature: signature(id_key_signature)?,
        author,
    })
}

/// The directive.
pub(super) fn to_directive(signed: &Signed) -> Directive {
    let Signed { block, key, signature, author } = signed;
    let (author_key, author_signature) = match author {
        Some((key, signature)) => (key_fields(key), signature_fields(signature)),
        None => (
            IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY { curve: 0, reserved: 0, qx: [0; 72], qy: [0; 72] },
            IGVM_VHS_SNP_ID_BLOCK_SIGNATURE { r_comp: [0; 72], s_comp: [0; 72] },
        ),
    };
    Directive::SnpIdBlock {
        compatibility_mask: MASK,
        author_key_enabled: author.is_some().into(),
        reserved: [0; 3],
        ld: block.digest,
        family_id: block.family_id,
        image_id: block.image_id,
        version: IdBlock::VERSION,
        guest_svn: block.guest_svn,
        id_key_algorithm: ECDSA_P384,
        author_key_algorithm: if author.is_some() { ECDSA_P384 } else { NONE },
        id_key_signature: Box::new(signature_fields(signature)),
        id_public_key: Box::new(key_fields(key)),
        author_key_signature: Box::new(author_signature),
        author_public_key: Box::new(author_key),
    }
}

fn key(fields: &IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY) -> Result<PublicKey, Error> {
    let key = PublicKey { x: big(&fields.qx), y: big(&fields.qy) };
    if key_fields(&key) == *fields { Ok(key) } else { Err(Error::IdBlock) }
}

fn key_fields(key: &PublicKey) -> IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY {
    IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY {
        curve: PublicKey::P384,
        reserved: 0,
        qx: little(&key.x),
        qy: little(&key.y),
    }
}

fn signature(fields: &IGVM_VHS_SNP_ID_BLOCK_SIGNATURE) -> Result<Signature, Error> {
    let signature = Signature { r: big(&fields.r_comp), s: big(&fields.s_comp) };
    if signature_fields(&signature) == *fields { Ok(signature) } else { Err(Error::IdBlock) }
}

fn signature_fields(signature: &Signature) -> IGVM_VHS_SNP_ID_BLOCK_SIGNATURE {
    IGVM_VHS_SNP_ID_BLOCK_SIGNATURE { r_comp: little(&signature.r), s_comp: little(&signature.s) }
}
