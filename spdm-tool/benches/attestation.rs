//! What an attestation costs, as multiples of the operations on P-384 that it must contain.
//!
//! `cargo bench -p ravelin-spdm-tool --bench attestation [-- --json]`. Both sides run in one thread, one
//! after the other; the GPU is the model, the requester believes the development maker's documents.
//! The bare operations are measured in the same run, turn and turn about, so that a machine that is
//! slow is so for both. What is measured is the thread's own processor time, so that a machine that
//! is busy makes no difference; every number is a median.

#![allow(clippy::unwrap_used, reason = "a benchmark may fail")]

use std::env;
use std::sync::Arc;
use std::time::Duration;

use getrandom::SysRng;
use p384::ecdh::EphemeralSecret;
use p384::ecdsa::signature::{Signer, Verifier};
use p384::ecdsa::{Signature, SigningKey};
use p384::elliptic_curve::Generate;
use rand_core::UnwrapErr;
use ravelin_attestation::{
    Clock, Evidence, Freshness, Policy, ReferenceValues, RevocationList, TrustAnchor, verify,
    verify_chain,
};
use ravelin_dice::{Mode, SecurityConfiguration, TcbInfo};
use ravelin_gpu_model::{
    DmaFault, Gpu, GpuConfig, HostMemory, Interrupts, SpdmPort, SpdmTransport,
};
use ravelin_maker::publication::{REFERENCE_VALUES, REVOCATION_LIST, publication};
use ravelin_maker::{DeviceIdentity, FirmwareSet, MODEL, Maker, VENDOR};
use ravelin_spdm::message::measurements::{Operation, SignatureRequest};
use ravelin_spdm::requester::{self, Ask, Config, Requester, Session, Step};
use ravelin_spdm::transport::carrier::Carrier;
use ravelin_spdm::{CertificateChain, ChainRefused, Message};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

/// How often everything is done.
const ROUNDS: usize = 100;
/// Not counted: caches and clocks are cold.
const WARM_UP: usize = 5;

/// What the requester holds evidence against.
struct Documents {
    policy: Policy,
    references: ReferenceValues,
    revocations: RevocationList,
}

/// A GPU that does nothing but speak SPDM needs no memory of the host's.
struct NoHost;

impl HostMemory for NoHost {
    fn read(&self, _: u64, _: &mut [u8]) -> Result<(), DmaFault> {
        Err(DmaFault::OutOfRange)
    }

    fn write(&self, _: u64, _: &[u8]) -> Result<(), DmaFault> {
        Err(DmaFault::OutOfRange)
    }
}

impl Interrupts for NoHost {
    fn raise(&self, _: u16) {}
}

/// Operations on P-384.
#[derive(Clone, Copy, Default)]
struct Operations {
    sign: u32,
    verify: u32,
    /// Making an ephemeral key.
    key: u32,
    /// Agreeing on a secret with the peer's.
    agree: u32,
}

/// Something that is measured, and what it cannot do without.
struct Row {
    name: &'static str,
    what: &'static str,
    contains: Operations,
    times: Vec<Duration>,
}

fn main() {
    let mut bench = Bench::new();
    (0..WARM_UP).for_each(|_| bench.round());
    bench.forget();
    (0..ROUNDS).for_each(|_| bench.round());
    match env::args().any(|word| word == "--json") {
        true => println!("{}", serde_json::to_string_pretty(&bench.to_json()).unwrap()),
        false => print!("{}", bench.to_table()),
    }
}

/// Everything that is measured, in the order of [`Bench::round`].
struct Bench {
    gpu: Arc<Gpu>,
    documents: Documents,
    key: SigningKey,
    device: DeviceIdentity,
    tcb: TcbInfo,
    raw: [Vec<Duration>; 4],
    rows: [Row; 6],
}

impl Bench {
    fn new() -> Bench {
        let row = |name, what, [sign, verify, key, agree]: [u32; 4]| Row {
            name,
            what,
            contains: Operations { sign, verify, key, agree },
            times: Vec::new(),
        };
        let (maker, firmware) = (Maker::development().unwrap(), FirmwareSet::current());
        let security = SecurityConfiguration {
            mode: Mode::On,
            debug: false,
            svn: firmware.svn(),
            protected_base: 1 << 28,
            protected_end: 1 << 30,
        };
        Bench {
            gpu: gpu(),
            documents: Documents::of(&maker),
            key: SigningKey::from_slice(&[7; 48]).unwrap(),
            device: maker.provision("bench").unwrap(),
            tcb: TcbInfo {
                vendor: VENDOR.into(),
                model: MODEL.into(),
                version: firmware.version().into(),
                svn: security.svn,
                layer: 1,
                firmware_id: firmware.id(),
                flags: security.flags(),
            },
            raw: Default::default(),
            rows: [
                row("handshake", "GET_VERSION to signed measurements, both sides", [2, 4, 2, 2]),
                row("handshake_requester", "the driver's side of it", [0, 4, 1, 1]),
                row("handshake_responder", "the GPU's side of it", [2, 0, 1, 1]),
                row(
                    "evidence_verification",
                    "certificates and measurements to a verdict",
                    [0, 3, 0, 0],
                ),
                row("signed_measurements", "the GPU answers GET_MEASUREMENTS", [1, 0, 0, 0]),
                row("endorsement", "the GPU certifies its attestation key", [1, 0, 0, 0]),
            ],
        }
    }

    fn forget(&mut self) {
        self.raw.iter_mut().for_each(Vec::clear);
        self.rows.iter_mut().for_each(|row| row.times.clear());
    }

    fn round(&mut self) {
        self.bare_operations();
        let handshake = handshake(&self.gpu, &self.documents);
        let sides = [handshake.requester, handshake.responder];
        let [both, requester, responder, verification, measurements, endorsement] = &mut self.rows;
        both.times.push(sides.iter().sum());
        requester.times.push(handshake.requester);
        responder.times.push(handshake.responder);

        let proved = handshake.established.evidence;
        let evidence = Evidence::new(&proved.chain, proved.measurements);
        let expected = Freshness::new(&proved.verifier_nonce, &proved.exchange_key).unwrap();
        verification.times.push(time(|| {
            let Documents { policy, references, revocations } = &self.documents;
            let now = Clock::UNKNOWN;
            let verdict = verify(&evidence, policy, references, revocations, now, &expected);
            assert!(verdict.is_trusted());
        }));
        measurements.times.push(handshake.wire.signed(handshake.established.session));
        endorsement.times.push(time(|| {
            self.device.endorse(self.key.verifying_key(), &self.tcb).unwrap();
        }));
    }

    fn bare_operations(&mut self) {
        let [sign, verify, key, agree] = &mut self.raw;
        let message = [0x5a; 100];
        let mut signature: Option<Signature> = None;
        sign.push(time(|| signature = Some(self.key.sign(&message))));
        let public = *self.key.verifying_key();
        verify.push(time(|| public.verify(&message, &signature.unwrap()).unwrap()));
        let peer = EphemeralSecret::generate_from_rng(&mut rng()).public_key();
        let mut secret = None;
        key.push(time(|| {
            let made = EphemeralSecret::generate_from_rng(&mut rng());
            // What goes on the wire is part of it.
            secret = Some((made.public_key(), made));
        }));
        let (_, secret) = secret.unwrap();
        agree.push(time(|| drop(secret.diffie_hellman(&peer))));
    }

    /// Microseconds of a bare sign, verify, key and agree.
    fn bare(&self) -> [f64; 4] {
        self.raw.each_ref().map(|times| median(times))
    }

    fn to_table(&self) -> String {
        let [sign, verify, key, agree] = self.bare();
        let mut text = format!(
            "P-384, bare: sign {sign:.0} us, verify {verify:.0} us, key {key:.0} us, \
             ECDH {agree:.0} us\n\n\
             {:24}{:>10}{:>12}{:>9}  {:28}\n",
            "", "us", "must be", "times", "sign + verify + key + ECDH"
        );
        for row in &self.rows {
            let (took, least) = (median(&row.times), row.least(self.bare()));
            let Operations { sign, verify, key, agree } = row.contains;
            text += &format!(
                "{:24}{took:>10.0}{least:>12.0}{:>9.2}  {sign} + {verify} + {key} + {agree}: {}\n",
                row.name,
                took / least,
                row.what
            );
        }
        text
    }

    fn to_json(&self) -> serde_json::Value {
        let [sign, verify, key, agree] = self.bare();
        let measured = self.rows.iter().map(|row| {
            let (took, least) = (median(&row.times), row.least(self.bare()));
            let Operations { sign, verify, key, agree } = row.contains;
            let contains = json!({ "sign": sign, "verify": verify, "key": key, "ecdh": agree });
            let figures = json!({
                "us": took, "contains": contains, "least_us": least, "ratio": took / least,
            });
            (row.name.to_owned(), figures)
        });
        json!({
            "schema": "ravelin.bench.attestation/1",
            "rounds": ROUNDS,
            "p384_us": { "sign": sign, "verify": verify, "key": key, "ecdh": agree },
            "measured": measured.collect::<serde_json::Map<_, _>>(),
        })
    }
}

impl Row {
    /// Microseconds of what it must contain.
    fn least(&self, [sign, verify, key, agree]: [f64; 4]) -> f64 {
        let Operations { sign: signs, verify: verifies, key: keys, agree: agrees } = self.contains;
        f64::from(signs) * sign
            + f64::from(verifies) * verify
            + f64::from(keys) * key
            + f64::from(agrees) * agree
    }
}

impl Documents {
    fn of(maker: &Maker) -> Documents {
        let files = publication(maker).unwrap();
        let file = |name| &files.iter().find(|file| file.name == name).unwrap().bytes;
        let root = || TrustAnchor::new(maker.root().certificate()).unwrap();
        Documents {
            policy: Policy::guest(0),
            references: ReferenceValues::verify(file(REFERENCE_VALUES), root()).unwrap(),
            revocations: RevocationList::verify(file(REVOCATION_LIST), &root()).unwrap(),
        }
    }
}

fn gpu() -> Arc<Gpu> {
    let config = GpuConfig {
        memory: 32 << 20,
        mode: ravelin_gpu_abi::registers::Mode::On,
        serial: 1,
        firmware: FirmwareSet::current(),
        identity: None,
    };
    Gpu::power_on(config, Arc::new(NoHost), Arc::new(NoHost)).unwrap()
}

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// The requester's end, and the GPU's.
struct Wire {
    carrier: Carrier,
    port: SpdmPort,
}

impl Wire {
    /// The answer, and how long the GPU took for it.
    fn exchange(&mut self, request: &Message) -> (Message, Duration) {
        let request = self.carrier.encode(request).unwrap();
        let mut answer = Vec::new();
        let took = time(|| answer = self.port.exchange(&request));
        (self.carrier.decode(&answer).unwrap(), took)
    }

    /// How long the GPU takes to sign its measurements in a session.
    fn signed(mut self, mut session: Session) -> Duration {
        let signature = Some(SignatureRequest { nonce: [1; 32], slot: 0 });
        let ask = Ask::Measurements { operation: Operation::All, signature };
        let request = session.ask(ask).unwrap();
        let (answer, took) = self.exchange(&request);
        session.receive(&answer).unwrap();
        took
    }
}

struct Handshake {
    established: Box<requester::Established>,
    wire: Wire,
    requester: Duration,
    responder: Duration,
}

fn handshake(gpu: &Gpu, documents: &Documents) -> Handshake {
    let transport = SpdmTransport::Doe;
    let mut wire = Wire { carrier: Carrier::new(transport), port: gpu.spdm_port(transport) };
    let verifier = |chain: &CertificateChain| {
        let Documents { policy, references, revocations } = documents;
        let certificates: Vec<&[u8]> = chain.certificates().collect();
        verify_chain(&certificates, policy, references, revocations, Clock::UNKNOWN)
            .map(|leaf| leaf.public_key)
            .map_err(|code| ChainRefused { code: code.as_str() })
    };
    let config = Config { framing: transport.framing(), slot: 0, verifier_nonce: [3; 32] };
    let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
    let mut requester = Requester::new(rng(), verifier, config);
    let mut request = requester.start();
    loop {
        let (answer, took) = wire.exchange(&request);
        theirs += took;
        let mut step = None;
        ours += time(|| step = Some(requester.receive(&answer).unwrap()));
        match step.unwrap() {
            Step::Send(next) => request = next,
            Step::Done(established) => {
                return Handshake { established, wire, requester: ours, responder: theirs };
            }
        }
    }
}

/// Processor time that this takes in this thread.
fn time(act: impl FnOnce()) -> Duration {
    let begin = processor_time();
    act();
    processor_time().saturating_sub(begin)
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// In microseconds.
fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, Duration::as_secs_f64) * 1e6
}
