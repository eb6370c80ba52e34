//! Requests that are answered alike inside and outside of a session.

use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::{Device, Peer, identify, measure};
use crate::message::capabilities::Flags;
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::message::vendor::{VendorDefined, VendorDefinedRequest, VendorDefinedResponse};
use crate::message::{Codec, code, decode_padded};
use crate::suite::Settled;
use crate::transcript::{IdentityLog, MeasurementLog, Vca};

/// Who is asked, by whom, and how.
pub(super) struct Asked<'a, D, R> {
    pub(super) device: &'a D,
    pub(super) rng: &'a mut R,
    pub(super) vca: &'a Vca,
    pub(super) peer: Peer,
    pub(super) settled: Settled,
    pub(super) in_session: bool,
    /// What the transport fills a request up to.
    pub(super) alignment: usize,
}

impl<'a, D, R> Asked<'a, D, R> {
    /// The request's fields, and its bytes without padding.
    pub(super) fn decode<'b, M: Codec<Context = ()>>(
        &self,
        request: &'b [u8],
    ) -> Result<(M, &'b [u8]), ErrorResponse> {
        Ok(decode_padded(request, self.peer.version, (), self.alignment)?)
    }

    /// The response, if the requester takes one of its length, in one piece or in chunks.
    pub(super) fn fitting(&self, response: Vec<u8>) -> Result<Vec<u8>, ErrorResponse> {
        self.peer.fitting(response)
    }
}

impl Peer {
    /// The response, if it takes one of its length, in one piece or in chunks.
    pub(super) fn fitting(&self, response: Vec<u8>) -> Result<Vec<u8>, ErrorResponse> {
        if response.len() > self.sizes.message {
            return Err(ErrorResponse::response_too_large(response.len()));
        }
        Ok(response)
    }

    /// Refuses requests that need a capability which one side does not have.
    pub(super) fn supports(&self, code: u8) -> Result<(), ErrorResponse> {
        let needed = match code {
            code::CHUNK_SEND | code::CHUNK_GET => Flags::CHUNK,
            code::HEARTBEAT => Flags::HBEAT,
            code::KEY_UPDATE => Flags::KEY_UPD,
            _ => Flags::empty(),
        };
        if self.agrees(needed) { Ok(()) } else { Err(ErrorResponse::unsupported(code)) }
    }
}

/// What is kept for signatures to come.
pub(super) struct Logs<'a> {
    pub(super) measurements: &'a mut MeasurementLog,
    /// In a session nothing is kept of the identity.
    pub(super) identity: Option<&'a mut IdentityLog>,
}

/// Answers a request of this code.
pub(super) fn answer<D: Device, R: CryptoRng>(
    asked: &mut Asked<'_, D, R>,
    logs: Logs<'_>,
    code: u8,
    request: &[u8],
) -> Result<Vec<u8>, ErrorResponse> {
    let Logs { measurements, identity } = logs;
    match (code, identity) {
        (code::GET_MEASUREMENTS, _) => {
            // A signature covers nothing that was refused, nor what was before it.
            measure::measurements(asked, measurements, request)
                .inspect_err(|_| measurements.clear())
        }
        (code::GET_DIGESTS, identity) => identify::digests(asked, identity, request),
        (code::GET_CERTIFICATE, identity) => identify::certificate(asked, identity, request),
        (code::CHALLENGE, Some(identity)) => identify::challenge(asked, identity, request),
        (code::VENDOR_DEFINED_REQUEST, _) => vendor_defined(asked, request),
        // Also RESPOND_IF_READY: every response is ready at once.
        _ => Err(ErrorCode::UnexpectedRequest.into()),
    }
}

fn vendor_defined<D: Device, R>(
    asked: &Asked<'_, D, R>,
    request: &[u8],
) -> Result<Vec<u8>, ErrorResponse> {
    let (VendorDefinedRequest(request), _) = asked.decode(request)?;
    let payload = asked
        .device
        .vendor_defined(&request, asked.in_session)
        .ok_or(ErrorResponse::unsupported(VendorDefinedRequest::CODE))?;
    let response = VendorDefined { payload, ..request };
    asked.fitting(VendorDefinedResponse(response).encode(asked.peer.version))
}
