//! Composite evidence: what a guest's own report binds, so that the report and the evidence of all its
//! GPUs are one thing.
//!
//! A guest puts a digest of its [`Statement`] into REPORT_DATA: whose nonce it answers, its public key,
//! the policy that it was told of, and what each of its GPUs has presented, in the order of their places.
//! Whoever releases a secret to that key then knows all of it from the report: another guest's GPUs, a
//! GPU less, one more, one twice, or two that changed places are another statement.
//!
//! The encoding is fixed: a label with its version, then fields of fixed length, lists behind their
//! number. Guest and verifier both use this code; the formats that carry the parts are theirs.

use crate::Evidence;
use sha2::{Digest as _, Sha384, Sha512};

/// Bytes of a guest's public key: P-384, SEC1, uncompressed.
pub const KEY_SIZE: usize = 97;
/// Bytes of REPORT_DATA.
pub const REPORT_DATA_SIZE: usize = 64;

/// Opens the encoding of a statement.
const STATEMENT: &[u8] = b"ravelin composite statement, version 1\0";
/// Opens the encoding of what a GPU has presented.
const EVIDENCE: &[u8] = b"ravelin composite GPU evidence, version 1\0";

/// A digest, SHA-384.
pub type Digest = [u8; 48];

/// What a guest says about itself and its GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The relying party's nonce, or one of the guest's own.
    pub nonce: &'a [u8; 32],
    /// The guest's public key.
    pub key: &'a [u8; KEY_SIZE],
    /// SHA-384 of the policy that the guest was told it would be judged by, if it was told of any.
    pub policy: Option<&'a Digest>,
    /// [`evidence_digest`] of each GPU, in the order of their places.
    pub gpus: &'a [Digest],
}

impl Statement<'_> {
    /// REPORT_DATA of a report that binds this statement.
    pub fn report_data(&self) -> [u8; REPORT_DATA_SIZE] {
        let mut hash = Sha512::new();
        hash.update(STATEMENT);
        hash.update(self.nonce);
        hash.update(self.key);
        match self.policy {
            None => hash.update([0]),
            Some(policy) => {
                hash.update([1]);
                hash.update(policy);
            }
        }
        hash.update(length(self.gpus.len()));
        self.gpus.iter().for_each(|gpu| hash.update(gpu));
        hash.finalize().into()
    }
}

/// What a GPU has presented, as one digest: every byte of it, and what it was an answer to.
pub fn evidence_digest(evidence: &Evidence, nonce: &[u8; 32], exchange_key: &[u8; 96]) -> Digest {
    let mut hash = Sha384::new();
    hash.update(EVIDENCE);
    hash.update(nonce);
    hash.update(exchange_key);
    let mut part = |bytes: &[u8]| {
        hash.update(length(bytes.len()));
        hash.update(bytes);
    };
    part(&evidence.measurements.vca);
    part(&evidence.measurements.request);
    part(&evidence.measurements.response);
    evidence.certificates.iter().for_each(|certificate| part(certificate));
    hash.finalize().into()
}

fn length(bytes: usize) -> [u8; 8] {
    (bytes as u64).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec;
    use ravelin_spdm::measurements::MeasurementTranscript;

    const GPUS: [Digest; 2] = [[1; 48], [2; 48]];
    const GOOD: Statement<'_> =
        Statement { nonce: &[3; 32], key: &[4; 97], policy: Some(&[5; 48]), gpus: &GPUS };

    #[test]
    fn every_change_is_another_statement() {
        let statements = [
            GOOD,
            Statement { nonce: &[9; 32], ..GOOD },
            Statement { key: &[9; 97], ..GOOD },
            Statement { policy: None, ..GOOD },
            Statement { policy: Some(&[9; 48]), ..GOOD },
            Statement { gpus: &[[1; 48]], ..GOOD },
            Statement { gpus: &[[2; 48], [1; 48]], ..GOOD },
            Statement { gpus: &[[1; 48], [1; 48]], ..GOOD },
            Statement { gpus: &[[1; 48], [2; 48], [2; 48]], ..GOOD },
            Statement { gpus: &[], ..GOOD },
        ];
        let data: BTreeSet<_> = statements.iter().map(Statement::report_data).collect();
        assert_eq!(data.len(), statements.len());
    }

    /// Python: `hashlib.sha512(b"ravelin composite statement, version 1\0" + b"\3" * 32 + b"\4" * 97
    /// + b"\1" + b"\5" * 48 + (2).to_bytes(8, "big") + b"\1" * 48 + b"\2" * 48)`.
    #[test]
    fn the_encoding_is_the_documented_one() {
        let start = [0xf4, 0x9e, 0x4d, 0xdd, 0x71, 0x51, 0xc3, 0x83];
        assert_eq!(GOOD.report_data()[..8], start);
    }

    #[test]
    fn every_part_of_what_a_gpu_presents_counts() {
        let evidence =
            |certificates: &[&[u8]], vca: &[u8], request: &[u8], response: &[u8]| Evidence {
                certificates: certificates.iter().map(|der| der.to_vec()).collect(),
                measurements: MeasurementTranscript {
                    vca: vca.to_vec(),
                    request: request.to_vec(),
                    response: response.to_vec(),
                },
            };
        let digest = |evidence: &Evidence| evidence_digest(evidence, &[7; 32], &[8; 96]);
        let all = [
            evidence(&[b"a", b"b"], b"c", b"d", b"e"),
            evidence(&[b"ab"], b"c", b"d", b"e"),
            evidence(&[b"b", b"a"], b"c", b"d", b"e"),
            evidence(&[b"a", b"b"], b"cd", b"", b"e"),
            evidence(&[b"a", b"b"], b"c", b"de", b""),
            evidence(&[b"b"], b"c", b"d", b"ea"),
        ];
        let mut digests: vec::Vec<_> = all.iter().map(digest).collect();
        digests.push(evidence_digest(&all[0], &[0; 32], &[8; 96]));
        digests.push(evidence_digest(&all[0], &[7; 32], &[0; 96]));
        assert_eq!(digests.iter().collect::<BTreeSet<_>>().len(), digests.len());
    }
}
