//! GET_MEASUREMENTS and MEASUREMENTS, byte by byte.

use std::vec;

use super::*;
use crate::measurements::{Block, Value, ValueType};
use crate::message::measurements::{
    GetMeasurements, MeasurementsResponse, Operation, SignatureRequest,
};

// DSP0274, "GET_MEASUREMENTS request and MEASUREMENTS response messages": attributes in Param1,
// operation in Param2, nonce and SlotIDParam only where a signature is asked for. The response has
// NumberOfBlocks at 4, MeasurementRecordLength (24 bits) at 5, the record at 8. A block ("DMTF
// specification for the Measurement field") is Index, specification, size, type, size, value.
#[test]
fn measurements() {
    let signature = Some(SignatureRequest { nonce: [1; 32], slot: 3 });
    let request =
        GetMeasurements { operation: Operation::All, raw: true, signature, context: [0; 8] };
    let layout = [&[0x12, 0xe0, 3, 0xff][..], &[1; 32], &[3]].concat();
    assert_layout(&request, (), V, &layout);
    let request = GetMeasurements {
        operation: Operation::One(5),
        raw: false,
        signature: None,
        context: [0; 8],
    };
    assert_layout(&request, (), V, &[0x12, 0xe0, 0, 5]);

    let response = MeasurementsResponse {
        count: 0,
        slot: 3,
        content_changed: 2,
        blocks: vec![
            Block { index: 1, value_type: ValueType::ImmutableRom, value: Value::Digest([4; 48]) },
            Block {
                index: 6,
                value_type: ValueType::HardwareConfiguration,
                value: Value::Raw(vec![5, 6]),
            },
        ],
        nonce: [7; 32],
        opaque: vec![8],
        context: [0; 8],
        signature: Some([9; 96]),
    };
    let layout = [
        &[0x12, 0x60, 0, 0x23, 2, 64, 0, 0][..],
        &[1, 1, 51, 0, 0, 48, 0],
        &[4; 48],
        &[6, 1, 5, 0, 0x82, 2, 0, 5, 6],
        &[7; 32],
        &[1, 0, 8],
        &[9; 96],
    ]
    .concat();
    assert_layout(&response, true, V, &layout);
}

// DSP0274 1.3: RequesterContext ends the request, and precedes the response's signature.
#[test]
fn measurements_of_1_3_give_the_context_back() {
    let v = Version::V1_3;
    let unsigned = GetMeasurements {
        operation: Operation::Count,
        raw: false,
        signature: None,
        context: [6; 8],
    };
    assert_layout(&unsigned, (), v, &[&[0x13, 0xe0, 0, 0][..], &[6; 8]].concat());
    let signature = Some(SignatureRequest { nonce: [1; 32], slot: 3 });
    let layout = [&[0x13, 0xe0, 1, 0][..], &[1; 32], &[3], &[6; 8]].concat();
    assert_layout(&GetMeasurements { signature, ..unsigned }, (), v, &layout);
    let response = MeasurementsResponse {
        count: 4,
        slot: 0,
        content_changed: 0,
        blocks: vec![],
        nonce: [7; 32],
        opaque: vec![],
        context: [6; 8],
        signature: Some([9; 96]),
    };
    let layout =
        [&[0x13, 0x60, 4, 0, 0, 0, 0, 0][..], &[7; 32], &[0, 0], &[6; 8], &[9; 96]].concat();
    assert_layout(&response, true, v, &layout);
}

#[test]
fn measurements_of_1_1_do_not_say_whether_they_have_changed() {
    let bytes = [&[0x11, 0x60, 0, 0x10, 0, 0, 0, 0][..], &[7; 32], &[0, 0]].concat();
    let response: MeasurementsResponse = decode(&bytes, Version::V1_1, false).unwrap();
    assert_eq!(response.content_changed, 0);
}

// "DMTFSpecMeasurementValueType": 0 to 4 in 1.1, to 7 in 1.2, to 10 in 1.3; bit 7 for raw bits.
#[test]
fn value_types_have_the_specifications_numbers() {
    for (number, value_type) in [
        (0, ValueType::ImmutableRom),
        (1, ValueType::MutableFirmware),
        (2, ValueType::HardwareConfiguration),
        (3, ValueType::FirmwareConfiguration),
        (4, ValueType::MeasurementManifest),
        (5, ValueType::DeviceMode),
        (6, ValueType::Version),
        (7, ValueType::SecureVersionNumber),
        (8, ValueType::HashExtend),
        (9, ValueType::Informational),
        (10, ValueType::StructuredManifest),
    ] {
        for raw in [0, 0x80] {
            let value = match raw {
                0 => Value::Digest([4; 48]),
                _ => Value::Raw(vec![4; 48]),
            };
            let block = Block { index: 1, value_type, value };
            let mut bytes = vec![];
            block.put(&mut bytes);
            assert_eq!(bytes[..7], [1, 1, 51, 0, number | raw, 48, 0]);
            assert_eq!(Block::read(&mut Reader::new(&bytes)), Ok(block));
        }
    }
}

#[test]
fn measurement_blocks_out_of_line_are_refused() {
    let block =
        |index| Block { index, value_type: ValueType::ImmutableRom, value: Value::Digest([4; 48]) };
    let response = MeasurementsResponse {
        count: 0,
        slot: 0,
        content_changed: 0,
        blocks: vec![block(1), block(2)],
        nonce: [7; 32],
        opaque: vec![],
        context: [0; 8],
        signature: None,
    };
    let good = response.encode(V);
    assert!(decode::<MeasurementsResponse>(&good, V, false).is_ok());
    // Number of blocks, record length, index, specification, sizes, type, second index.
    for (at, wrong) in [
        (4, 1),
        (4, 3),
        (5, 109),
        (5, 111),
        (8, 0),
        (8, 0xff),
        (9, 2),
        (10, 50),
        (12, 11),
        (13, 47),
        (63, 1),
    ] {
        let mut bytes = good.clone();
        bytes[at] = wrong;
        let result = decode::<MeasurementsResponse>(&bytes, V, false);
        assert!(result.is_err(), "byte {at} may be {wrong}");
    }
}
