//! GET_VERSION, GET_CAPABILITIES and NEGOTIATE_ALGORITHMS: how a connection comes about.

use alloc::vec::Vec;

use super::Peer;
use crate::message::algorithms::NegotiateAlgorithms;
use crate::message::capabilities::{CapabilitiesResponse, Flags, GetCapabilities};
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::message::version::{GetVersion, VersionResponse};
use crate::message::{Codec, Header, decode_padded};
use crate::suite::{self, Settled};
use crate::transcript::Vca;
use crate::transfer::Sizes;
use crate::version::Version;

/// Param1 of GET_CAPABILITIES: the algorithms are asked for as well. Not told here, but a response
/// that may be that long is only asked for by one who takes chunks.
const SUPPORTED_ALGORITHMS: u8 = 1 << 0;

pub(super) fn version(request: &[u8], alignment: usize) -> Result<(Vec<u8>, Vca), ErrorResponse> {
    let (GetVersion, request) = decode_padded(request, Version::V1_0, (), alignment)?;
    let entries = Version::NEGOTIABLE.map(Into::into).to_vec();
    let response = VersionResponse { entries }.encode(Version::V1_0);
    let vca = Vca::new(request, &response);
    Ok((response, vca))
}

/// Fixes the version to the request's.
pub(super) fn capabilities(
    vca: &Vca,
    request: &[u8],
    alignment: usize,
) -> Result<(Vec<u8>, Vca, Peer), ErrorResponse> {
    let header = Header::peek(request)?;
    let version = Version::negotiable(header.version)
        .ok_or(ErrorResponse::new(ErrorCode::VersionMismatch))?;
    let (GetCapabilities(theirs), request) = decode_padded(request, version, (), alignment)?;
    let asks_for_algorithms = version >= Version::V1_3 && header.param1 & SUPPORTED_ALGORITHMS != 0;
    if asks_for_algorithms && !theirs.flags.contains(Flags::CHUNK) {
        return Err(ErrorCode::InvalidRequest.into());
    }
    let ours = suite::responder_capabilities(version);
    let chunks = ours.flags.intersection(theirs.flags).contains(Flags::CHUNK);
    // No more is sent in one piece than would be taken.
    let transfer = theirs.data_transfer_size.min(suite::DATA_TRANSFER_SIZE) as usize;
    let message = if chunks { theirs.max_message_size as usize } else { transfer };
    let peer = Peer { version, flags: theirs.flags, sizes: Sizes { transfer, message } };
    let response = CapabilitiesResponse(ours).encode(version);
    let mut vca = vca.clone();
    vca.add(request, &response);
    Ok((response, vca, peer))
}

pub(super) fn algorithms(
    vca: &Vca,
    peer: Peer,
    request: &[u8],
    alignment: usize,
) -> Result<(Vec<u8>, Vca, Settled), ErrorResponse> {
    let (offer, request) =
        decode_padded::<NegotiateAlgorithms>(request, peer.version, (), alignment)?;
    let choice = suite::choose(peer.version, &offer);
    let settled = Settled::of(peer.version, &choice);
    let response = peer.fitting(choice.encode(peer.version))?;
    let mut vca = vca.clone();
    vca.add(request, &response);
    Ok((response, vca, settled))
}
