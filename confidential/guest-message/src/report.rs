//! MSG_REPORT_REQ and MSG_REPORT_RSP (ABI, "Attestation"): a report with 64 bytes of the guest's.

use crate::header::MessageType;
use crate::{NoAnswer, Payload, Request, Response, field, is_zero, put};

pub use ravelin_snp::report::{REPORT_DATA_SIZE, SIZE as REPORT_SIZE};

/// Bytes of the request.
const REQUEST_SIZE: usize = 0x60;
const VMPL: usize = 0x40;
const KEY_SEL: usize = 0x44;
/// Bytes before the report.
const HEAD: usize = 0x20;

/// Which key is to sign (KEY_SEL).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum SigningKey {
    /// The VLEK where one is installed, otherwise the VCEK.
    #[default]
    Any = 0,
    /// The VCEK.
    Vcek = 1,
    /// The VLEK.
    Vlek = 2,
}

/// MSG_REPORT_REQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportRequest {
    /// REPORT_DATA: what the report shall say for the guest.
    pub report_data: [u8; REPORT_DATA_SIZE],
    /// VMPL that the report shall name, 0 to 3.
    pub vmpl: u32,
    /// Which key is to sign.
    pub signing_key: SigningKey,
}

/// MSG_REPORT_RSP that grants the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportResponse {
    /// ATTESTATION_REPORT, signed.
    pub report: [u8; REPORT_SIZE],
}

impl Request for ReportRequest {
    type Response = ReportResponse;
    const TYPE: MessageType = MessageType::ReportRequest;

    fn encode(&self) -> Payload {
        let mut payload = Payload::zeros(REQUEST_SIZE);
        let bytes = payload.as_mut_slice();
        put(bytes, 0, &self.report_data);
        put(bytes, VMPL, &self.vmpl.to_le_bytes());
        put(bytes, KEY_SEL, &(self.signing_key as u32).to_le_bytes());
        payload
    }

    fn decode(payload: &[u8]) -> Option<ReportRequest> {
        if payload.len() != REQUEST_SIZE || !is_zero(payload, KEY_SEL + 4..REQUEST_SIZE) {
            return None;
        }
        let number = u32::from_le_bytes(field(payload, KEY_SEL)?);
        Some(ReportRequest {
            report_data: field(payload, 0)?,
            vmpl: Some(u32::from_le_bytes(field(payload, VMPL)?)).filter(|vmpl| *vmpl < 4)?,
            signing_key: [SigningKey::Any, SigningKey::Vcek, SigningKey::Vlek]
                .into_iter()
                .find(|key| *key as u32 == number)?,
        })
    }
}

impl Response for ReportResponse {
    const TYPE: MessageType = MessageType::ReportResponse;

    fn encode(&self) -> Payload {
        let mut payload = Payload::zeros(HEAD + REPORT_SIZE);
        let bytes = payload.as_mut_slice();
        put(bytes, 4, &(REPORT_SIZE as u32).to_le_bytes());
        put(bytes, HEAD, &self.report);
        payload
    }

    fn decode(payload: &[u8]) -> Result<ReportResponse, NoAnswer> {
        let word = |at| field(payload, at).map(u32::from_le_bytes).ok_or(NoAnswer::Malformed);
        match word(0)? {
            0 => {}
            status => return Err(NoAnswer::Refused(status)),
        }
        if word(4)? as usize != REPORT_SIZE || payload.len() != HEAD + REPORT_SIZE {
            return Err(NoAnswer::Malformed);
        }
        let report = field(payload, HEAD).ok_or(NoAnswer::Malformed)?;
        Ok(ReportResponse { report })
    }

    fn refusal(status: u32) -> Payload {
        let mut payload = Payload::zeros(HEAD);
        put(payload.as_mut_slice(), 0, &status.to_le_bytes());
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets from the ABI's tables.
    #[test]
    fn request_and_response_are_laid_out_as_in_the_abi() {
        let request =
            ReportRequest { report_data: [7; 64], vmpl: 3, signing_key: SigningKey::Vcek };
        let payload = request.encode();
        let bytes = payload.as_slice();
        assert_eq!((bytes.len(), bytes[63], bytes[0x40], bytes[0x44]), (0x60, 7, 3, 1));
        assert!(bytes[0x48..].iter().all(|byte| *byte == 0));
        assert_eq!(ReportRequest::decode(bytes), Some(request));

        let response = ReportResponse { report: [9; REPORT_SIZE] };
        let payload = response.encode();
        let bytes = payload.as_slice();
        assert_eq!(bytes[..8], [0, 0, 0, 0, 0xa0, 4, 0, 0]);
        assert_eq!((bytes[0x1f], bytes[0x20], bytes.len()), (0, 9, 0x4c0));
        assert_eq!(ReportResponse::decode(bytes), Ok(response));
    }

    #[test]
    fn what_the_abi_does_not_allow_is_none() {
        let good = ReportRequest { report_data: [0; 64], vmpl: 0, signing_key: SigningKey::Any };
        for (at, value) in [(0x40, 4), (0x41, 1), (0x44, 3), (0x48, 1), (0x5f, 1)] {
            let mut payload = good.encode();
            payload.as_mut_slice()[at] = value;
            assert_eq!(ReportRequest::decode(payload.as_slice()), None, "{at:#x}");
        }
        assert_eq!(ReportRequest::decode(&good.encode().as_slice()[1..]), None);
        let refusal = ReportResponse::refusal(0x16);
        assert_eq!(ReportResponse::decode(refusal.as_slice()), Err(NoAnswer::Refused(0x16)));
        let mut payload = ReportResponse { report: [9; REPORT_SIZE] }.encode();
        payload.as_mut_slice()[4] ^= 1;
        assert_eq!(ReportResponse::decode(payload.as_slice()), Err(NoAnswer::Malformed));
        assert_eq!(ReportResponse::decode(&[0; 7]), Err(NoAnswer::Malformed));
    }
}
