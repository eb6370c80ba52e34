//! GET_MEASUREMENTS: what the device says of itself.

use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::{Device, Peer, SLOT, fitting};
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::message::key_exchange::SIGNATURE_SIZE;
use crate::message::measurements::{GetMeasurements, MeasurementsResponse, Operation};
use crate::message::{Codec, decode_padded};
use crate::signature::{Purpose, signed_message};
use crate::transcript::{MeasurementLog, Vca};

pub(super) fn measurements(
    device: &impl Device,
    rng: &mut impl CryptoRng,
    (vca, peer): (&Vca, Peer),
    log: &mut MeasurementLog,
    request: &[u8],
    alignment: usize,
) -> Result<Vec<u8>, ErrorResponse> {
    let invalid = ErrorResponse::new(ErrorCode::InvalidRequest);
    let (fields, request) = decode_padded::<GetMeasurements>(request, peer.version, (), alignment)?;
    if fields.signature.is_some_and(|signature| signature.slot != SLOT) {
        return Err(invalid);
    }
    let blocks = device.measurements();
    let (count, blocks) = match fields.operation {
        Operation::Count => (blocks.len() as u8, Vec::new()),
        Operation::All => (0, blocks),
        Operation::One(index) => {
            let block = blocks.into_iter().find(|block| block.index == index).ok_or(invalid)?;
            (0, alloc::vec![block])
        }
    };
    let mut nonce = [0; 32];
    rng.fill_bytes(&mut nonce);
    let response = MeasurementsResponse {
        count,
        slot: SLOT,
        content_changed: 0,
        blocks,
        nonce,
        opaque: Vec::new(),
        // A place for it, for now.
        signature: fields.signature.map(|_| [0; SIGNATURE_SIZE]),
    };
    let mut response = fitting(response.encode(peer.version), peer)?;
    if fields.signature.is_none() {
        log.add(vca, request, &response);
        return Ok(response);
    }
    let unsigned = response.len() - SIGNATURE_SIZE;
    response.truncate(unsigned);
    log.add(vca, request, &response);
    let digest = log.take_digest(vca);
    let signature = device
        .sign(&signed_message(Purpose::Measurements, &digest))
        .ok_or(ErrorResponse::new(ErrorCode::Unspecified))?;
    response.extend_from_slice(&signature);
    Ok(response)
}
