//! The `tcg-dice-TcbInfo` extension (TCG DICE Attestation Architecture, 6.1.1): what runs on the
//! device, in the words of the layer below it.
//!
//! ```text
//! DiceTcbInfo ::= SEQUENCE {
//!     vendor     [0] IMPLICIT UTF8String OPTIONAL,
//!     model      [1] IMPLICIT UTF8String OPTIONAL,
//!     version    [2] IMPLICIT UTF8String OPTIONAL,
//!     svn        [3] IMPLICIT INTEGER OPTIONAL,
//!     layer      [4] IMPLICIT INTEGER OPTIONAL,
//!     index      [5] IMPLICIT INTEGER OPTIONAL,
//!     fwids      [6] IMPLICIT FWIDLIST OPTIONAL,
//!     flags      [7] IMPLICIT OperationalFlags OPTIONAL, ... }
//! FWIDLIST ::= SEQUENCE SIZE (1..MAX) OF FWID
//! FWID ::= SEQUENCE { hashAlg OBJECT IDENTIFIER, digest OCTET STRING }
//! OperationalFlags ::= BIT STRING { notConfigured (0), notSecure (1), recovery (2), debug (3) }
//! ```
//!
//! The profile asks for all of these but `index`, for exactly one FWID (SHA-384, the
//! [firmware id](crate::firmware_id)), and for no field beyond. Where the standard lets a field be
//! absent, absence must not read as "nothing to worry about".

use crate::{Digest, oid};
use alloc::string::String;
use alloc::vec::Vec;
use der::asn1::{BitString, ObjectIdentifier, OctetString};
use der::oid::AssociatedOid;
use der::{Decode, Encode, Sequence};
use x509_cert::ext::{Criticality, Extension};
use x509_cert::name::Name;

/// The extension's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcbInfo {
    /// Maker of the device.
    pub vendor: String,
    /// Product name of the device.
    pub model: String,
    /// Version of the firmware, for people.
    pub version: String,
    /// Security version number: grows when a weakness is mended, never shrinks.
    pub svn: u32,
    /// DICE layer: 0 is the device identity, 1 what it endorses.
    pub layer: u32,
    /// [Firmware id](crate::firmware_id) of the measured boot.
    pub firmware_id: Digest,
    /// What is open or missing.
    pub flags: OperationalFlags,
}

/// Reasons to distrust, as the root of trust states them. All false is the trustworthy state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperationalFlags {
    /// The device is not configured for use.
    pub not_configured: bool,
    /// Protection is not in force: confidential mode is off.
    pub not_secure: bool,
    /// The device runs recovery firmware.
    pub recovery: bool,
    /// Debug is, or can be, open.
    pub debug: bool,
}

impl TcbInfo {
    /// DER of the extension's value.
    ///
    /// # Errors
    /// Only for strings or numbers too long for DER's length field.
    pub fn encode(&self) -> der::Result<Vec<u8>> {
        DiceTcbInfo {
            vendor: Some(self.vendor.clone()),
            model: Some(self.model.clone()),
            version: Some(self.version.clone()),
            svn: Some(self.svn),
            layer: Some(self.layer),
            index: None,
            fwids: Some(alloc::vec![Fwid {
                hash_alg: oid::SHA384,
                digest: OctetString::new(self.firmware_id)?,
            }]),
            flags: Some(self.flags.encode()?),
        }
        .to_der()
    }

    /// The content of the extension's value. `None` if it is not DER, or not of this profile.
    pub fn decode(bytes: &[u8]) -> Option<TcbInfo> {
        let raw = DiceTcbInfo::from_der(bytes).ok()?;
        let [Fwid { hash_alg: oid::SHA384, digest }] = raw.fwids.as_deref()? else {
            return None;
        };
        Some(TcbInfo {
            vendor: raw.vendor?,
            model: raw.model?,
            version: raw.version?,
            svn: raw.svn?,
            layer: raw.layer?,
            firmware_id: digest.as_bytes().try_into().ok()?,
            flags: OperationalFlags::decode(&raw.flags?)?,
        })
    }

    /// The certificate extension. Not critical, so that SPDM stacks which do not know DICE still
    /// accept the chain; [`crate::chain`] refuses a leaf without it.
    ///
    /// # Errors
    /// As [`TcbInfo::encode`].
    pub fn to_extension(&self) -> der::Result<Extension> {
        Ok(Extension {
            extn_id: oid::TCG_DICE_TCB_INFO,
            critical: false,
            extn_value: OctetString::new(self.encode()?)?,
        })
    }
}

impl OperationalFlags {
    /// A named bit list: DER drops its trailing zeros (X.690, 11.2.2).
    fn encode(self) -> der::Result<BitString> {
        let bits = [self.not_configured, self.not_secure, self.recovery, self.debug];
        let byte = bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit)) << 4;
        match byte {
            0 => BitString::new(0, []),
            _ => BitString::new(byte.trailing_zeros() as u8, [byte]),
        }
    }

    /// Bits beyond the four that the profile knows are reasons that it does not understand: refused.
    fn decode(bits: &BitString) -> Option<OperationalFlags> {
        let mut known = [false; 4];
        for (place, bit) in bits.bits().enumerate() {
            match known.get_mut(place) {
                Some(known) => *known = bit,
                None if bit => return None,
                None => {}
            }
        }
        let [not_configured, not_secure, recovery, debug] = known;
        Some(OperationalFlags { not_configured, not_secure, recovery, debug })
    }
}

/// As the standard has it, everything optional.
#[derive(Sequence)]
struct DiceTcbInfo {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    vendor: Option<String>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    model: Option<String>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    version: Option<String>,
    #[asn1(context_specific = "3", tag_mode = "IMPLICIT", optional = "true")]
    svn: Option<u32>,
    #[asn1(context_specific = "4", tag_mode = "IMPLICIT", optional = "true")]
    layer: Option<u32>,
    #[asn1(context_specific = "5", tag_mode = "IMPLICIT", optional = "true")]
    index: Option<u32>,
    #[asn1(context_specific = "6", tag_mode = "IMPLICIT", optional = "true", constructed = "true")]
    fwids: Option<Vec<Fwid>>,
    #[asn1(context_specific = "7", tag_mode = "IMPLICIT", optional = "true")]
    flags: Option<BitString>,
}

impl AssociatedOid for DiceTcbInfo {
    const OID: ObjectIdentifier = oid::TCG_DICE_TCB_INFO;
}

impl Criticality for DiceTcbInfo {
    fn criticality(&self, _subject: &Name, _extensions: &[Extension]) -> bool {
        false
    }
}

#[derive(Sequence)]
struct Fwid {
    hash_alg: ObjectIdentifier,
    digest: OctetString,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn example() -> TcbInfo {
        TcbInfo {
            vendor: "V".to_string(),
            model: "M".to_string(),
            version: "1".to_string(),
            svn: 7,
            layer: 1,
            firmware_id: [0xab; 48],
            flags: OperationalFlags { debug: true, ..Default::default() },
        }
    }

    /// Written by hand from the ASN.1 above, so that both directions are held to the standard and
    /// not merely to one another.
    #[test]
    fn the_encoding_is_the_standards() {
        let mut der = alloc::vec![0x30, 0];
        der.extend([0x80, 1, b'V', 0x81, 1, b'M', 0x82, 1, b'1', 0x83, 1, 7, 0x84, 1, 1]);
        der.extend([0xa6, 0x3f, 0x30, 0x3d, 0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 3, 4, 2, 2]);
        der.extend([0x04, 0x30]);
        der.extend([0xab; 48]);
        der.extend([0x87, 2, 4, 0x10]);
        der[1] = (der.len() - 2) as u8;
        assert_eq!(example().encode().unwrap(), der);
        assert_eq!(TcbInfo::decode(&der), Some(example()));
    }

    #[test]
    fn flags_are_a_named_bit_list() {
        let flags = |bits: [bool; 4]| {
            let [not_configured, not_secure, recovery, debug] = bits;
            let flags = OperationalFlags { not_configured, not_secure, recovery, debug };
            flags.encode().unwrap().to_der().unwrap()
        };
        assert_eq!(flags([false; 4]), [3, 1, 0]);
        assert_eq!(flags([false, true, false, false]), [3, 2, 6, 0x40]);
        assert_eq!(flags([true, false, false, true]), [3, 2, 4, 0x90]);
    }

    #[test]
    fn an_absent_field_is_not_a_good_one() {
        let full = DiceTcbInfo::from_der(&example().encode().unwrap()).unwrap();
        let without_flags = DiceTcbInfo { flags: None, ..full };
        assert_eq!(TcbInfo::decode(&without_flags.to_der().unwrap()), None);
        let full = DiceTcbInfo::from_der(&example().encode().unwrap()).unwrap();
        let without_svn = DiceTcbInfo { svn: None, ..full };
        assert_eq!(TcbInfo::decode(&without_svn.to_der().unwrap()), None);
    }

    #[test]
    fn a_second_firmware_id_is_refused() {
        let mut two = DiceTcbInfo::from_der(&example().encode().unwrap()).unwrap();
        two.fwids
            .as_mut()
            .unwrap()
            .push(Fwid { hash_alg: oid::SHA384, digest: OctetString::new([0; 48]).unwrap() });
        assert_eq!(TcbInfo::decode(&two.to_der().unwrap()), None);
    }

    #[test]
    fn an_unknown_flag_that_is_set_is_refused() {
        let mut odd = DiceTcbInfo::from_der(&example().encode().unwrap()).unwrap();
        odd.flags = Some(BitString::new(0, [0x10, 0x00]).unwrap());
        assert!(TcbInfo::decode(&odd.to_der().unwrap()).is_some());
        odd.flags = Some(BitString::new(0, [0x10, 0x01]).unwrap());
        assert_eq!(TcbInfo::decode(&odd.to_der().unwrap()), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            vendor: String, model: String, version: String, svn: u32, layer: u32, bits: [bool; 4],
            byte: u8,
        ) {
            let [not_configured, not_secure, recovery, debug] = bits;
            let flags = OperationalFlags { not_configured, not_secure, recovery, debug };
            let info = TcbInfo { vendor, model, version, svn, layer, firmware_id: [byte; 48], flags };
            prop_assert_eq!(TcbInfo::decode(&info.encode().unwrap()), Some(info));
        }

        #[test]
        fn rubbish_does_not_panic(bytes: Vec<u8>) {
            let _ = TcbInfo::decode(&bytes);
        }
    }
}
