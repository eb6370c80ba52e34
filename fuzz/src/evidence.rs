//! What the genuine GPU presents, and what its maker publishes.

use std::sync::LazyLock;

use der::DateTime;
use ravelin_attestation::Evidence;
use ravelin_spdm::responder::{Device, Responder};
use ravelin_verifier::model::evidence::Gpu;
use ravelin_verifier::model::{References, development};

use crate::device::GPU;
use crate::peer::{Learned, Peer, Terms};
use crate::rng::Repeatable;

/// A moment at which everything is valid.
pub fn now() -> DateTime {
    "2026-11-24T00:00:00Z".parse().unwrap()
}

/// What a relying party holds evidence against.
pub fn references() -> References {
    let nonce = Some([7; 32]);
    References::verify(
        development::ROOT,
        development::REFERENCE_VALUES,
        development::REVOCATION_LIST,
        nonce,
        now(),
    )
    .unwrap()
}

/// Evidence of a session with the genuine GPU.
pub static PRESENTED: LazyLock<Gpu> = LazyLock::new(|| {
    let terms = Terms::of(3);
    let mut peer = Peer::new(terms);
    let mut responder = Responder::new(&*GPU, Repeatable::new(1), terms.transport.framing());
    loop {
        let reply = responder.respond(peer.request());
        if let Learned::Established(secrets) = peer.answer(&reply.message).unwrap() {
            let evidence = secrets.evidence;
            return Gpu {
                evidence: Evidence::new(&evidence.chain, evidence.measurements),
                nonce: evidence.verifier_nonce,
                exchange_key: evidence.exchange_key,
            };
        }
    }
});

/// The GPU's certificates, DER, the root first.
pub fn certificates() -> Vec<Vec<u8>> {
    (&*GPU).certificate_chain().certificates().map(<[u8]>::to_vec).collect()
}
