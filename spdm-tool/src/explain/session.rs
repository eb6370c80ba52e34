//! KEY_EXCHANGE, FINISH, KEY_UPDATE, END_SESSION; opaque data; the records of a session (DSP0277).

use super::identify::{DIGEST, SIGNATURE, summary_type};
use super::page::Page;

/// Bytes of a share of secp384r1.
const EXCHANGE_DATA: usize = 96;

/// Bytes of a record's tag.
const TAG: usize = 16;

/// Whether the response has a digest of measurements.
pub(super) fn key_exchange(page: &mut Page<'_>) -> bool {
    let summary = page.u8("MeasurementSummaryHashType", summary_type);
    page.u8("SlotID", |_| String::new());
    page.u16("ReqSessionID", |_| String::new());
    page.u8("SessionPolicy", |_| String::new());
    page.u8("Reserved", |_| String::new());
    page.bytes("RandomData", 32);
    page.bytes("ExchangeData", EXCHANGE_DATA);
    let length = page.u16("OpaqueDataLength", |length| length.to_string());
    opaque(page, length);
    summary != 0
}

pub(super) fn key_exchange_rsp(page: &mut Page<'_>, summary: bool) {
    page.u8("HeartbeatPeriod", |period| match period {
        0 => "no heartbeat".into(),
        seconds => format!("{seconds} s"),
    });
    page.u8("Param2", |_| String::new());
    page.u16("RspSessionID", |_| String::new());
    page.u8("MutAuthRequested", |byte| match byte {
        0 => "the requester need not prove its identity".into(),
        _ => String::new(),
    });
    page.u8("SlotIDParam", |_| String::new());
    page.bytes("RandomData", 32);
    page.bytes("ExchangeData", EXCHANGE_DATA);
    if summary {
        page.bytes("MeasurementSummaryHash", DIGEST);
    }
    let length = page.u16("OpaqueDataLength", |length| length.to_string());
    opaque(page, length);
    page.bytes("Signature", SIGNATURE);
    // Absent where the handshake goes on in clear.
    if page.left() >= DIGEST {
        page.bytes("ResponderVerifyData", DIGEST);
    }
}

pub(super) fn finish(page: &mut Page<'_>) {
    let signed = page.u8("Param1", |byte| match byte & 1 {
        0 => "no signature of the requester".into(),
        _ => "signed by the requester".into(),
    });
    page.u8("SlotID", |_| String::new());
    if signed & 1 != 0 {
        page.bytes("Signature", SIGNATURE);
    }
    page.bytes("RequesterVerifyData", DIGEST);
}

pub(super) fn key_update(page: &mut Page<'_>) {
    page.u8("Operation", |operation| {
        match operation {
            1 => "UpdateKey",
            2 => "UpdateAllKeys",
            3 => "VerifyNewKey",
            _ => "reserved",
        }
        .into()
    });
    page.u8("Tag", |_| String::new());
}

pub(super) fn end_session(page: &mut Page<'_>) {
    page.u8("EndSessionRequestAttributes", |byte| match byte & 1 {
        0 => "negotiated state is preserved".into(),
        _ => "negotiated state is cleared".into(),
    });
    page.u8("Param2", |_| String::new());
}

/// Opaque data, as it is: its layout is what the two sides have negotiated.
pub(super) fn opaque(page: &mut Page<'_>, length: u16) {
    if length != 0 {
        page.bytes("OpaqueData", length.into());
    }
}

/// A record, of which only the transport's part is in clear.
pub(super) fn record(page: &mut Page<'_>, sequence_size: usize) {
    page.u32("SessionID", |id| {
        format!("requester {:#06x}, responder {:#06x}", id & 0xffff, id >> 16)
    });
    if sequence_size > 0 {
        page.bytes("SequenceNumber", sequence_size);
    }
    let length = usize::from(page.u16("Length", |length| length.to_string()));
    page.bytes("EncryptedData", length.saturating_sub(TAG));
    page.bytes("MAC", TAG.min(length));
}
