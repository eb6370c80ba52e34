//! SEC2: the security processor behind the DOE mailbox.
//!
//! It answers discovery and SPDM for the root of trust: presents the certificates of this boot,
//! signs with the attestation key, tells the measurements. What a session that was established or
//! ended means for channels and memory is the [`machine`](crate::machine)'s to see to; the
//! conversation itself is `ravelin-spdm`'s. Besides the mailbox there may be
//! [ports](crate::spdm_port), with a conversation each, whose sessions mean nothing to channels.

use std::collections::BTreeMap;
use std::sync::Arc;

use getrandom::SysRng;
use p384::ecdsa::signature::Signer;
use p384::ecdsa::signature::hazmat::PrehashSigner;
use p384::ecdsa::{Signature, SigningKey};
use rand_core::UnwrapErr;
use ravelin_dice::security::{SECURITY_CONFIGURATION_INDEX, SVN_INDEX, encode_svn};
use ravelin_dice::{Chain, Component};
use ravelin_spdm::measurements::{Block, Value, ValueType};
use ravelin_spdm::responder::{Device, Event, Responder};
use ravelin_spdm::transport::Framing;
use ravelin_spdm::transport::doe::{self, Discovery, ObjectType};
use ravelin_spdm::{CertificateChain, DecodeError, Message, SIGNED_SIZE};
use thiserror::Error;

use crate::hrot::{Evidence, Measurements};

/// Why SEC2 does not come up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The root of trust's certificates are none.
    #[error("the certificates cannot be read: provision the device anew")]
    Certificates(#[source] ravelin_dice::Error),
    /// They make no SPDM chain.
    #[error("the certificates make no SPDM chain: provision the device anew")]
    Chain(#[source] DecodeError),
}

/// The security processor of one boot.
pub(crate) struct Sec2 {
    speaker: Speaker,
    responder: Responder<Speaker, UnwrapErr<SysRng>>,
    /// The conversations of ports, by the port's number. They end with the boot, as all does.
    ports: BTreeMap<u64, Responder<Speaker, UnwrapErr<SysRng>>>,
    /// Number of the session in force, since power-on; 0 without one.
    pub(crate) session: u32,
}

impl Sec2 {
    /// Speaks for what the root of trust found at this boot.
    pub(crate) fn new(evidence: Evidence) -> Result<Sec2, Error> {
        let Evidence { attestation_key, certificates, measurements } = evidence;
        let certificates = Chain::split(&certificates).map_err(Error::Certificates)?;
        let chain = CertificateChain::new(certificates).map_err(Error::Chain)?;
        let speaker = Speaker(Arc::new(Boot { chain, attestation_key, measurements }));
        let responder = Responder::new(speaker.clone(), UnwrapErr(SysRng), doe::FRAMING);
        Ok(Sec2 { speaker, responder, ports: BTreeMap::new(), session: 0 })
    }

    /// The response to a data object, and what it has brought about. DOE has no error response: an
    /// object that is malformed or of a type that is not spoken here is answered with nothing.
    pub(crate) fn exchange(&mut self, object: &[u8]) -> (Vec<u8>, Option<Event>) {
        let message = match doe::decode(object) {
            Ok((ObjectType::Discovery, payload)) => {
                return (discover(payload).unwrap_or_default(), None);
            }
            Ok((ObjectType::Spdm, payload)) => Message::Clear(payload.to_vec()),
            Ok((ObjectType::SecuredSpdm, payload)) => Message::Secured(payload.to_vec()),
            Err(_) => return (Vec::new(), None),
        };
        let reply = self.responder.respond(&message);
        (doe::encode_message(&reply.message).unwrap_or_default(), reply.event)
    }

    /// The response to a message on a port. What it has brought about goes no further: the keys of
    /// a session are dropped with the event.
    pub(crate) fn respond(&mut self, port: u64, framing: Framing, message: &Message) -> Message {
        let speaker = &self.speaker;
        let responder = self
            .ports
            .entry(port)
            .or_insert_with(|| Responder::new(speaker.clone(), UnwrapErr(SysRng), framing));
        responder.respond(message).message
    }

    /// Forgets a port's conversation, keys included.
    pub(crate) fn close_port(&mut self, port: u64) {
        self.ports.remove(&port);
    }

    /// How many ports have a conversation.
    #[cfg(test)]
    pub(crate) fn ports(&self) -> usize {
        self.ports.len()
    }

    /// Forgets the session, keys included, and gives the number that it had.
    pub(crate) fn end_session(&mut self) -> u32 {
        if self.responder.session().is_some() {
            self.responder.reset();
        }
        std::mem::take(&mut self.session)
    }
}

/// The response to a discovery request, if it is well-formed.
pub(crate) fn discover(payload: &[u8]) -> Option<Vec<u8>> {
    let answer = Discovery::decode(payload).ok()?.answer();
    doe::encode(ObjectType::Discovery, &answer.encode()).ok()
}

/// Whom a responder speaks for: the boot that all of them share.
#[derive(Clone)]
struct Speaker(Arc<Boot>);

/// What the root of trust found at this boot. The key is wiped with the last speaker.
struct Boot {
    chain: CertificateChain,
    attestation_key: SigningKey,
    measurements: Measurements,
}

impl Device for Speaker {
    fn certificate_chain(&self) -> &CertificateChain {
        &self.0.chain
    }

    fn sign(&self, message: &[u8; SIGNED_SIZE]) -> Option<[u8; 96]> {
        let signature: Signature = self.0.attestation_key.try_sign(message).ok()?;
        Some(signature.to_bytes().into())
    }

    fn sign_digest(&self, digest: &[u8; 48]) -> Option<[u8; 96]> {
        let signature: Signature = self.0.attestation_key.sign_prehash(digest).ok()?;
        Some(signature.to_bytes().into())
    }

    fn measurements(&self) -> Vec<Block> {
        let firmware = Component::ALL.into_iter().zip(&self.0.measurements.firmware).map(
            |(component, digest)| Block {
                index: component.index(),
                value_type: match component {
                    Component::BootRom => ValueType::ImmutableRom,
                    _ => ValueType::MutableFirmware,
                },
                value: Value::Digest(*digest),
            },
        );
        let security = &self.0.measurements.security;
        let state = [
            Block {
                index: SECURITY_CONFIGURATION_INDEX,
                value_type: ValueType::HardwareConfiguration,
                value: Value::Raw(security.encode().to_vec()),
            },
            Block {
                index: SVN_INDEX,
                value_type: ValueType::SecureVersionNumber,
                value: Value::Raw(encode_svn(security.svn).to_vec()),
            },
        ];
        firmware.chain(state).collect()
    }
}
