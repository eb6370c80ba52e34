//! The name of a device in its certificates: DSP0274's `id-DMTF-device-info`, a UTF8String
//! `manufacturer:product:serial` in an otherName of the subject alternative name.

use crate::oid;
use alloc::format;
use alloc::string::{String, ToString};
use der::asn1::Utf8StringRef;
use der::{Any, AnyRef, Decode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{GeneralName, OtherName};

/// Who made the device, what it is, and which one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Manufacturer.
    pub manufacturer: String,
    /// Product: the model name.
    pub product: String,
    /// Serial number, unique among the manufacturer's.
    pub serial: String,
}

impl DeviceInfo {
    /// The name in this text; `None` unless it is three non-empty parts between two colons.
    pub fn parse(text: &str) -> Option<DeviceInfo> {
        let mut parts = text.split(':');
        let info = DeviceInfo {
            manufacturer: parts.next()?.to_string(),
            product: parts.next()?.to_string(),
            serial: parts.next()?.to_string(),
        };
        let whole = [&info.manufacturer, &info.product, &info.serial].iter().all(|p| !p.is_empty());
        (whole && parts.next().is_none()).then_some(info)
    }

    /// `manufacturer:product:serial`.
    pub fn text(&self) -> String {
        format!("{}:{}:{}", self.manufacturer, self.product, self.serial)
    }

    /// The subject alternative name that carries it.
    ///
    /// # Errors
    /// Only for names too long for DER's length field.
    pub fn to_alt_name(&self) -> der::Result<SubjectAltName> {
        let text = self.text();
        let value = Any::from(AnyRef::from(Utf8StringRef::new(&text)?));
        let name = OtherName { type_id: oid::DMTF_DEVICE_INFO, value };
        Ok(SubjectAltName(alloc::vec![GeneralName::OtherName(name)]))
    }

    /// The device named in a subject alternative name; `None` if there is none, or more than one.
    pub fn from_alt_name(names: &SubjectAltName) -> Option<DeviceInfo> {
        let mut found = names.0.iter().filter_map(|name| match name {
            GeneralName::OtherName(other) if other.type_id == oid::DMTF_DEVICE_INFO => {
                Some(&other.value)
            }
            _ => None,
        });
        let value = found.next()?;
        if found.next().is_some() {
            return None;
        }
        let bytes = der::Encode::to_der(value).ok()?;
        DeviceInfo::parse(Utf8StringRef::from_der(&bytes).ok()?.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_its_certificate() {
        let info = DeviceInfo::parse("Ravelin:APM:0001").unwrap();
        assert_eq!(DeviceInfo::from_alt_name(&info.to_alt_name().unwrap()), Some(info));
    }

    #[test]
    fn a_name_has_three_parts() {
        for text in ["", "a", "a:b", "a:b:", ":b:c", "a::c", "a:b:c:d", "a:b:c:"] {
            assert_eq!(DeviceInfo::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn two_names_are_no_name() {
        let info = DeviceInfo::parse("a:b:c").unwrap();
        let mut names = info.to_alt_name().unwrap();
        names.0.extend(info.to_alt_name().unwrap().0);
        assert_eq!(DeviceInfo::from_alt_name(&names), None);
    }
}
