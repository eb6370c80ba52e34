//! The files that NVIDIA evidence comes in: a report as hexadecimal text or as bytes with a PEM
//! chain beside it, or a JSON array with an object for each GPU, as NVIDIA's own tools write it.

use base64ct::{Base64, Encoding};
use serde::Deserialize;

use crate::x509::{Certificate, Printable};

/// Evidence of one GPU, as read; not yet believed.
pub struct Evidence {
    /// The report: request and response.
    pub report: Vec<u8>,
    /// The certificates, attestation key first.
    pub certificates: Vec<Certificate>,
    /// The nonce that the file says was asked with.
    pub nonce: Option<[u8; 32]>,
}

/// One object of the JSON form. Fields that NVIDIA's tools add are not read.
#[derive(Deserialize)]
struct Element {
    evidence: String,
    certificate: String,
    nonce: Option<String>,
}

/// Why a file as a whole is no evidence.
#[derive(Debug, thiserror::Error)]
#[error("not a JSON array of NVIDIA evidence (evidence, certificate, nonce): {0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Evidence from a report and a PEM chain.
pub fn from_files(report: &[u8], chain: &[u8]) -> Result<Evidence, String> {
    let report = bytes_or_hex(report)?;
    let certificates = Certificate::chain_from_pem(chain).map_err(|error| error.to_string())?;
    Ok(Evidence { report, certificates, nonce: None })
}

/// Evidence of each GPU in a JSON file: an array, or one object. An element that cannot be read
/// spoils its own verdict and no other's.
pub fn from_json(bytes: &[u8]) -> Result<Vec<Result<Evidence, String>>, JsonError> {
    let elements: Vec<serde_json::Value> = match serde_json::from_slice(bytes)? {
        serde_json::Value::Array(elements) => elements,
        other => vec![other],
    };
    Ok(elements.into_iter().map(from_element).collect())
}

fn from_element(element: serde_json::Value) -> Result<Evidence, String> {
    let element: Element = serde_json::from_value(element)
        .map_err(|error| Printable(error.to_string()).to_string())?;
    let decode = |field: &str, text: &str| {
        Base64::decode_vec(text).map_err(|_| format!("{field} is not base64"))
    };
    let report = decode("evidence", &element.evidence)?;
    let chain = decode("certificate", &element.certificate)?;
    let certificates = Certificate::chain_from_pem(&chain).map_err(|error| error.to_string())?;
    let nonce = element.nonce.as_deref().map(nonce).transpose()?;
    Ok(Evidence { report, certificates, nonce })
}

/// A nonce of 32 bytes from its hexadecimal form.
pub fn nonce(text: &str) -> Result<[u8; 32], String> {
    let mut nonce = [0; 32];
    hex::decode_to_slice(text.trim(), &mut nonce)
        .map_err(|error| format!("nonce: {error}; expected 64 hexadecimal digits"))?;
    Ok(nonce)
}

/// Bytes as they are, or from hexadecimal text with white space around it.
pub fn bytes_or_hex(file: &[u8]) -> Result<Vec<u8>, String> {
    match str::from_utf8(file).map(str::trim) {
        Ok(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            hex::decode(text).map_err(|error| format!("not hexadecimal text: {error}"))
        }
        _ => Ok(file.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unreadable_element_spoils_no_other() {
        let json = br#"[{"evidence":"AA==","certificate":"","nonce":null}, 7]"#;
        let elements = from_json(json).unwrap();
        assert_eq!(elements.len(), 2);
        assert!(elements.iter().all(Result::is_err));
    }

    #[test]
    fn a_report_is_hexadecimal_text_or_bytes() {
        assert_eq!(bytes_or_hex(b" 11E0\n").unwrap(), [0x11, 0xe0]);
        assert_eq!(bytes_or_hex(&[0x11, 0xe0]).unwrap(), [0x11, 0xe0]);
        assert!(bytes_or_hex(b"11e").is_err());
        assert!(bytes_or_hex(b"xy").is_err());
    }
}
