//! What the AMD-SP knows of a running guest, and its answers to that guest's messages (ABI,
//! SNP_GUEST_REQUEST).

use crate::certificates::{self, Certificates};
use crate::{Error, chip, root};
use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use ravelin_guest_message::derived_key::{KeyRequest, KeyResponse, guest_field};
use ravelin_guest_message::firmware::{self, FirmwareChannel, SealError};
use ravelin_guest_message::header::{Header, MessageType};
use ravelin_guest_message::report::{ReportRequest, ReportResponse, SigningKey as Asked};
use ravelin_guest_message::{Page, Payload, Request, Response, VMPCKS, Vmpck};
use ravelin_snp::ghcb::guest_request::firmware_status::{
    AEAD_OFLOW, BAD_MEASUREMENT, INVALID_PARAM,
};
use ravelin_snp::report::{self, Report};
use std::sync::{Mutex, PoisonError};

/// Status in an answer: there is no such key (INVALID_KEY).
const INVALID_KEY: u32 = 0x27;
/// Where MSG_VMPCK stands; which key to try.
const VMPCK: usize = 0x3c;

/// A guest, for its messages. It can be shared between vCPUs.
pub struct Guest {
    channels: [Mutex<FirmwareChannel>; VMPCKS],
    identity: Identity,
}

/// What reports say of a guest.
struct Identity {
    signing_key: SigningKey,
    policy: u64,
    measurement: [u8; 48],
    host_data: [u8; 32],
    report_id: [u8; 32],
}

impl Guest {
    pub(crate) fn new(
        keys: [Vmpck; VMPCKS],
        policy: u64,
        measurement: [u8; 48],
        host_data: [u8; 32],
        report_id: [u8; 32],
    ) -> Guest {
        let signing_key = certificates::vcek();
        Guest {
            channels: keys.map(|key| Mutex::new(FirmwareChannel::new(key))),
            identity: Identity { signing_key, policy, measurement, host_data, report_id },
        }
    }

    /// The launch digest.
    pub fn measurement(&self) -> [u8; 48] {
        self.identity.measurement
    }

    /// The certificates for its reports. On hardware the host has them from AMD.
    ///
    /// # Errors
    /// None in practice.
    pub fn certificates(&self) -> Result<Certificates, Error> {
        certificates::certificates()
    }

    /// Takes a sealed question and gives the sealed answer. `page` must be a private copy.
    ///
    /// # Errors
    /// The AMD-SP's status, for the hypervisor: what came is not the guest's next question. Nothing has
    /// changed then.
    pub fn request(&self, page: &Page) -> Result<Page, u32> {
        let number = page.get(VMPCK).copied().map(usize::from).ok_or(INVALID_PARAM)?;
        let channel = self.channels.get(number).ok_or(INVALID_PARAM)?;
        let mut channel = channel.lock().unwrap_or_else(PoisonError::into_inner);
        channel.answer(page, |header, question| self.identity.answer(header, question)).map_err(
            |error| match error {
                firmware::Error::Sealed(SealError::Forged(_)) => BAD_MEASUREMENT,
                firmware::Error::Sealed(_) => INVALID_PARAM,
                firmware::Error::Exhausted => AEAD_OFLOW,
            },
        )
    }
}

impl Identity {
    /// The answer to a question that is the guest's: its type and payload.
    fn answer(&self, header: &Header, question: &[u8]) -> (u8, Payload) {
        // A key belongs to a VMPL, and speaks for it and for those with fewer rights.
        let may = |vmpl: u32| vmpl >= header.vmpck.into();
        match MessageType::from_number(header.kind) {
            Some(MessageType::KeyRequest) => answered(
                KeyRequest::decode(question)
                    .filter(|asked| may(asked.vmpl) && asked.guest_svn == 0)
                    .filter(|asked| asked.tcb <= chip::TCB.encode())
                    .ok_or(INVALID_PARAM)
                    .map(|asked| self.derive(&asked)),
            ),
            Some(MessageType::ReportRequest) => answered(
                ReportRequest::decode(question)
                    .filter(|asked| may(asked.vmpl))
                    .ok_or(INVALID_PARAM)
                    .and_then(|asked| self.report(&asked)),
            ),
            // Answers are no questions. The refusal has the form of a report's.
            _ => answered(Err::<ReportResponse, u32>(INVALID_PARAM)),
        }
    }

    fn report(&self, asked: &ReportRequest) -> Result<ReportResponse, u32> {
        if asked.signing_key == Asked::Vlek {
            return Err(INVALID_KEY);
        }
        let mut report = Report {
            guest_svn: 0,
            policy: self.policy,
            family_id: chip::FAMILY_ID,
            image_id: chip::IMAGE_ID,
            vmpl: asked.vmpl,
            platform: chip::PLATFORM,
            report_data: asked.report_data,
            measurement: self.measurement,
            host_data: self.host_data,
            report_id: self.report_id,
            tcb: chip::TCB,
            processor: chip::PROCESSOR,
            chip_id: chip::CHIP_ID,
            firmware: chip::FIRMWARE,
        }
        .encode();
        let (signed, _) = report.split_at(report::SIGNED);
        let signature: Signature = self.signing_key.sign(signed);
        let (r, s) = signature.split_bytes();
        report::set_signature(&mut report, &r.into(), &s.into());
        Ok(ReportResponse { report })
    }

    /// A key from the chip's secrets and from what was selected.
    fn derive(&self, asked: &KeyRequest) -> KeyResponse {
        let chosen = |field: u64, value: &[u8]| match asked.guest_fields & field {
            0 => vec![0; value.len()],
            _ => value.to_vec(),
        };
        let context = [
            b"derived key".to_vec(),
            asked.guest_fields.to_le_bytes().to_vec(),
            asked.vmpl.to_le_bytes().to_vec(),
            chosen(guest_field::POLICY, &self.policy.to_le_bytes()),
            chosen(guest_field::IMAGE_ID, &chip::IMAGE_ID),
            chosen(guest_field::FAMILY_ID, &chip::FAMILY_ID),
            chosen(guest_field::MEASUREMENT, &self.measurement),
            chosen(guest_field::GUEST_SVN, &asked.guest_svn.to_le_bytes()),
            chosen(guest_field::TCB_VERSION, &asked.tcb.to_le_bytes()),
        ];
        let context: Vec<&[u8]> = context.iter().map(Vec::as_slice).collect();
        KeyResponse::new(*root::derive(&context))
    }
}

/// An answer, or the refusal with this status, as a message.
fn answered<R: Response>(answer: Result<R, u32>) -> (u8, Payload) {
    (R::TYPE as u8, answer.map_or_else(R::refusal, |answer| answer.encode()))
}
