//! What stands in the GPU's certificates: TCB info, security configuration, device names, the
//! root itself.
#![no_main]

use der::Decode;
use libfuzzer_sys::fuzz_target;
use ravelin_dice::certificate::signed_part;
use ravelin_dice::security::{decode_svn, encode_svn};
use ravelin_dice::spdm_extension::carries;
use ravelin_dice::{DeviceInfo, SecurityConfiguration, TcbInfo, TrustAnchor, oid};

fuzz_target!(|data: &[u8]| {
    if let Some(tcb) = TcbInfo::decode(data) {
        let written = tcb.encode().unwrap();
        assert_eq!(TcbInfo::decode(&written), Some(tcb));
    }
    if let Some(configuration) = SecurityConfiguration::decode(data) {
        assert_eq!(configuration.encode(), *data);
    }
    if let Some(svn) = decode_svn(data) {
        assert_eq!(encode_svn(svn), *data);
    }
    if let Some(device) = str::from_utf8(data).ok().and_then(DeviceInfo::parse) {
        assert_eq!(device.text().as_bytes(), data);
        assert_eq!(DeviceInfo::from_alt_name(&device.to_alt_name().unwrap()), Some(device));
    }
    if let Ok(signed) = signed_part(data) {
        assert!(signed.len() < data.len());
    }
    if let Ok(names) = x509_cert::ext::pkix::SubjectAltName::from_der(data) {
        let _ = DeviceInfo::from_alt_name(&names);
    }
    let _ = carries(data, oid::DMTF_HARDWARE_IDENTITY);
    if let Ok(root) = TrustAnchor::new(data) {
        assert_eq!(root.der(), data);
    }
});
