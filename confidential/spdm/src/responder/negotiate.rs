//! GET_VERSION, GET_CAPABILITIES and NEGOTIATE_ALGORITHMS: how a connection comes about.

use alloc::vec::Vec;

use super::Peer;
use crate::message::algorithms::NegotiateAlgorithms;
use crate::message::capabilities::{CapabilitiesResponse, GetCapabilities};
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::message::version::{GetVersion, VersionResponse};
use crate::message::{Codec, Header, decode_padded};
use crate::suite;
use crate::transcript::Vca;
use crate::version::Version;

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
    let version = Version::negotiable(Header::peek(request)?.version)
        .ok_or(ErrorResponse::new(ErrorCode::VersionMismatch))?;
    let (GetCapabilities(theirs), request) = decode_padded(request, version, (), alignment)?;
    let peer = Peer {
        version,
        flags: theirs.flags,
        data_transfer_size: theirs.data_transfer_size.min(suite::DATA_TRANSFER_SIZE),
    };
    let response = CapabilitiesResponse(suite::responder_capabilities()).encode(version);
    let mut vca = vca.clone();
    vca.add(request, &response);
    Ok((response, vca, peer))
}

pub(super) fn algorithms(
    vca: &Vca,
    peer: Peer,
    request: &[u8],
    alignment: usize,
) -> Result<(Vec<u8>, Vca), ErrorResponse> {
    let (offer, request) =
        decode_padded::<NegotiateAlgorithms>(request, peer.version, (), alignment)?;
    let choice = suite::choose(&offer).ok_or(ErrorResponse::new(ErrorCode::InvalidRequest))?;
    let response = super::fitting(choice.encode(peer.version), peer)?;
    let mut vca = vca.clone();
    vca.add(request, &response);
    Ok((response, vca))
}
