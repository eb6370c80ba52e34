//! VERSION, CAPABILITIES and ALGORITHMS.

use super::bits;
use super::page::Page;

const CAPABILITIES: [(u32, &str); 26] = [
    (0, "CACHE_CAP"),
    (1, "CERT_CAP"),
    (2, "CHAL_CAP"),
    (3, "MEAS_CAP without signature"),
    (4, "MEAS_CAP with signature"),
    (5, "MEAS_FRESH_CAP"),
    (6, "ENCRYPT_CAP"),
    (7, "MAC_CAP"),
    (8, "MUT_AUTH_CAP"),
    (9, "KEY_EX_CAP"),
    (10, "PSK_CAP"),
    (11, "PSK_CAP with context"),
    (12, "ENCAP_CAP"),
    (13, "HBEAT_CAP"),
    (14, "KEY_UPD_CAP"),
    (15, "HANDSHAKE_IN_THE_CLEAR_CAP"),
    (16, "PUB_KEY_ID_CAP"),
    (17, "CHUNK_CAP"),
    (18, "ALIAS_CERT_CAP"),
    (19, "SET_CERT_CAP"),
    (20, "CSR_CAP"),
    (21, "CERT_INSTALL_RESET_CAP"),
    (22, "EP_INFO_CAP without signature"),
    (23, "EP_INFO_CAP with signature"),
    (24, "MEL_CAP"),
    (25, "EVENT_CAP"),
];

const ASYMMETRIC: [(u32, &str); 9] = [
    (0, "RSASSA_2048"),
    (1, "RSAPSS_2048"),
    (2, "RSASSA_3072"),
    (3, "RSAPSS_3072"),
    (4, "ECDSA_P256"),
    (5, "RSASSA_4096"),
    (6, "RSAPSS_4096"),
    (7, "ECDSA_P384"),
    (8, "ECDSA_P521"),
];

const HASH: [(u32, &str); 7] = [
    (0, "SHA_256"),
    (1, "SHA_384"),
    (2, "SHA_512"),
    (3, "SHA3_256"),
    (4, "SHA3_384"),
    (5, "SHA3_512"),
    (6, "SM3_256"),
];

const MEASUREMENT_HASH: [(u32, &str); 8] = [
    (0, "raw bits only"),
    (1, "SHA_256"),
    (2, "SHA_384"),
    (3, "SHA_512"),
    (4, "SHA3_256"),
    (5, "SHA3_384"),
    (6, "SHA3_512"),
    (7, "SM3_256"),
];

const DHE: [(u32, &str); 7] = [
    (0, "ffdhe2048"),
    (1, "ffdhe3072"),
    (2, "ffdhe4096"),
    (3, "secp256r1"),
    (4, "secp384r1"),
    (5, "secp521r1"),
    (6, "SM2_P256"),
];

const AEAD: [(u32, &str); 4] =
    [(0, "AES-128-GCM"), (1, "AES-256-GCM"), (2, "CHACHA20_POLY1305"), (3, "SM4_GCM")];

pub(super) fn version(page: &mut Page<'_>) {
    page.parameters();
    page.u8("Reserved", |_| String::new());
    let count = page.u8("VersionNumberEntryCount", |_| String::new());
    for _ in 0..count {
        if page.is_broken() {
            return;
        }
        page.u16("VersionNumberEntry", |entry| {
            let [low, high] = entry.to_le_bytes();
            let (major, minor, update, alpha) = (high >> 4, high & 0xf, low >> 4, low & 0xf);
            match alpha {
                0 => format!("{major}.{minor}.{update}"),
                alpha => format!("{major}.{minor}.{update}, draft {alpha}"),
            }
        });
    }
}

pub(super) fn capabilities(page: &mut Page<'_>, version: u8) {
    page.parameters();
    // A request of version 1.0 ends here.
    if page.left() == 0 {
        return;
    }
    page.u8("Reserved", |_| String::new());
    page.u8("CTExponent", |exponent| {
        let microseconds = 1_u64.checked_shl(exponent.into());
        microseconds.map_or(String::new(), |most| format!("{most} us for cryptography"))
    });
    page.u16("Reserved", |_| String::new());
    page.u32("Flags", |flags| bits(flags, &CAPABILITIES));
    if version >= 0x12 {
        page.u32("DataTransferSize", |size| format!("{size} bytes"));
        page.u32("MaxSPDMmsgSize", |size| format!("{size} bytes"));
    }
}

/// NEGOTIATE_ALGORITHMS, or what was selected of it.
pub(super) fn algorithms(page: &mut Page<'_>, version: u8, selected: bool) {
    let structures = page.u8("Param1", |count| format!("{count} algorithm structures"));
    page.u8("Param2", |_| String::new());
    page.u16("Length", |length| format!("{length} bytes"));
    let names = match selected {
        true => {
            ["MeasurementSpecificationSel", "OtherParamsSelection", "BaseAsymSel", "BaseHashSel"]
        }
        false => ["MeasurementSpecification", "OtherParamsSupport", "BaseAsymAlgo", "BaseHashAlgo"],
    };
    let [specification, other, asymmetric, hash] = names;
    page.u8(specification, |value| bits(value.into(), &[(0, "DMTF")]));
    let parameters = [(0, "OpaqueDataFmt0"), (1, "OpaqueDataFmt1"), (4, "MULTI_KEY_CONN")];
    page.u8(if version >= 0x12 { other } else { "Reserved" }, |value| {
        if version >= 0x12 { bits(value.into(), &parameters) } else { String::new() }
    });
    if selected {
        page.u32("MeasurementHashAlgo", |value| bits(value, &MEASUREMENT_HASH));
    }
    page.u32(asymmetric, |value| bits(value, &ASYMMETRIC));
    page.u32(hash, |value| bits(value, &HASH));
    page.bytes("Reserved", if selected { 11 } else { 12 });
    if selected {
        page.u8(if version >= 0x13 { "MELspecificationSel" } else { "Reserved" }, |_| {
            String::new()
        });
    }
    let asymmetric = page.u8("ExtAsymCount", |_| String::new());
    let hash = page.u8("ExtHashCount", |_| String::new());
    page.bytes("Reserved", 2);
    for _ in 0..usize::from(asymmetric) + usize::from(hash) {
        page.bytes("Extended algorithm", 4);
    }
    for _ in 0..structures {
        if page.is_broken() {
            return;
        }
        structure(page);
    }
}

fn structure(page: &mut Page<'_>) {
    let kind = page.u8("AlgType", |kind| {
        match kind {
            2 => "DHE",
            3 => "AEADCipherSuite",
            4 => "ReqBaseAsymAlg",
            5 => "KeySchedule",
            _ => "unknown",
        }
        .into()
    });
    page.nested(|page| {
        let count =
            page.u8("AlgCount", |count| format!("{} bytes, {} extended", count >> 4, count & 0xf));
        let names: &[(u32, &str)] = match kind {
            2 => &DHE,
            3 => &AEAD,
            4 => &ASYMMETRIC,
            5 => &[(0, "SPDM key schedule")],
            _ => &[],
        };
        match count >> 4 {
            2 => {
                page.u16("AlgSupported", |value| bits(value.into(), names));
            }
            size => {
                page.bytes("AlgSupported", size.into());
            }
        }
        for _ in 0..count & 0xf {
            page.bytes("AlgExternal", 4);
        }
    });
}
