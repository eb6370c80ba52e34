//! GET_DIGESTS and GET_CERTIFICATE: who the device is.

use alloc::vec::Vec;

use super::{Device, Peer, SLOT, fitting};
use crate::message::certificate::{Certificate, GetCertificate};
use crate::message::digests::{Digests, GetDigests};
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::message::{Codec, decode_padded};

/// Bytes of CERTIFICATE in front of the portion.
const CERTIFICATE_HEADER: usize = 8;

pub(super) fn digests(
    device: &impl Device,
    peer: Peer,
    request: &[u8],
    alignment: usize,
) -> Result<Vec<u8>, ErrorResponse> {
    let (GetDigests, _) = decode_padded(request, peer.version, (), alignment)?;
    let digests = alloc::vec![device.certificate_chain().digest()];
    fitting(Digests { slot_mask: 1 << SLOT, digests }.encode(peer.version), peer)
}

/// As much of the chain as was asked for and fits.
pub(super) fn certificate(
    device: &impl Device,
    peer: Peer,
    request: &[u8],
    alignment: usize,
) -> Result<Vec<u8>, ErrorResponse> {
    let invalid = ErrorResponse::new(ErrorCode::InvalidRequest);
    let (request, _) = decode_padded::<GetCertificate>(request, peer.version, (), alignment)?;
    let fits = (peer.data_transfer_size as usize).saturating_sub(CERTIFICATE_HEADER);
    let most = usize::from(request.length).min(fits);
    let rest = device
        .certificate_chain()
        .as_bytes()
        .get(usize::from(request.offset)..)
        .filter(|rest| !rest.is_empty() && request.slot == SLOT && most > 0)
        .ok_or(invalid)?;
    let (portion, remainder) = rest.split_at(most.min(rest.len()));
    let response = Certificate {
        slot: SLOT,
        portion: portion.to_vec(),
        // A chain has at most 65,535 bytes.
        remainder: remainder.len() as u16,
    };
    fitting(response.encode(peer.version), peer)
}
