//! What a guest says that its report binds: the file `guest.json`.
//!
//! ```json
//! {
//!   "schema": "ravelin.guest/1",
//!   "nonce": "<base64 of 32 bytes>",
//!   "key": "<base64 of 97 bytes>",
//!   "policy": "<base64 of 48 bytes>",
//!   "gpus": ["<base64 of 48 bytes>"]
//! }
//! ```
//!
//! `nonce` is what it answers, `key` its public key (P-384, SEC1, uncompressed), `policy` the SHA-384 of
//! the policy's file that it was told of, or null, and `gpus` a digest of what each GPU has presented.
//! How REPORT_DATA and these digests are computed: `ravelin_attestation::composite`.

use base64ct::{Base64, Encoding};
use ravelin_attestation::composite::{self, KEY_SIZE, REPORT_DATA_SIZE};
use serde::{Deserialize, Serialize};

use crate::x509::Printable;

/// Name of the file in the directory.
pub const FILE: &str = "guest.json";
/// Version of the format.
pub const SCHEMA: &str = "ravelin.guest/1";

/// A guest's statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The nonce that it answers.
    pub nonce: [u8; 32],
    /// Its public key.
    pub key: [u8; KEY_SIZE],
    /// Digest of the policy that it was told of.
    pub policy: Option<composite::Digest>,
    /// Digests of what its GPUs have presented, in the order of their places.
    pub gpus: Vec<composite::Digest>,
}

/// Why a file is no statement.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON of the form.
    #[error("not a guest's statement: {0}")]
    Json(String),
    /// Another version.
    #[error("the statement has schema {0:?}; expected {SCHEMA:?}")]
    Schema(String),
    /// A field that is not base64 of so many bytes.
    #[error("{0} is not base64 of {1} bytes")]
    Field(&'static str, usize),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: String,
    nonce: String,
    key: String,
    policy: Option<String>,
    gpus: Vec<String>,
}

impl Statement {
    /// The statement in a file.
    pub fn from_json(bytes: &[u8]) -> Result<Statement, Error> {
        let file: File = serde_json::from_slice(bytes)
            .map_err(|error| Error::Json(Printable(error.to_string()).to_string()))?;
        if file.schema != SCHEMA {
            return Err(Error::Schema(Printable(file.schema).to_string()));
        }
        let gpus = file.gpus.iter().map(|gpu| exactly("gpus", gpu));
        Ok(Statement {
            nonce: exactly("nonce", &file.nonce)?,
            key: exactly("key", &file.key)?,
            policy: file.policy.map(|policy| exactly("policy", &policy)).transpose()?,
            gpus: gpus.collect::<Result<_, _>>()?,
        })
    }

    /// The file for this statement.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        let file = File {
            schema: SCHEMA.into(),
            nonce: Base64::encode_string(&self.nonce),
            key: Base64::encode_string(&self.key),
            policy: self.policy.map(|policy| Base64::encode_string(&policy)),
            gpus: self.gpus.iter().map(|gpu| Base64::encode_string(gpu)).collect(),
        };
        serde_json::to_vec_pretty(&file).map_err(|error| Error::Json(error.to_string()))
    }

    /// REPORT_DATA of a report that binds it.
    pub fn report_data(&self) -> [u8; REPORT_DATA_SIZE] {
        let Statement { nonce, key, policy, gpus } = self;
        composite::Statement { nonce, key, policy: policy.as_ref(), gpus }.report_data()
    }
}

fn exactly<const N: usize>(field: &'static str, text: &str) -> Result<[u8; N], Error> {
    let bytes = Base64::decode_vec(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or(Error::Field(field, N))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_read_as_it_was_written_and_nothing_else_is() {
        let statement = Statement {
            nonce: [1; 32],
            key: [4; KEY_SIZE],
            policy: Some([2; 48]),
            gpus: vec![[3; 48]],
        };
        let json = String::from_utf8(statement.to_json().unwrap()).unwrap();
        assert_eq!(Statement::from_json(json.as_bytes()).unwrap(), statement);
        let without = Statement { policy: None, ..statement };
        assert_eq!(Statement::from_json(&without.to_json().unwrap()).unwrap(), without);

        let read = |json: String| Statement::from_json(json.as_bytes());
        assert!(matches!(read(json.replace("guest/1", "guest/2")), Err(Error::Schema(_))));
        assert!(matches!(read(json.replace("\"gpus\"", "\"gpu\"")), Err(Error::Json(_))));
        let short = json.replace(&Base64::encode_string(&[1; 32]), "AAAA");
        assert!(matches!(read(short), Err(Error::Field("nonce", 32))));
    }
}
