//! DIGESTS, CERTIFICATE and CHALLENGE.

use super::page::Page;
use super::session::opaque;

/// Bytes of a digest and of a signature, as negotiated: SHA-384, ECDSA P-384.
pub(super) const DIGEST: usize = 48;
pub(super) const SIGNATURE: usize = 96;

pub(super) fn digests(page: &mut Page<'_>, version: u8) {
    page.u8(if version >= 0x13 { "SupportedSlotMask" } else { "Param1" }, |_| String::new());
    let mask =
        page.u8("ProvisionedSlotMask", |mask| format!("{} slots have a chain", mask.count_ones()));
    for slot in (0..8).filter(|slot| mask & 1 << slot != 0) {
        page.bytes(&format!("Digest[{slot}]"), DIGEST);
    }
}

pub(super) fn get_certificate(page: &mut Page<'_>) {
    page.u8("SlotID", |_| String::new());
    page.u8("Param2", |_| String::new());
    page.u16("Offset", |offset| offset.to_string());
    page.u16("Length", |length| length.to_string());
}

pub(super) fn certificate(page: &mut Page<'_>) {
    page.u8("SlotID", |_| String::new());
    page.u8("Param2", |_| String::new());
    let length = page.u16("PortionLength", |length| length.to_string());
    page.u16("RemainderLength", |length| length.to_string());
    page.bytes("CertChain", length.into());
}

/// Whether the response has a digest of measurements.
pub(super) fn challenge(page: &mut Page<'_>, version: u8) -> bool {
    page.u8("SlotID", |_| String::new());
    let summary = page.u8("MeasurementSummaryHashType", summary_type);
    page.bytes("Nonce", 32);
    if version >= 0x13 {
        page.bytes("RequesterContext", 8);
    }
    summary != 0
}

pub(super) fn challenge_auth(page: &mut Page<'_>, version: u8, summary: bool) {
    page.u8("Response attributes", |byte| format!("slot {}", byte & 0xf));
    page.u8("SlotMask", |_| String::new());
    page.bytes("CertChainHash", DIGEST);
    page.bytes("Nonce", 32);
    if summary {
        page.bytes("MeasurementSummaryHash", DIGEST);
    }
    let length = page.u16("OpaqueDataLength", |length| length.to_string());
    opaque(page, length);
    if version >= 0x13 {
        page.bytes("RequesterContext", 8);
    }
    page.bytes("Signature", SIGNATURE);
}

/// What a digest of measurements is asked to be of.
pub(super) fn summary_type(byte: u8) -> String {
    match byte {
        0 => "no measurements",
        1 => "those of the trusted computing base",
        0xff => "all measurements",
        _ => "reserved",
    }
    .into()
}
