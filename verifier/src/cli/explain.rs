//! What each check's code means, in one sentence. `docs/verify.md` lists the same codes; a test
//! holds the two together.

use ravelin_attestation::{Check, Code};

/// Every code and its meaning.
pub(super) const MEANINGS: &[(&str, &str)] = &[
    ("evidence-format", "The evidence is complete and has nothing that its format does not have."),
    (
        "distinct-device",
        "No two pieces of evidence are from one device; otherwise one good device could stand for a bad one.",
    ),
    (
        "certificate-chain",
        "Each certificate is signed by the next and may be, up to the pinned root.",
    ),
    ("certificate-time", "Each certificate is valid at the time of judging."),
    (
        "certificate-revocation",
        "No certificate is on its issuer's revocation list, and there is a current list for each that can be revoked.",
    ),
    (
        "report-signature",
        "The report is signed with the key of the first certificate, so nobody changed it since.",
    ),
    // The model. The other checks and the reasons are ravelin-attestation's, with their meanings.
    ("nonce-source", "The relying party chose the nonce, or the policy accepts another's choice."),
    ("rego-policy", "The relying party's own rules (--rego) allow the device."),
    // NVIDIA.
    ("firmware-id", "The report and the attestation certificate name the same firmware."),
    ("nonce", "The report answers the nonce that was sent, so it is not an old one."),
    ("mode", "The GPU is in a confidential mode that the policy accepts."),
    ("driver-version-floor", "The driver is not older than the policy's floor."),
    ("vbios-version-floor", "The VBIOS is not older than the policy's floor."),
    ("driver-manifest", "There is a reference manifest for the driver."),
    (
        "driver-manifest-version",
        "The driver's manifest is the one for the version that the report names.",
    ),
    (
        "driver-manifest-certificate-chain",
        "The signer of the driver's manifest leads to the pinned root.",
    ),
    (
        "driver-manifest-certificate-time",
        "The certificates of the driver's manifest are valid at the time of judging.",
    ),
    (
        "driver-manifest-certificate-revocation",
        "No certificate of the driver's manifest is revoked.",
    ),
    ("driver-manifest-signature", "The driver's manifest is signed and nobody changed it since."),
    ("driver-measurement", "A measurement has one of the values in the driver's manifest."),
    ("vbios-manifest", "There is a reference manifest for the VBIOS."),
    (
        "vbios-manifest-version",
        "The VBIOS manifest is the one for the version that the report names.",
    ),
    (
        "vbios-manifest-certificate-chain",
        "The signer of the VBIOS manifest leads to the pinned root.",
    ),
    (
        "vbios-manifest-certificate-time",
        "The certificates of the VBIOS manifest are valid at the time of judging.",
    ),
    ("vbios-manifest-certificate-revocation", "No certificate of the VBIOS manifest is revoked."),
    ("vbios-manifest-signature", "The VBIOS manifest is signed and nobody changed it since."),
    ("vbios-measurement", "A measurement has one of the values in the VBIOS manifest."),
    ("allowed-measurement", "A measurement has one of the values in the policy."),
    ("manifest-conflict", "No measurement is claimed by both manifests."),
    (
        "unlisted-measurements",
        "Measurements that no manifest speaks of were compared with nothing.",
    ),
    // SEV-SNP.
    ("signing-key", "There is a certificate for the kind of key that signed the report."),
    (
        "emulated-platform",
        "A processor has signed the report, or the relying party accepts by name that none has.",
    ),
    ("signing-key-kind", "The policy accepts that kind of key."),
    ("product", "The policy accepts that processor."),
    ("certificate-product", "Certificate and report are of the same processor generation."),
    ("certificate-chip", "Certificate and report are of the same chip."),
    ("certificate-tcb", "The signing key is bound to the firmware versions that the report gives."),
    (
        "tcb-order",
        "The reported versions are not above the committed ones, nor those above the running ones.",
    ),
    ("tcb-floor", "No firmware version of the report is below the policy's floor."),
    ("firmware-floor", "The SNP firmware is not older than the policy's floor."),
    (
        "report-data",
        "The report carries the data that were given, so it was made for this purpose.",
    ),
    ("launch-measurement", "What was launched is one of the images in the policy."),
    ("host-data", "HOST_DATA is one of the policy's values."),
    ("family-id", "FAMILY_ID is one of the policy's values."),
    ("image-id", "IMAGE_ID is one of the policy's values."),
    ("id-key", "The identity block was signed with one of the policy's keys."),
    ("author-key", "The identity key was endorsed by one of the policy's authors."),
    ("chip-id", "The chip is one of the policy's."),
    ("vmpl", "The report was asked for at a privilege level that the policy accepts."),
    ("guest-svn", "The guest's security version is not below the policy's floor."),
    (
        "mitigations",
        "The firmware had the mitigations that the policy requires, at launch and now.",
    ),
    ("guest-policy-debug", "Whether the host may read the guest's memory to debug it."),
    ("guest-policy-migration-agent", "Whether a migration agent may take the guest elsewhere."),
    ("guest-policy-smt", "Whether the guest runs where a sibling thread may be another's."),
    ("guest-policy-cxl", "Whether the guest runs with CXL memory or devices present."),
    ("guest-policy-single-socket", "Whether the guest is bound to one socket."),
    ("guest-policy-aes-256-xts", "Whether the guest asks for AES-256-XTS memory encryption."),
    ("guest-policy-rapl-disabled", "Whether the guest asks for power readings to be off."),
    (
        "guest-policy-ciphertext-hiding",
        "Whether the guest asks for its ciphertext to be hidden from the host.",
    ),
    ("guest-policy-page-swap-disabled", "Whether the guest forbids moving and swapping its pages."),
    ("platform-smt", "Whether sibling threads are on."),
    ("platform-tio", "Whether trusted I/O is on."),
    ("platform-tsme", "Whether all memory is encrypted."),
    ("platform-ecc", "Whether memory has error correction."),
    ("platform-rapl-disabled", "Whether power readings are off."),
    ("platform-ciphertext-hiding", "Whether ciphertext is hidden from the host."),
    ("platform-alias-check", "Whether firmware found no aliased memory."),
    // Composite.
    ("guest-nonce", "The guest answers the nonce that was sent, so it is not an old one."),
    ("guest-key", "The report is for the key that something is to be released to."),
    ("policy-digest", "The report is for the very policy by which it is judged."),
    ("device-set", "There is evidence of exactly the GPUs that the guest has named, at least one."),
    ("evidence-bound", "The guest has named this very evidence, at this place."),
    ("gpu-identity", "The GPU is the one that the policy names at this place."),
];

/// What a code means, or a reason.
pub(super) fn meaning(code: &str) -> &'static str {
    let own = MEANINGS.iter().copied();
    let known = own.chain(models()).find(|(other, _)| *other == code);
    known.map(|(_, meaning)| meaning).unwrap_or_default()
}

/// The checks and the reasons of ravelin-attestation.
fn models() -> impl Iterator<Item = (&'static str, &'static str)> {
    let checks = Check::ALL.iter().map(|check| (check.as_str(), check.meaning()));
    checks.chain(Code::ALL.iter().map(|code| (code.as_str(), code.meaning())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_lists_every_code() {
        let manual = include_str!("../../../docs/verify.md");
        for (code, meaning) in MEANINGS.iter().copied().chain(models()) {
            assert!(manual.contains(&format!("`{code}`")), "{code} is not in docs/verify.md");
            assert!(!meaning.is_empty());
        }
    }
}
