//! The XML signature of a manifest: that it is of the one form that covers the whole document, and
//! that it is the signer's.
//!
//! The cryptography and the canonical form are `bergshamra`'s. It is given the one key to accept,
//! that of a certificate which the caller judges; what a document says about keys is not followed.
//! Before it is asked, everything that would leave room for interpretation is refused: another
//! reference than the whole document, another transform than taking the signature out, a second
//! signature, a signature that is not the root's last child.

use base64ct::{Base64, Encoding};
use bergshamra::{DsigContext, KeysManager, VerifyResult};
use roxmltree::Node;

use super::Error;
use crate::x509::{Certificate, Printable};

const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const C14N_1_1: &str = "http://www.w3.org/2006/12/xml-c14n11";
const ECDSA_SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
const SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#sha384";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";

/// The certificates in the signature, signer first, once the signature's form is right.
pub(super) fn certificates(root: Node<'_, '_>) -> Result<Vec<Certificate>, Error> {
    let named = |node: &Node<'_, '_>| node.has_tag_name((DSIG, "Signature"));
    let mut signatures = root.document().descendants().filter(named);
    let (Some(signature), None) = (signatures.next(), signatures.next()) else {
        return Err(Error::Signature("there must be exactly one"));
    };
    if root.last_element_child() != Some(signature) {
        return Err(Error::Signature("it must be the last element of the document"));
    }
    let [info, _value, keys] = elements(signature, ["SignedInfo", "SignatureValue", "KeyInfo"])?;
    check_signed_info(info)?;
    let [data] = elements(keys, ["X509Data"])?;
    data.children().filter(Node::is_element).map(certificate).collect()
}

fn check_signed_info(info: Node<'_, '_>) -> Result<(), Error> {
    let [canonical, method, reference] =
        elements(info, ["CanonicalizationMethod", "SignatureMethod", "Reference"])?;
    let [transforms, digest, _value] =
        elements(reference, ["Transforms", "DigestMethod", "DigestValue"])?;
    let [enveloped, form] = elements(transforms, ["Transform", "Transform"])?;
    let algorithms = [
        (canonical, C14N_1_1),
        (method, ECDSA_SHA384),
        (digest, SHA384),
        (enveloped, ENVELOPED),
        (form, C14N_1_1),
    ];
    if algorithms.iter().any(|(node, right)| node.attribute("Algorithm") != Some(right)) {
        return Err(Error::Signature(
            "it must be ECDSA with SHA-384, enveloped, over canonical XML 1.1",
        ));
    }
    if reference.attribute("URI") != Some("") {
        return Err(Error::Signature("it must refer to the whole document"));
    }
    Ok(())
}

/// The child elements, which must be these in this order and no others.
fn elements<'a, 'input, const N: usize>(
    parent: Node<'a, 'input>,
    names: [&'static str; N],
) -> Result<[Node<'a, 'input>; N], Error> {
    let found: Vec<_> = parent.children().filter(Node::is_element).collect();
    if found.len() != N || found.iter().zip(names).any(|(n, name)| !n.has_tag_name((DSIG, name))) {
        return Err(Error::Signature("it has an element too many, too few or out of place"));
    }
    found.try_into().map_err(|_| Error::Signature("it has an element too many or too few"))
}

fn certificate(node: Node<'_, '_>) -> Result<Certificate, Error> {
    if !node.has_tag_name((DSIG, "X509Certificate")) {
        return Err(Error::Signature("X509Data may hold certificates only"));
    }
    let text: String =
        node.text().unwrap_or_default().chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let der = Base64::decode_vec(&text)
        .map_err(|_| Error::Signature("a certificate in it is not base64"))?;
    Ok(Certificate::from_der(&der)?)
}

/// Checks that the document is signed with the key of this certificate.
pub(super) fn verify(text: &str, signer: &Certificate) -> Result<(), String> {
    let key = bergshamra::keys::loader::load_x509_cert_der(signer.der())
        .map_err(|error| format!("the signer's key: {}", Printable(error.to_string())))?;
    let mut keys = KeysManager::new();
    keys.add_key(key);
    match bergshamra::verify(&DsigContext::new(keys), text) {
        Ok(result @ VerifyResult::Valid { .. }) if result.all_reference_digests_verified() => {
            Ok(())
        }
        Ok(VerifyResult::Valid { .. }) => Err("it does not cover the document".into()),
        Ok(VerifyResult::Invalid { reason }) => Err(Printable(reason).to_string()),
        Err(error) => Err(Printable(error.to_string()).to_string()),
    }
}
