//! The five certificates of an NVIDIA GPU: the attestation key, endorsed by the device's own
//! identity key, and above it the provisioner, the architecture and NVIDIA's device root.

use der::asn1::{ObjectIdentifier, OctetString};
use der::{Any, Decode, Sequence};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::References;
use super::report::Report;
use crate::chain::{self, Against};
use crate::policy::{Firmware, Policy};
use crate::result::Checks;
use crate::x509::Certificate;

/// Certificates of a complete chain, the root included.
const LENGTH: usize = 5;
/// The attestation certificate is the device's own work, and a device publishes no list.
const WITHOUT_A_LIST: usize = 1;
/// DICE: what firmware the key was made for.
const DICE_FIRMWARE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1");

/// Judges the chain. The answer is the device's identity: SHA-384 of its identity key, once the
/// chain stands up to NVIDIA's root.
pub(super) fn judge(
    certificates: &[Certificate],
    references: &References,
    policy: &Policy,
    checks: &mut Checks,
) -> Option<String> {
    if certificates.len() != LENGTH {
        let why = format!("{} certificates; expected {LENGTH}", certificates.len());
        checks.fail(chain::DEVICE.chain, why);
        return None;
    }
    let against = Against {
        root: &references.device_root,
        without_a_list: WITHOUT_A_LIST,
        lists: &references.revocation_lists,
        at: references.at,
    };
    let stands = chain::judge(&chain::DEVICE, certificates, &against, policy, checks);
    certificates.get(1).filter(|_| stands).map(Certificate::key_fingerprint)
}

/// The older form of the DICE extension: version, device key, firmware id.
#[derive(Sequence)]
struct CompositeDeviceId {
    version: u32,
    device_id: SubjectPublicKeyInfoOwned,
    firmware_id: FirmwareId,
}

/// A digest of firmware and its algorithm (TCG DICE Attestation Architecture, FWID).
#[derive(Sequence)]
struct FirmwareId {
    algorithm: ObjectIdentifier,
    digest: OctetString,
}

/// The firmware ids that the attestation certificate names.
fn firmware_ids(certificate: &Certificate) -> Vec<Vec<u8>> {
    let Some(value) = certificate.extension(DICE_FIRMWARE) else {
        return Vec::new();
    };
    if let Ok(composite) = CompositeDeviceId::from_der(value) {
        return vec![composite.firmware_id.digest.as_bytes().to_vec()];
    }
    tcb_info_firmware_ids(value).unwrap_or_default()
}

/// The newer form, DiceTcbInfo: fields with context tags, of which `[6]` is the list of FWIDs.
fn tcb_info_firmware_ids(value: &[u8]) -> Result<Vec<Vec<u8>>, der::Error> {
    const FWIDS: der::TagNumber = der::TagNumber(6);
    let mut found = Vec::new();
    for field in Vec::<Any>::from_der(value)? {
        let is_list = matches!(
            der::Tagged::tag(&field),
            der::Tag::ContextSpecific { constructed: true, number } if number == FWIDS
        );
        if is_list {
            let mut reader = der::SliceReader::new(field.value())?;
            while !der::Reader::is_finished(&reader) {
                found.push(FirmwareId::decode(&mut reader)?.digest.as_bytes().to_vec());
            }
        }
    }
    Ok(found)
}

/// Compares the firmware id of the report with that of the attestation certificate.
pub(super) fn judge_firmware_id(
    certificates: &[Certificate],
    report: &Report,
    policy: &Policy,
    checks: &mut Checks,
) {
    const CODE: &str = "firmware-id";
    let certified = certificates.first().map(firmware_ids).unwrap_or_default();
    let certified_text = certified.iter().map(hex::encode).collect::<Vec<_>>().join(", ");
    match report.opaque.firmware_id() {
        Some(reported) => checks.judge(
            CODE,
            certified.iter().any(|id| id == reported),
            format!("report {}, certificate {certified_text}", hex::encode(reported)),
        ),
        None => checks.unmade(
            CODE,
            policy.nvidia.firmware_id == Firmware::IfPresent,
            format!("the report names none; the certificate {certified_text}"),
        ),
    }
}
