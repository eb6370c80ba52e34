//! MEASUREMENTS and their blocks.

use super::identify::SIGNATURE;
use super::page::Page;
use super::session::opaque;

/// What a measurement is of, by its type without the upper bit.
pub fn value_type(byte: u8) -> &'static str {
    match byte {
        0 => "immutable-rom",
        1 => "mutable-firmware",
        2 => "hardware-configuration",
        3 => "firmware-configuration",
        4 => "measurement-manifest",
        5 => "device-mode",
        6 => "version",
        7 => "secure-version-number",
        8 => "hash-extended-measurement",
        9 => "informational",
        10 => "structured-measurement-manifest",
        _ => "reserved",
    }
}

/// Whether the response has a signature.
pub(super) fn request(page: &mut Page<'_>, version: u8) -> bool {
    let attributes = page.u8("Request attributes", |byte| {
        super::bits(byte.into(), &[(0, "signature"), (1, "raw bits"), (2, "new measurements")])
    });
    page.u8("Measurement operation", |byte| match byte {
        0 => "how many there are".into(),
        0xff => "all".into(),
        index => format!("the one with index {index}"),
    });
    let signature = attributes & 1 != 0;
    if signature {
        page.bytes("Nonce", 32);
        page.u8("SlotIDParam", |byte| format!("slot {}", byte & 0xf));
    }
    if version >= 0x13 {
        page.bytes("RequesterContext", 8);
    }
    signature
}

pub(super) fn response(page: &mut Page<'_>, version: u8, signature: bool) {
    page.u8("Param1", |count| format!("{count} measurements there are, if that was asked"));
    page.u8("Param2", |byte| {
        let changed = match byte >> 4 & 3 {
            0 => "no statement on change",
            1 => "changed while measured",
            2 => "unchanged while measured",
            _ => "reserved",
        };
        format!("slot {}, {changed}", byte & 0xf)
    });
    let blocks = page.u8("NumberOfBlocks", |_| String::new());
    page.u24("MeasurementRecordLength");
    for _ in 0..blocks {
        if page.is_broken() {
            return;
        }
        block(page);
    }
    page.bytes("Nonce", 32);
    let length = page.u16("OpaqueDataLength", |length| length.to_string());
    opaque(page, length);
    if version >= 0x13 {
        page.bytes("RequesterContext", 8);
    }
    if signature {
        page.bytes("Signature", SIGNATURE);
    }
}

fn block(page: &mut Page<'_>) {
    page.u8("Index", |index| index.to_string());
    page.nested(|page| {
        let specification =
            page.u8("MeasurementSpecification", |value| super::bits(value.into(), &[(0, "DMTF")]));
        let size = page.u16("MeasurementSize", |size| size.to_string());
        if specification != 1 {
            page.bytes("Measurement", size.into());
            return;
        }
        page.u8("DMTFSpecMeasurementValueType", |kind| {
            let form = if kind & 0x80 == 0 { "digest" } else { "raw bits" };
            format!("{}, {form}", value_type(kind & 0x7f))
        });
        let length = page.u16("DMTFSpecMeasurementValueSize", |length| length.to_string());
        page.bytes("DMTFSpecMeasurementValue", length.into());
    });
}
