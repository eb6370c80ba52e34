//! Transcripts: what has been said so far, which signatures and keys are bound to.
//!
//! Each end adds every message as it saw it, without the transport's padding. Where someone in the
//! middle has changed one, the two transcripts differ and so does everything made from them.
//!
//! | transcript | messages | for |
//! | --- | --- | --- |
//! | VCA | GET_VERSION to ALGORITHMS | the start of both others |
//! | TH | VCA, digest of the chain, KEY_EXCHANGE to FINISH_RSP | signature, keys, verify data |
//! | L1 | VCA, GET_MEASUREMENTS and MEASUREMENTS | signature |

use alloc::vec::Vec;

use sha2::{Digest, Sha384};

/// The messages from GET_VERSION to ALGORITHMS.
#[derive(Clone)]
pub(crate) struct Vca(Vec<u8>);

impl Vca {
    pub(crate) fn new(get_version: &[u8], version: &[u8]) -> Vca {
        Vca([get_version, version].concat())
    }

    pub(crate) fn add(&mut self, request: &[u8], response: &[u8]) {
        self.0.extend_from_slice(request);
        self.0.extend_from_slice(response);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// TH: the transcript of a session's handshake.
#[derive(Clone)]
pub(crate) struct SessionTranscript(Sha384);

impl SessionTranscript {
    /// Starts with the digest of the chain that the responder proves.
    pub(crate) fn new(vca: &Vca, chain_digest: &[u8; 48]) -> SessionTranscript {
        SessionTranscript(Sha384::new().chain_update(vca.as_bytes()).chain_update(chain_digest))
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn digest(&self) -> [u8; 48] {
        self.0.clone().finalize().into()
    }
}

/// L1: the measurements asked for since the last signature. Any other request starts it anew.
#[derive(Default)]
pub(crate) struct MeasurementLog(Option<Sha384>);

impl MeasurementLog {
    /// Adds a request and its response, the latter without its signature.
    pub(crate) fn add(&mut self, vca: &Vca, request: &[u8], response: &[u8]) {
        let log = self.0.get_or_insert_with(|| Sha384::new().chain_update(vca.as_bytes()));
        log.update(request);
        log.update(response);
    }

    /// The digest for a signature over what was added, after which the log starts anew.
    pub(crate) fn take_digest(&mut self, vca: &Vca) -> [u8; 48] {
        let log = self.0.take().unwrap_or_else(|| Sha384::new().chain_update(vca.as_bytes()));
        log.finalize().into()
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }
}
