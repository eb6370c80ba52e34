//! NVIDIA's reference manifests: SWID tags (ISO/IEC 19770-2) with the digests that a GPU's
//! measurements must have, one for the driver and one for the VBIOS, each signed.
//!
//! This room reads what a manifest says and judges its signer; that the signature covers the
//! document is [`signature`]'s part. XML itself is `roxmltree`'s: no document type, no entities.

mod signature;

use std::collections::BTreeMap;
use std::fmt;

use roxmltree::{Document, Node};

use super::References;
use super::report::DIGEST_SIZE;
use crate::chain::{self, Against};
use crate::policy::Policy;
use crate::result::Checks;
use crate::x509::{self, Certificate, Printable};

const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
const SHA384: &str = "http://www.w3.org/2001/04/xmlenc#sha384";
const DIGEST_HEX: usize = 2 * DIGEST_SIZE;

/// Why a file is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not UTF-8.
    #[error("the manifest is not UTF-8 text")]
    Text,
    /// Not XML, or XML with a document type.
    #[error("the manifest is not plain XML: {0}")]
    Xml(#[from] roxmltree::Error),
    /// A comment or processing instruction, which a signature may pass over.
    #[error("the manifest has a comment or a processing instruction")]
    Unsigned,
    /// An element or attribute that must be there once, and is not.
    #[error("the manifest has no (or more than one) {0}")]
    Missing(&'static str),
    /// A value that it may not have.
    #[error("the manifest's {what} is {value:?}")]
    Value {
        /// Whose value.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// Two entries for one index.
    #[error("the manifest has two entries for index {0}")]
    Repeated(u8),
    /// A certificate in the signature.
    #[error("the manifest's certificates: {0}")]
    Certificate(#[from] x509::Error),
    /// The signature is not of the form that NVIDIA's manifests have.
    #[error("the manifest's signature: {0}")]
    Signature(&'static str),
}

/// Which of the two a manifest is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The driver's firmware.
    Driver,
    /// The VBIOS.
    Vbios,
}

/// The codes of a kind's checks.
pub(super) struct Codes {
    pub(super) manifest: &'static str,
    pub(super) version: &'static str,
    pub(super) chain: chain::Codes,
    pub(super) signature: &'static str,
    pub(super) measurement: &'static str,
}

impl Kind {
    pub(super) fn codes(self) -> &'static Codes {
        match self {
            Kind::Driver => &Codes {
                manifest: "driver-manifest",
                version: "driver-manifest-version",
                chain: chain::Codes {
                    chain: "driver-manifest-certificate-chain",
                    time: "driver-manifest-certificate-time",
                    revocation: "driver-manifest-certificate-revocation",
                },
                signature: "driver-manifest-signature",
                measurement: "driver-measurement",
            },
            Kind::Vbios => &Codes {
                manifest: "vbios-manifest",
                version: "vbios-manifest-version",
                chain: chain::Codes {
                    chain: "vbios-manifest-certificate-chain",
                    time: "vbios-manifest-certificate-time",
                    revocation: "vbios-manifest-certificate-revocation",
                },
                signature: "vbios-manifest-signature",
                measurement: "vbios-measurement",
            },
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Driver => "driver",
            Kind::Vbios => "VBIOS",
        })
    }
}

/// A manifest, as read; not yet believed.
pub struct Manifest {
    /// What it is for.
    pub kind: Kind,
    /// The version that it is for, such as `96.00.5E.00.01`.
    pub version: String,
    /// Its SWID tag id.
    pub tag: String,
    entries: BTreeMap<u8, Entry>,
    text: String,
    certificates: Vec<Certificate>,
}

/// Reference values of one measurement.
struct Entry {
    active: bool,
    values: Vec<Vec<u8>>,
}

impl Manifest {
    /// The manifest in these bytes.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, Error> {
        let text = str::from_utf8(bytes).map_err(|_| Error::Text)?.to_owned();
        let document = Document::parse(&text)?;
        if document.descendants().any(|node| node.is_comment() || node.is_pi()) {
            return Err(Error::Unsigned);
        }
        let root = document.root_element();
        if !root.has_tag_name((SWID, "SoftwareIdentity")) {
            return Err(Error::Missing("SoftwareIdentity as its root"));
        }
        let version = attribute(child(root, "Meta")?, "colloquialVersion")?.to_owned();
        let tag = Printable(attribute(root, "tagId")?.to_owned()).to_string();
        let entries = entries(child(root, "Payload")?)?;
        let certificates = signature::certificates(root)?;
        let kind = if is_vbios_version(&version) { Kind::Vbios } else { Kind::Driver };
        Ok(Manifest {
            kind,
            version: Printable(version).to_string(),
            tag,
            entries,
            certificates,
            text,
        })
    }

    /// Whether this is the manifest for that version. Case does not matter, as in NVIDIA's own
    /// tools: reports and manifests have differed in it.
    pub fn is_for(&self, version: &str) -> bool {
        self.version.eq_ignore_ascii_case(version)
    }

    /// The indices that a report must match, with the values that it may have.
    pub fn active(&self) -> impl Iterator<Item = (u8, &[Vec<u8>])> {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.active)
            .map(|(index, entry)| (*index, entry.values.as_slice()))
    }

    /// Judges signer and signature.
    pub(super) fn judge(&self, references: &References, policy: &Policy, checks: &mut Checks) {
        let codes = self.kind.codes();
        let against = Against {
            root: &references.manifest_root,
            without_a_list: 0,
            lists: &references.revocation_lists,
            at: references.at,
        };
        chain::judge(&codes.chain, &self.certificates, &against, policy, checks);
        match self.certificates.first().ok_or("it carries no certificate".to_owned()) {
            Err(why) => checks.fail(codes.signature, why),
            Ok(signer) => match signature::verify(&self.text, signer) {
                Ok(()) => checks.pass(
                    codes.signature,
                    "XML signature, ECDSA P-384 over SHA-384, over the whole manifest",
                ),
                Err(why) => checks.fail(codes.signature, why),
            },
        }
    }
}

/// The only child element of this name.
fn child<'a, 'input>(
    parent: Node<'a, 'input>,
    name: &'static str,
) -> Result<Node<'a, 'input>, Error> {
    let mut found = parent.children().filter(|node| node.has_tag_name((SWID, name)));
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(Error::Missing(name)),
    }
}

fn attribute<'a>(node: Node<'a, '_>, name: &'static str) -> Result<&'a str, Error> {
    node.attribute(name).ok_or(Error::Missing(name))
}

/// A value that is none of those that may be there.
fn wrong(what: &'static str, value: &str) -> Error {
    Error::Value { what, value: Printable(value.chars().take(100).collect()).to_string() }
}

fn number(node: Node<'_, '_>, name: &'static str) -> Result<u8, Error> {
    let value = attribute(node, name)?;
    value.parse().map_err(|_| wrong(name, value))
}

fn entries(payload: Node<'_, '_>) -> Result<BTreeMap<u8, Entry>, Error> {
    let mut entries = BTreeMap::new();
    for resource in payload.children().filter(Node::is_element) {
        if !resource.has_tag_name((SWID, "Resource")) {
            return Err(wrong("payload element", resource.tag_name().name()));
        }
        let kind = attribute(resource, "type")?;
        if kind != "Measurement" {
            return Err(wrong("resource type", kind));
        }
        let active = match attribute(resource, "active")? {
            "True" => true,
            "False" => false,
            other => return Err(wrong("active", other)),
        };
        if usize::from(number(resource, "size")?) != DIGEST_SIZE {
            return Err(wrong("size", attribute(resource, "size")?));
        }
        let values = (0..number(resource, "alternatives")?)
            .map(|number| digest(resource, number))
            .collect::<Result<Vec<_>, _>>()?;
        let index = number(resource, "index")?;
        if entries.insert(index, Entry { active, values }).is_some() {
            return Err(Error::Repeated(index));
        }
    }
    if entries.is_empty() {
        return Err(Error::Missing("Resource"));
    }
    Ok(entries)
}

fn digest(resource: Node<'_, '_>, number: u8) -> Result<Vec<u8>, Error> {
    let name = format!("Hash{number}");
    let value =
        resource.attribute((SHA384, name.as_str())).ok_or(Error::Missing("SHA-384 digest"))?;
    match hex::decode(value) {
        Ok(digest) if value.len() == DIGEST_HEX => Ok(digest),
        _ => Err(wrong("digest", value)),
    }
}

/// VBIOS versions are five pairs of hexadecimal digits; driver versions are not.
fn is_vbios_version(version: &str) -> bool {
    let groups: Vec<&str> = version.split('.').collect();
    groups.len() == 5
        && groups.iter().all(|g| g.len() == 2 && g.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_the_version_tells_the_two_kinds_apart() {
        assert!(is_vbios_version("96.00.5E.00.01"));
        for driver in ["535.86.09", "545.00", "590.12", "1.2.3.4.5", ""] {
            assert!(!is_vbios_version(driver), "{driver}");
        }
    }

    #[test]
    fn what_a_signature_may_pass_over_is_refused() {
        let comment = b"<SoftwareIdentity><!-- x --></SoftwareIdentity>";
        assert!(matches!(Manifest::decode(comment), Err(Error::Unsigned)));
        let doctype = b"<!DOCTYPE x [<!ENTITY a 'b'>]><x/>";
        assert!(matches!(Manifest::decode(doctype), Err(Error::Xml(_))));
    }
}
