use super::*;
use proptest::prelude::*;

/// Values worked out by hand from the tables of the GHCB standard, 2.3.1.
#[test]
fn requests_are_those_of_the_standard() {
    for (request, value) in [
        (Request::Ghcb(0x1234_5000), 0x1234_5000),
        (Request::SevInformation, 0x002),
        (
            Request::Cpuid { function: 0x8000_001f, register: CpuidRegister::Ebx },
            0x8000_001f_4000_0004,
        ),
        (Request::PreferredGhcb, 0x010),
        (Request::RegisterGhcb(0xabcde), 0xabcd_e012),
        (
            Request::PageStateChange { gfn: 0x12345, operation: Operation::Private },
            0x0010_0000_1234_5014,
        ),
        (
            Request::PageStateChange { gfn: MAX_GFN, operation: Operation::Shared },
            0x002f_ffff_ffff_f014,
        ),
        (Request::Features, 0x080),
        (Request::Terminate { set: 1, reason: 0x23 }, 0x0023_1100),
    ] {
        assert_eq!(request.encode(), value, "{request:?}");
        assert_eq!(Request::decode(value), Some(request), "{value:#x}");
    }
}

#[test]
fn responses_are_those_of_the_standard() {
    for (response, value) in [
        (Response::SevInformation { maximum: 2, minimum: 1, c_bit: 51 }, 0x0002_0001_3300_0001),
        (
            Response::Cpuid { value: 0xdead_beef, register: CpuidRegister::Edx },
            0xdead_beef_c000_0005,
        ),
        (Response::PreferredGhcb(None), 0xffff_ffff_ffff_f011),
        (Response::RegisteredGhcb(Some(0x42)), 0x0004_2013),
        (Response::RegisteredGhcb(None), 0xffff_ffff_ffff_f013),
        (Response::PageStateChange(7), 0x0000_0007_0000_0015),
        (Response::Features(Features::SNP), 0x1081),
    ] {
        assert_eq!(response.encode(), value, "{response:?}");
        assert_eq!(Response::decode(value), Some(response), "{value:#x}");
    }
}

#[test]
fn reserved_bits_and_unknown_names_are_no_request() {
    for value in [
        0x1002,                // data with a request that has none
        0x0000_1000_0004,      // CPUID, bits 29:12
        0x0110_0000_0000_1014, // page-state change, bits 63:56
        0x0030_0000_0000_1014, // an operation that the MSR protocol does not have
        0x0100_0100,           // termination, bits 63:24
        0x003,
        0xfff,
    ] {
        assert_eq!(Request::decode(value), None, "{value:#x}");
    }
}

proptest! {
    #[test]
    fn a_value_has_one_meaning(value: u64) {
        if let Some(request) = Request::decode(value) {
            prop_assert_eq!(request.encode(), value);
        }
        if let Some(response) = Response::decode(value) {
            prop_assert_eq!(Response::decode(response.encode()), Some(response));
        }
    }
}
