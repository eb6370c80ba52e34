//! GET_MEASUREMENTS: what the device says of itself.

use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::answer::Asked;
use super::{Device, SLOT};
use crate::message::Codec;
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::message::key_exchange::SIGNATURE_SIZE;
use crate::message::measurements::{GetMeasurements, MeasurementsResponse, Operation};
use crate::signature::{Purpose, sign};
use crate::transcript::MeasurementLog;

pub(super) fn measurements<D: Device, R: CryptoRng>(
    asked: &mut Asked<'_, D, R>,
    log: &mut MeasurementLog,
    request: &[u8],
) -> Result<Vec<u8>, ErrorResponse> {
    let invalid = ErrorResponse::new(ErrorCode::InvalidRequest);
    if !asked.settled.measurements {
        return Err(ErrorCode::UnexpectedRequest.into());
    }
    let (fields, request) = asked.decode::<GetMeasurements>(request)?;
    if fields.signature.is_some_and(|signature| signature.slot != SLOT) {
        return Err(invalid);
    }
    let blocks = asked.device.measurements();
    let (count, blocks) = match fields.operation {
        Operation::Count => (blocks.len() as u8, Vec::new()),
        Operation::All => (0, blocks),
        Operation::One(index) => {
            let block = blocks.into_iter().find(|block| block.index == index).ok_or(invalid)?;
            (0, alloc::vec![block])
        }
    };
    let mut nonce = [0; 32];
    asked.rng.fill_bytes(&mut nonce);
    let (version, vca) = (asked.peer.version, asked.vca);
    let response = MeasurementsResponse {
        count,
        slot: SLOT,
        content_changed: 0,
        blocks,
        nonce,
        opaque: Vec::new(),
        context: fields.context,
        // A place for it, for now.
        signature: fields.signature.map(|_| [0; SIGNATURE_SIZE]),
    };
    let mut response = asked.fitting(response.encode(version))?;
    if fields.signature.is_none() {
        log.add(version, vca, request, &response);
        return Ok(response);
    }
    let unsigned = response.len() - SIGNATURE_SIZE;
    response.truncate(unsigned);
    log.add(version, vca, request, &response);
    let digest = log.take_digest(version, vca);
    let signature = sign(asked.device, version, Purpose::Measurements, &digest)
        .ok_or(ErrorResponse::new(ErrorCode::Unspecified))?;
    response.extend_from_slice(&signature);
    Ok(response)
}
