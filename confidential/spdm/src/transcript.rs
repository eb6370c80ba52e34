//! Transcripts: what has been said so far, which signatures and keys are bound to.
//!
//! Each end adds every message as it saw it, without the transport's padding and put together from
//! its chunks. Where someone in the middle has changed one, the two transcripts differ and so does
//! everything made from them.
//!
//! | transcript | messages | for |
//! | --- | --- | --- |
//! | VCA | GET_VERSION to ALGORITHMS | the start of the others |
//! | TH | VCA, digest of the chain, KEY_EXCHANGE to FINISH_RSP | signature, keys, verify data |
//! | L1 | VCA (not in 1.1), GET_MEASUREMENTS and MEASUREMENTS | signature |
//! | M1 | VCA, GET_DIGESTS to CERTIFICATE, CHALLENGE, CHALLENGE_AUTH | signature |

use alloc::vec::Vec;

use sha2::{Digest, Sha384};

use crate::message::code;
use crate::version::Version;

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

    /// What L1 starts with: 1.1 leaves the negotiation out.
    fn before_measurements(&self, version: Version) -> Sha384 {
        match version {
            Version::V1_0 | Version::V1_1 => Sha384::new(),
            Version::V1_2 | Version::V1_3 => Sha384::new().chain_update(&self.0),
        }
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

/// L1: the measurements asked for since the last signature.
#[derive(Clone, Default)]
pub(crate) struct MeasurementLog(Option<Sha384>);

impl MeasurementLog {
    /// Any other request than GET_MEASUREMENTS starts it anew, whatever the answer.
    pub(crate) fn meet(&mut self, code: u8) {
        if code != code::GET_MEASUREMENTS {
            self.clear();
        }
    }

    /// Adds a request and its response, the latter without its signature.
    pub(crate) fn add(&mut self, version: Version, vca: &Vca, request: &[u8], response: &[u8]) {
        let log = self.0.get_or_insert_with(|| vca.before_measurements(version));
        log.update(request);
        log.update(response);
    }

    /// The digest for a signature over what was added, after which the log starts anew.
    pub(crate) fn take_digest(&mut self, version: Version, vca: &Vca) -> [u8; 48] {
        let log = self.0.take().unwrap_or_else(|| vca.before_measurements(version));
        log.finalize().into()
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }
}

/// What M1 has before CHALLENGE: the requests in clear for the identity. A new GET_DIGESTS starts
/// it anew.
#[derive(Clone, Default)]
pub(crate) struct IdentityLog(Option<Sha384>);

impl IdentityLog {
    /// Whoever goes on to these without a CHALLENGE has forgone it (DSP0274, "M1 and M2 message
    /// transcript computation rules").
    pub(crate) fn meet(&mut self, code: u8) {
        if matches!(
            code,
            code::GET_MEASUREMENTS
                | code::KEY_EXCHANGE
                | code::FINISH
                | code::HEARTBEAT
                | code::KEY_UPDATE
                | code::END_SESSION
        ) {
            self.clear();
        }
    }

    /// Adds a request and its response.
    pub(crate) fn add(&mut self, vca: &Vca, request: &[u8], response: &[u8]) {
        let log = self.0.get_or_insert_with(|| Sha384::new().chain_update(vca.as_bytes()));
        log.update(request);
        log.update(response);
    }

    /// The digest for a signature over what was added, CHALLENGE and CHALLENGE_AUTH without its
    /// signature, after which the log starts anew.
    pub(crate) fn take_digest(&mut self, vca: &Vca, request: &[u8], response: &[u8]) -> [u8; 48] {
        self.add(vca, request, response);
        self.0.take().unwrap_or_default().finalize().into()
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }
}
