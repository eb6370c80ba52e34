//! The object identifiers of the profile.

use der::asn1::ObjectIdentifier;

/// `ecdsa-with-SHA384` (RFC 5758): the only signature algorithm of the profile.
pub const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
/// `id-sha384` (RFC 5754): the only digest in a FWID.
pub const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");

/// `id-ce-issuingDistributionPoint` (RFC 5280, 5.2.5).
pub const CE_ISSUING_DISTRIBUTION_POINT: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("2.5.29.28");
/// `id-ce-certificateIssuer` (RFC 5280, 5.3.3).
pub const CE_CERTIFICATE_ISSUER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.29");

/// `tcg-dice-TcbInfo` (TCG DICE Attestation Architecture, 6.1.1).
pub const TCG_DICE_TCB_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1");

/// `id-DMTF-device-info` (DSP0274 1.2): type of the otherName that names the device.
pub const DMTF_DEVICE_INFO: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.412.274.1");
/// `id-DMTF-hardware-identity`: marks the certificate of the device identity.
pub const DMTF_HARDWARE_IDENTITY: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.412.274.2");
/// `id-DMTF-eku-responder-auth`: the key may authenticate an SPDM responder.
pub const DMTF_EKU_RESPONDER_AUTH: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.412.274.3");
/// `id-DMTF-mutable-certificate`: marks a certificate that changes in the field.
pub const DMTF_MUTABLE_CERTIFICATE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.412.274.5");
/// `id-DMTF-spdm-extension`: the X.509 extension that holds the two marks above.
pub const DMTF_SPDM_EXTENSION: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.412.274.6");

/// Extended key usage: the key signs reference values. No standard names this purpose and Ravelin
/// has no enterprise number, so the arc is the one that RFC 5612 sets aside for documentation.
pub const EKU_REFERENCE_VALUES: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.1");
