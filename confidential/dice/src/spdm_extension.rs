//! The `id-DMTF-spdm-extension` (DSP0274 1.2, "SPDM certificate requirements"): marks that tell
//! which certificate of a chain is what.
//!
//! ```text
//! id-spdm-cert-oids ::= SEQUENCE SIZE (1..MAX) OF id-spdm-cert-oid
//! id-spdm-cert-oid  ::= SEQUENCE { spdmOID OBJECT IDENTIFIER,
//!                                  spdmOIDdefinition OCTET STRING OPTIONAL }
//! ```

use crate::oid;
use alloc::vec::Vec;
use der::asn1::{ObjectIdentifier, OctetString};
use der::{Decode, Encode, Sequence};
use x509_cert::ext::Extension;

#[derive(Sequence)]
struct SpdmCertOid {
    oid: ObjectIdentifier,
    #[asn1(optional = "true")]
    definition: Option<OctetString>,
}

/// The extension with one mark. DSP0274 has it not critical.
///
/// # Errors
/// None in practice: the content is of fixed size.
pub fn to_extension(mark: ObjectIdentifier) -> der::Result<Extension> {
    let marks = alloc::vec![SpdmCertOid { oid: mark, definition: None }];
    Ok(Extension {
        extn_id: oid::DMTF_SPDM_EXTENSION,
        critical: false,
        extn_value: OctetString::new(marks.to_der()?)?,
    })
}

/// Whether the extension's value carries this mark. `None` if it is not the structure above.
pub fn carries(value: &[u8], mark: ObjectIdentifier) -> Option<bool> {
    let marks = Vec::<SpdmCertOid>::from_der(value).ok()?;
    Some(marks.iter().any(|entry| entry.oid == mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_and_no_other() {
        let extension = to_extension(oid::DMTF_HARDWARE_IDENTITY).unwrap();
        let value = extension.extn_value.as_bytes();
        assert_eq!(carries(value, oid::DMTF_HARDWARE_IDENTITY), Some(true));
        assert_eq!(carries(value, oid::DMTF_MUTABLE_CERTIFICATE), Some(false));
        assert_eq!(carries(&value[1..], oid::DMTF_HARDWARE_IDENTITY), None);
    }
}
