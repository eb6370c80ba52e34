//! ERROR, messages in chunks, and what vendors define.

use super::codes;
use super::page::Page;

pub(super) fn error(page: &mut Page<'_>) {
    let code = page.u8("ErrorCode", |code| {
        match code {
            0x01 => "InvalidRequest",
            0x02 => "InvalidSession",
            0x03 => "Busy",
            0x04 => "UnexpectedRequest",
            0x05 => "Unspecified",
            0x06 => "DecryptError",
            0x07 => "UnsupportedRequest",
            0x08 => "RequestInFlight",
            0x09 => "InvalidResponseCode",
            0x0a => "SessionLimitExceeded",
            0x0b => "SessionRequired",
            0x0c => "ResetRequired",
            0x0d => "ResponseTooLarge",
            0x0e => "RequestTooLarge",
            0x0f => "LargeResponse",
            0x10 => "MessageLost",
            0x11 => "InvalidPolicy",
            0x41 => "VersionMismatch",
            0x42 => "ResponseNotReady",
            0x43 => "RequestResynch",
            0x44 => "OperationFailed",
            0x45 => "NoPendingRequests",
            0xff => "vendor's",
            _ => "reserved",
        }
        .into()
    });
    page.u8("ErrorData", |data| match code {
        0x07 => codes::message(data).into(),
        _ => String::new(),
    });
    let left = page.left();
    match code {
        0x0d if left >= 4 => {
            page.u32("Size of the response", |size| format!("{size} bytes"));
        }
        0x0f if left >= 1 => {
            page.u8("Handle", |_| String::new());
        }
        0x42 if left >= 4 => {
            page.u8("RDTExponent", |exponent| {
                let microseconds = 1_u64.checked_shl(exponent.into());
                microseconds.map_or(String::new(), |wait| format!("ready in {wait} us"))
            });
            page.u8("RequestCode", |code| codes::message(code).into());
            page.u8("Token", |_| String::new());
            page.u8("RDTM", |_| String::new());
        }
        _ => {}
    }
}

pub(super) fn chunk(page: &mut Page<'_>, message: u8) {
    page.u8("Param1", |byte| match message {
        codes::CHUNK_SEND | codes::CHUNK_RESPONSE if byte & 1 != 0 => "the last chunk".into(),
        codes::CHUNK_SEND_ACK if byte & 1 != 0 => "an early ERROR".into(),
        _ => String::new(),
    });
    page.u8("Handle", |_| String::new());
    let number = page.u16("ChunkSeqNo", |number| number.to_string());
    if matches!(message, codes::CHUNK_SEND | codes::CHUNK_RESPONSE) {
        page.u16("Reserved", |_| String::new());
        let size = page.u32("ChunkSize", |size| size.to_string());
        if number == 0 {
            page.u32("LargeMessageSize", |size| size.to_string());
        }
        page.bytes("Chunk", size as usize);
    }
}

pub(super) fn vendor(page: &mut Page<'_>) {
    page.parameters();
    page.u16("StandardID", |id| match id {
        0 => "DMTF".into(),
        3 => "PCI-SIG".into(),
        _ => String::new(),
    });
    let length = page.u8("VendorIDLength", |_| String::new());
    page.bytes("VendorID", length.into());
    let length = page.u16("PayloadLength", |length| length.to_string());
    page.bytes("Payload", length.into());
}
