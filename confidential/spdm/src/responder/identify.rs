//! GET_DIGESTS, GET_CERTIFICATE and CHALLENGE: who the device is.

use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::answer::Asked;
use super::establish::measurement_summary;
use super::{Device, SLOT};
use crate::message::Codec;
use crate::message::capabilities::Flags;
use crate::message::certificate::{Certificate, GetCertificate};
use crate::message::challenge::{Challenge, ChallengeAuth};
use crate::message::digests::{Digests, GetDigests};
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::message::key_exchange::SIGNATURE_SIZE;
use crate::signature::{Purpose, sign};
use crate::transcript::IdentityLog;
use crate::version::Version;

/// Bytes of CERTIFICATE in front of the portion.
const CERTIFICATE_HEADER: usize = 8;

pub(super) fn digests<D: Device, R>(
    asked: &Asked<'_, D, R>,
    log: Option<&mut IdentityLog>,
    request: &[u8],
) -> Result<Vec<u8>, ErrorResponse> {
    let (GetDigests, request) = asked.decode(request)?;
    let digests = alloc::vec![asked.device.certificate_chain().digest()];
    let response = Digests { slot_mask: 1 << SLOT, digests }.encode(asked.peer.version);
    let response = asked.fitting(response)?;
    if let Some(log) = log {
        log.clear();
        log.add(asked.vca, request, &response);
    }
    Ok(response)
}

/// As much of the chain as was asked for and fits.
pub(super) fn certificate<D: Device, R>(
    asked: &Asked<'_, D, R>,
    log: Option<&mut IdentityLog>,
    request: &[u8],
) -> Result<Vec<u8>, ErrorResponse> {
    let invalid = ErrorResponse::new(ErrorCode::InvalidRequest);
    let (fields, request) = asked.decode::<GetCertificate>(request)?;
    let chain = asked.device.certificate_chain().as_bytes();
    let version = asked.peer.version;
    if fields.slot != SLOT {
        return Err(invalid);
    }
    // In chunks the whole chain fits, and is sent at once where all of it is asked for.
    let sizes = asked.peer.sizes;
    let fits = if asked.peer.agrees(Flags::CHUNK) { sizes.message } else { sizes.transfer };
    let most = usize::from(fields.length).min(fits.saturating_sub(CERTIFICATE_HEADER));
    // From 1.3 on, no bytes at all may be asked for: how many are there? A slot holds its chain.
    let size_only = version >= Version::V1_3 && (fields.slot_size || fields.length == 0);
    let (portion, remainder) = if size_only {
        (&[][..], chain)
    } else {
        let rest = chain
            .get(usize::from(fields.offset)..)
            .filter(|rest| !rest.is_empty() && most > 0)
            .ok_or(invalid)?;
        rest.split_at(most.min(rest.len()))
    };
    let response = Certificate {
        slot: SLOT,
        portion: portion.to_vec(),
        // A chain has at most 65,535 bytes.
        remainder: remainder.len() as u16,
    };
    let response = asked.fitting(response.encode(version))?;
    if let Some(log) = log {
        log.add(asked.vca, request, &response);
    }
    Ok(response)
}

pub(super) fn challenge<D: Device, R: CryptoRng>(
    asked: &mut Asked<'_, D, R>,
    log: &mut IdentityLog,
    request: &[u8],
) -> Result<Vec<u8>, ErrorResponse> {
    let invalid = ErrorResponse::new(ErrorCode::InvalidRequest);
    let (fields, request) = asked.decode::<Challenge>(request)?;
    if fields.slot != SLOT {
        return Err(invalid);
    }
    let summary = measurement_summary(asked, fields.summary)?;
    let mut nonce = [0; 32];
    asked.rng.fill_bytes(&mut nonce);
    let version = asked.peer.version;
    let response = ChallengeAuth {
        slot: SLOT,
        mutual_authentication: false,
        slot_mask: 1 << SLOT,
        chain_digest: asked.device.certificate_chain().digest(),
        nonce,
        summary,
        opaque: Vec::new(),
        context: fields.context,
        // A place for it, for now.
        signature: [0; SIGNATURE_SIZE],
    };
    let mut response = asked.fitting(response.encode(version))?;
    response.truncate(response.len() - SIGNATURE_SIZE);
    let digest = log.take_digest(asked.vca, request, &response);
    let signature = sign(asked.device, version, Purpose::Challenge, &digest)
        .ok_or(ErrorResponse::new(ErrorCode::Unspecified))?;
    response.extend_from_slice(&signature);
    Ok(response)
}
