//! Saved evidence of a guest's GPUs: a directory with one file, `evidence.json`.
//!
//! ```json
//! {
//!   "schema": "ravelin.evidence/1",
//!   "gpus": [{
//!     "certificates": ["<base64 of DER>", "..."],
//!     "vca": "<base64>", "request": "<base64>", "response": "<base64>",
//!     "nonce": "<base64 of 32 bytes>", "exchange_key": "<base64 of 96 bytes>"
//!   }]
//! }
//! ```
//!
//! Certificates are in SPDM's order, the root first. `vca` is the negotiation from GET_VERSION to
//! ALGORITHMS; `request` and `response` are GET_MEASUREMENTS and MEASUREMENTS with its signature.
//! `nonce` is the verifier's, `exchange_key` the guest's share in KEY_EXCHANGE (x, y): SHA-384 over
//! both, cut to 32 bytes, is the nonce in the request.

use base64ct::{Base64, Encoding};
use ravelin_attestation::Evidence;
use ravelin_spdm::measurements::MeasurementTranscript;
use serde::{Deserialize, Serialize};

use crate::x509::Printable;

/// Name of the file in the directory.
pub const FILE: &str = "evidence.json";
/// Version of the format.
pub const SCHEMA: &str = "ravelin.evidence/1";

/// Evidence of one GPU, as read; not yet believed.
pub struct Gpu {
    /// What the GPU presented.
    pub evidence: Evidence,
    /// The nonce that the file says the verifier chose.
    pub nonce: [u8; 32],
    /// The guest's share in KEY_EXCHANGE.
    pub exchange_key: [u8; 96],
}

/// Why a file as a whole is no saved evidence.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON of the form.
    #[error("not saved evidence: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version.
    #[error("the evidence has schema {0:?}; expected {SCHEMA:?}")]
    Schema(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: String,
    gpus: Vec<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Element {
    certificates: Vec<String>,
    vca: String,
    request: String,
    response: String,
    nonce: String,
    exchange_key: String,
}

/// The GPUs in a file. One that cannot be read spoils its own verdict and no other's.
pub fn from_json(bytes: &[u8]) -> Result<Vec<Result<Gpu, String>>, Error> {
    let file: File = serde_json::from_slice(bytes)?;
    if file.schema != SCHEMA {
        return Err(Error::Schema(Printable(file.schema).to_string()));
    }
    Ok(file.gpus.into_iter().map(from_element).collect())
}

/// The file for these GPUs.
pub fn to_json(gpus: &[Gpu]) -> Result<Vec<u8>, Error> {
    let gpus = gpus.iter().map(to_element).collect::<Result<_, _>>()?;
    Ok(serde_json::to_vec_pretty(&File { schema: SCHEMA.into(), gpus })?)
}

fn from_element(value: serde_json::Value) -> Result<Gpu, String> {
    let element: Element =
        serde_json::from_value(value).map_err(|error| Printable(error.to_string()).to_string())?;
    let certificates = element.certificates.iter().map(|text| decode("certificates", text));
    Ok(Gpu {
        evidence: Evidence {
            certificates: certificates.collect::<Result<_, _>>()?,
            measurements: MeasurementTranscript {
                vca: decode("vca", &element.vca)?,
                request: decode("request", &element.request)?,
                response: decode("response", &element.response)?,
            },
        },
        nonce: exactly("nonce", &element.nonce)?,
        exchange_key: exactly("exchange_key", &element.exchange_key)?,
    })
}

fn to_element(gpu: &Gpu) -> Result<serde_json::Value, serde_json::Error> {
    let measurements = &gpu.evidence.measurements;
    serde_json::to_value(Element {
        certificates: gpu
            .evidence
            .certificates
            .iter()
            .map(|der| Base64::encode_string(der))
            .collect(),
        vca: Base64::encode_string(&measurements.vca),
        request: Base64::encode_string(&measurements.request),
        response: Base64::encode_string(&measurements.response),
        nonce: Base64::encode_string(&gpu.nonce),
        exchange_key: Base64::encode_string(&gpu.exchange_key),
    })
}

fn decode(field: &str, text: &str) -> Result<Vec<u8>, String> {
    Base64::decode_vec(text).map_err(|_| format!("{field} is not base64"))
}

fn exactly<const N: usize>(field: &str, text: &str) -> Result<[u8; N], String> {
    let bytes = decode(field, text)?;
    let length = bytes.len();
    bytes.try_into().map_err(|_| format!("{field} has {length} bytes; expected {N}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_evidence_is_read_as_it_was_written_and_nothing_else_is() {
        let gpu = Gpu {
            evidence: Evidence {
                certificates: vec![vec![1], vec![2, 3]],
                measurements: MeasurementTranscript {
                    vca: vec![4],
                    request: vec![5],
                    response: vec![6, 7, 8],
                },
            },
            nonce: [9; 32],
            exchange_key: [10; 96],
        };
        let json = to_json(&[gpu]).unwrap();
        let read = from_json(&json).unwrap().remove(0).unwrap();
        assert_eq!(read.evidence.certificates, [vec![1], vec![2, 3]]);
        assert_eq!(read.evidence.measurements.response, [6, 7, 8]);
        assert_eq!((read.nonce, read.exchange_key), ([9; 32], [10; 96]));

        let text = String::from_utf8(json).unwrap();
        let other = text.replace("evidence/1", "evidence/2");
        assert!(matches!(from_json(other.as_bytes()), Err(Error::Schema(_))));
        let short = text.replace(&Base64::encode_string(&[9; 32]), "AAAA");
        assert!(from_json(short.as_bytes()).unwrap().remove(0).is_err());
        let unknown = text.replace("\"vca\"", "\"wca\"");
        assert!(from_json(unknown.as_bytes()).unwrap().remove(0).is_err());
        assert!(from_json(b"[]").is_err());
    }
}
