//! Writes the committed seeds: small inputs that are good, made of our own messages.
//!
//! `cargo run --release --bin seeds` in `fuzz/` writes `fuzz/seeds/TARGET/NAME`; the same ones each
//! time.
#![cfg_attr(fuzzing, no_main, allow(unreachable_code))]

use std::fs;
use std::path::Path;

use ravelin_dice::security::encode_svn;
use ravelin_dice::{Chain, Clock, DeviceInfo, TrustAnchor};
use ravelin_digits::{EMBEDDED, Payload};
use ravelin_fuzz::device::{GPU, device_chain};
use ravelin_fuzz::evidence::{PRESENTED, certificates};
use ravelin_fuzz::peer::{Peer, Terms};
use ravelin_fuzz::rng::Repeatable;
use ravelin_fuzz::script::{Change, Move, encode};
use ravelin_gpu_abi::command::{Activation, Command, Reply};
use ravelin_gpu_abi::ring::Descriptor;
use ravelin_snp::ghcb::page_state::{Entry, Header, Operation, PageSize};
use ravelin_spdm::Message;
use ravelin_spdm::responder::{Device, Responder};
use ravelin_spdm::transport::carrier::{Carrier, Transport};
use ravelin_spdm::transport::doe::{self, Discovery, ObjectType};
use ravelin_spdm::transport::socket::{self, CLIENT_HELLO};
use ravelin_spdm_capture::{LinkType, Writer};
use ravelin_verifier::composite::statement::Statement;
use ravelin_verifier::model::development;
use ravelin_verifier::model::evidence::to_json;

// Built with the flags of a fuzz target it needs libFuzzer, whose main then is the program's.
#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(
    init: {
        main();
        std::process::exit(0)
    },
    |_bytes| {}
);

fn main() {
    conversations();
    transports();
    certificates_and_documents();
    gpu();
    guest();
    interfaces();
    nvidia();
    virtio();
    buses();
    requests();
    files();
}

fn write(target: &str, name: impl AsRef<str>, bytes: impl AsRef<[u8]>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name.as_ref()), bytes).unwrap();
}

/// What both sides say in a whole conversation, in clear or not.
fn conversation(terms: Terms) -> Vec<(Message, Message)> {
    let mut peer = Peer::new(terms);
    let mut responder = Responder::new(&*GPU, Repeatable::new(1), terms.transport.framing());
    let mut said = Vec::new();
    let mut keyed = false;
    loop {
        keyed |= peer.has_keys();
        if keyed && !peer.has_keys() {
            return said;
        }
        let request = peer.request().clone();
        let answer = responder.respond(&request).message;
        peer.answer(&answer).unwrap_or_else(|error| panic!("{terms:?}: {error}"));
        said.push((request, answer));
    }
}

fn conversations() {
    for byte in Terms::all() {
        let terms = Terms::of(byte);
        let said = conversation(terms);
        let honest = vec![Move::Pass(Change::None); said.len() + 2];
        let name = format!(
            "{:?}-{:x}{}",
            terms.transport,
            terms.version as u8,
            if terms.everything { "-everything" } else { "" }
        )
        .to_lowercase();
        for target in ["spdm_responder", "spdm_requester"] {
            write(target, &name, [&[byte], encode(honest.clone()).as_slice()].concat());
        }
        // A move of each kind, here and there.
        let moves =
            [Change::Flip { at: 3, with: 1 }, Change::Cut(3), Change::Grow(4), Change::Mistake];
        for (number, change) in moves.into_iter().enumerate() {
            let mut moves = honest.clone();
            let at = (number * 5 + usize::from(byte)) % said.len();
            moves.insert(at, Move::Pass(change));
            moves.insert(at, Move::Clear(&[0x12, 0xff, 0, 0]));
            moves.insert(at / 2, Move::Secured(&[0; 24]));
            for target in ["spdm_responder", "spdm_requester"] {
                let script = [&[byte], encode(moves.clone()).as_slice()].concat();
                write(target, format!("{name}-{number}"), script);
            }
        }
        if terms.transport != Transport::Mctp {
            continue;
        }
        for (number, (request, answer)) in said.iter().enumerate() {
            for message in [request, answer] {
                if let Message::Clear(bytes) = message {
                    let name = format!("{:02x}-{:02x}-{number}", bytes[0], bytes[1]);
                    // What has no summary and is not signed, and what has and is.
                    for context in [0, 1] {
                        let context = [context];
                        write(
                            "spdm_message",
                            format!("{name}-{}", context[0]),
                            [context.as_slice(), bytes].concat(),
                        );
                    }
                }
            }
        }
    }
    inside_a_session();
}

/// Messages that a session hides.
fn inside_a_session() {
    for (name, bytes) in [
        ("heartbeat", &[0x12, 0xe8, 0, 0][..]),
        ("heartbeat-ack", &[0x12, 0x68, 0, 0]),
        ("key-update", &[0x12, 0xe9, 1, 5]),
        ("key-update-ack", &[0x12, 0x69, 1, 5]),
        ("end-session", &[0x12, 0xec, 0, 0]),
        ("end-session-ack", &[0x12, 0x6c, 0, 0]),
        ("finish-response", &[0x12, 0x65, 0, 0]),
        ("respond-if-ready", &[0x12, 0xff, 0x84, 1]),
        ("error", &[0x12, 0x7f, 1, 0]),
        ("error-not-ready", &[0x12, 0x7f, 0x42, 0, 1, 0x84, 1, 2]),
        ("error-large-response", &[0x12, 0x7f, 0x0f, 0, 7]),
        ("chunk-get", &[0x12, 0x86, 0, 7, 1, 0]),
        ("chunk-send", &[0x12, 0x85, 1, 7, 0, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0, 1, 2, 3, 4]),
        ("chunk-send-ack", &[0x12, 0x05, 0, 7, 0, 0, 0x12, 0x7f, 1, 0]),
        ("chunk-response", &[0x12, 0x06, 1, 7, 1, 0, 0, 0, 2, 0, 0, 0, 8, 9]),
        ("vendor-request", &[0x12, 0xfe, 0, 0, 3, 0, 2, 1, 2, 1, 0, 5]),
        ("vendor-response", &[0x12, 0x7e, 0, 0, 3, 0, 2, 1, 2, 1, 0, 5]),
    ] {
        write("spdm_message", name, [&[0], bytes].concat());
    }
}

fn transports() {
    let discovery = doe::encode(ObjectType::Discovery, &Discovery { index: 1 }.encode()).unwrap();
    write("spdm_transport", "discovery", &discovery);
    write("spdm_transport", "discovery-payload", Discovery { index: 1 }.encode());
    write("spdm_transport", "discovered", Discovery { index: 1 }.answer().encode());
    for byte in [3, 4, 5] {
        let terms = Terms::of(byte);
        let mut carrier = Carrier::new(terms.transport);
        let name = format!("{:?}", terms.transport).to_lowercase();
        let mut frames = vec![byte % 3 + 60];
        frames
            .extend(socket::encode(socket::Command::Test, terms.transport, CLIENT_HELLO).unwrap());
        if terms.transport == Transport::Doe {
            let command = socket::Command::Normal;
            frames.extend(socket::encode(command, terms.transport, &discovery).unwrap());
        }
        let said = conversation(terms);
        for (number, (request, answer)) in said.iter().enumerate() {
            let request = carrier.encode(request).unwrap();
            carrier.encode(answer).unwrap();
            write("spdm_transport", format!("{name}-{number}"), &request);
            let command = socket::Command::Normal;
            frames.extend(socket::encode(command, terms.transport, &request).unwrap());
        }
        frames.extend(socket::encode(socket::Command::Shutdown, terms.transport, &[]).unwrap());
        write("spdm_socket", name, frames);
    }
    let mut steps = Vec::new();
    for dword in discovery.as_chunks::<4>().0 {
        steps.push(5);
        steps.extend(dword);
    }
    steps.extend([0, 0, 0, 0, 0]);
    steps.extend([3 + 8 * 4, 1, 2, 3, 4]);
    steps.extend([2, 0, 0, 0, 0]);
    write("doe_mailbox", "discovery", steps);
}

fn certificates_and_documents() {
    write("certificate_chain", "spdm", (&*GPU).certificate_chain().as_bytes());
    write("certificate_chain", "certificates", certificates().concat());
    write("dice_certificate", "root", development::ROOT);
    write("dice_certificate", "leaf", certificates().last().unwrap());
    write("dice_certificate", "svn", encode_svn(3));
    let root = TrustAnchor::new(development::ROOT).unwrap();
    let parts = certificates();
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let leaf = Chain::verify(&parts, &root, Clock::UNKNOWN).unwrap();
    write("dice_certificate", "tcb-info", leaf.tcb.encode().unwrap());
    write("dice_certificate", "device-info", leaf.device.text());
    for block in (&*GPU).measurements() {
        if block.index == 6 {
            write("dice_certificate", "configuration", block.value.as_bytes());
        }
    }
    let name = DeviceInfo::text(&leaf.device);
    write("dice_certificate", "device-info-other", name.replace("0001", "A-2.b"));

    write("reference_values", "signed", development::REFERENCE_VALUES);
    write("reference_values", "manifest", ravelin_maker::reference_values::manifest().encode());
    write("revocation_list", "development", development::REVOCATION_LIST);
    write("certificate_file", "root", development::ROOT);
    let vcek = include_bytes!("../../../verifier/samples/snp/vcek_milan.der");
    write("certificate_file", "vcek-milan", vcek);
    write("certificate_file", "pem", to_pem(development::ROOT));
    write("apm_evidence", "genuine", to_json(std::slice::from_ref(&PRESENTED)).unwrap());
}

fn gpu() {
    let descriptor = Descriptor {
        sequence: 1,
        hbm_address: 1 << 28,
        length: 4096,
        engine: 1,
        outcome: 0,
        tag: [7; 16],
    };
    write("gpu_abi", "descriptor", descriptor.encode());
    for (name, command) in [
        ("nop", Command::Nop),
        ("multiply", Command::MatrixMultiply { a: 0, b: 64, c: 128, m: 4, n: 4, k: 4 }),
        (
            "bias",
            Command::BiasActivation {
                x: 0,
                bias: 64,
                rows: 4,
                columns: 4,
                activation: Activation::Relu,
            },
        ),
        ("arg-max", Command::ArgMaxRows { x: 0, out: 64, rows: 4, columns: 4 }),
        ("fill", Command::Fill { address: 0, count: 4, value: 7 }),
        ("copy", Command::Copy { source: 0, destination: 64, length: 16 }),
    ] {
        write("gpu_abi", name, command.encode());
    }
    write("gpu_abi", "reply", Reply::BadOperand.encode());
    let record = [&[1; 40], [9; 16].as_slice()].concat();
    let changed = [&[1, 0], [3; 38].as_slice(), &[9; 16]].concat();
    write("channel_record", "genuine", record.repeat(3));
    write("channel_record", "forged", [record.clone(), vec![2; 56], record].concat());
    write("channel_record", "changed", changed.repeat(2));
}

fn guest() {
    let entry = |operation, size, gfn| Entry { current_page: 0, gfn, operation, size }.encode();
    let words = [
        0x0000_0000_0020_0014,
        0x8000_0000_0000_0002,
        entry(Operation::Shared, PageSize::Small, 0x123),
        entry(Operation::Private, PageSize::Large, 0x200),
        u64::from_le_bytes(Header { current: 0, end: 3 }.encode()),
    ];
    write("ghcb", "words", words.map(u64::to_le_bytes).concat());

    let mut memory = vec![0; 0x400];
    let mut word = |address: usize, value: u64| {
        memory[address - 0x1000..][..8].copy_from_slice(&value.to_le_bytes());
    };
    word(0x1000, 0x336e_c578 | 1 << 32);
    word(0x1008, 1 << 32);
    word(0x1010, 0x1200);
    word(0x1018, 0x1300);
    word(0x1028, 0x1100);
    word(0x1030, 1);
    word(0x1108, 64 << 20);
    word(0x1200, 0x5000);
    word(0x1208, 3);
    let line = b"workload=digits gpus=1 tsc_khz=2500000\0";
    memory[0x300..][..line.len()].copy_from_slice(line);
    write("start_info", "complete", [&[0, 0], memory.as_slice()].concat());

    let trained = Payload::parse(EMBEDDED).unwrap();
    let one =
        Payload::new(trained.network().clone(), trained.images()[..64].to_vec(), Some(vec![3]));
    write("digits_payload", "one-image", one.unwrap().to_bytes().unwrap());
    for (name, line) in [
        ("ready", r#"{"event":"ready","guest":"builtin"}"#),
        ("gpu-lost", r#"{"event":"gpu_lost","index":0,"reason":"reset"}"#),
    ] {
        write("guest_report", name, line);
    }
}

fn interfaces() {
    let request = |line: &str, body: &str| {
        format!(
            "{line} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for (name, line, body) in [
        ("vm", "GET /v1/vm", ""),
        ("gpus", "GET /v1/gpus", ""),
        ("gpu", "GET /v1/gpus/0", ""),
        ("telemetry", "GET /v1/gpus/0/telemetry", ""),
        ("events", "GET /v1/gpus/0/events?after=1", ""),
        ("reset", "POST /v1/gpus/0/reset", r#"{"kind":"flr"}"#),
        ("mode", "POST /v1/gpus/0/mode", r#"{"mode":"devtools"}"#),
        ("openapi", "GET /v1/openapi.json", ""),
    ] {
        write("control_api", name, request(line, body));
    }
    write(
        "vm_config",
        "small",
        "name = \"a\"\nplatform = \"none\"\nmemory = \"512MiB\"\nworkload = \"idle\"\n\
         [[gpus]]\nmemory = \"80GiB\"\nmode = \"on\"\n",
    );
    let example = |name| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../verifier/samples/policy");
        fs::read(folder.join(name)).unwrap()
    };
    write("verifier_policy", "h100", example("h100-without-driver-manifest.toml"));
    write("verifier_policy", "snp", example("snp-signature-only.toml"));
    for (name, link) in
        [("doe", LinkType::Doe), ("mctp", LinkType::Mctp), ("plain", LinkType::Plain)]
    {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, link).unwrap();
        writer.add(&[5, 0x10, 0x84, 0, 0]).unwrap();
        // The moment of writing, which would differ each time.
        bytes[24..32].fill(0);
        write("capture", name, bytes);
    }
}

/// A report and a manifest in NVIDIA's form; all that is in them is made up.
fn nvidia() {
    let field = |kind: u16, value: &[u8]| {
        let length = u16::try_from(value.len()).unwrap();
        [&kind.to_le_bytes(), &length.to_le_bytes(), value].concat()
    };
    let opaque = [
        field(3, b"535.86.09\0"),
        field(6, &[0x00, 0x5e, 0x00, 0x96, 0x01]),
        field(11, &[0]),
        field(20, &[7; 48]),
        field(21, &[0; 4]),
    ]
    .concat();
    write("nvidia_report", "opaque", &opaque);
    let mut report = vec![0x11, 0xe0, 1, 0xff];
    report.extend([7; 32]);
    report.push(0);
    report.extend([0x11, 0x60, 0, 0, 2, 110, 0, 0]);
    for index in [1, 2] {
        report.extend([index, 1, 51, 0, 1, 48, 0]);
        report.extend([index; 48]);
    }
    report.extend([8; 32]);
    report.extend(u16::try_from(opaque.len()).unwrap().to_le_bytes());
    report.extend(opaque);
    report.extend([9; 96]);
    write("nvidia_report", "report", &report);
    let hex: String = report.iter().map(|byte| format!("{byte:02x}")).collect();
    write("nvidia_report", "report-hex", hex);

    const C14N: &str = "http://www.w3.org/2006/12/xml-c14n11";
    let digest = "ab".repeat(48);
    write(
        "nvidia_manifest",
        "unsigned",
        format!(
            "<SoftwareIdentity xmlns=\"http://standards.iso.org/iso/19770/-2/2015/schema.xsd\" \
         tagId=\"x\"><Meta colloquialVersion=\"96.00.5E.00.01\"/><Payload \
         xmlns:SHA384=\"http://www.w3.org/2001/04/xmlenc#sha384\"><Resource \
         type=\"Measurement\" index=\"0\" active=\"True\" alternatives=\"1\" size=\"48\" \
         SHA384:Hash0=\"{digest}\"/></Payload><Signature \
         xmlns=\"http://www.w3.org/2000/09/xmldsig#\"><SignedInfo><CanonicalizationMethod \
         Algorithm=\"{C14N}\"/><SignatureMethod \
         Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384\"/><Reference \
         URI=\"\"><Transforms><Transform \
         Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/><Transform \
         Algorithm=\"{C14N}\"/></Transforms><DigestMethod \
         Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#sha384\"/>\
         <DigestValue>AAAA</DigestValue></Reference></SignedInfo><SignatureValue>AAAA\
         </SignatureValue><KeyInfo><X509Data><X509Certificate>{}\
         </X509Certificate></X509Data></KeyInfo></Signature></SoftwareIdentity>",
            base64(development::ROOT),
        ),
    );
    let element = format!(
        "{{\"evidence\":\"{}\",\"certificate\":\"{}\",\"nonce\":\"{}\"}}",
        base64(&report),
        base64(to_pem(development::ROOT).as_bytes()),
        "07".repeat(32),
    );
    write("nvidia_evidence", "one", &element);
    write("nvidia_evidence", "two", format!("[{element},{element}]"));
}

fn to_pem(der: &[u8]) -> String {
    let text = base64(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

fn base64(bytes: &[u8]) -> String {
    use base64ct::{Base64, Encoding};
    Base64::encode_string(bytes)
}

/// Scripts of a driver that keeps the rules. What a step is, `devices/src/drive/rings.rs` says; which
/// device the first byte chooses, `devices/src/drive/host.rs`.
fn virtio() {
    /// Into the third buffer of a queue.
    fn fill(queue: u8, bytes: &[u8]) -> Vec<u8> {
        [&[5 + 8 * 2, queue, bytes.len() as u8], bytes].concat()
    }
    /// A chain of these descriptors.
    fn offer(queue: u8, descriptors: &[&[u8]]) -> Vec<u8> {
        let count = descriptors.len() as u8;
        [&[6 + 8 * (count - 1), queue], descriptors.concat().as_slice()].concat()
    }
    let seed = |name: &str, device: u8, steps: [Vec<u8>; 3]| {
        write("virtio", name, [vec![device], steps.concat()].concat());
    };
    // The third buffer, to be read; the fourth, to be written. Both are followed by their length.
    const READ: u8 = 0x21;
    const ROOM: u8 = 0x35;
    let room = offer(0, &[&[ROOM, 255]]);
    seed("rng", 0, [room.clone(), room.clone(), room.clone()]);
    seed("console", 1, [room.clone(), fill(1, b"hello"), offer(1, &[&[READ, 5]])]);
    let frame = [&[0; 12], &[0x33; 60][..]].concat();
    seed("net", 2, [room.clone(), fill(1, &frame), offer(1, &[&[READ, 72]])]);
    // Read, write, flush, ask for the id, discard.
    for kind in [0u32, 1, 4, 8, 11] {
        let header = [kind.to_le_bytes(), [0; 4], [1, 0, 0, 0], [0; 4]].concat();
        let data: &[u8] = match kind {
            0 => &[0x34, 0, 2, 0, 0],
            1 => &[0x40, 0, 2, 0, 0],
            8 => &[ROOM, 20],
            11 => &[READ, 16],
            _ => &[READ, 0],
        };
        let request = offer(0, &[&[READ, 16], data, &[0x65, 1]]);
        seed(&format!("block-{kind}"), 3, [fill(0, &header), request, Vec::new()]);
    }
    for op in 1..8u16 {
        let mut header = [0; 44];
        // From context 3 to the host's, a stream, to a port where nobody listens.
        (header[0], header[8], header[16], header[20], header[28]) = (3, 2, 7, 9, 1);
        header[30..32].copy_from_slice(&op.to_le_bytes());
        let packet = [fill(1, &header), offer(1, &[&[READ, 44]])].concat();
        seed(&format!("vsock-{op}"), 4, [packet, room.clone(), Vec::new()]);
        // The same to a port where somebody does.
        header[20] = 1;
        let packet = [fill(1, &header), offer(1, &[&[READ, 44]])].concat();
        seed(&format!("vsock-{op}-heard"), 4, [packet, vec![1 + 8, 0], room.clone()]);
    }
    // A client that connects, asks for a port and is read from.
    let client = [&[1, 0, 1 + 8 * 3, 0, 10], &b"CONNECT 5\n"[..], &[1 + 8 * 2, 0]].concat();
    seed("vsock-client", 4, [room.clone(), client.clone(), room.clone()]);
    seed("console-client", 1, [room.clone(), client, room]);
}

/// Scripts of a guest in front of its buses. What a step is, `devices/src/drive/bus.rs` says.
fn buses() {
    for kind in 0..5 {
        // Set up, offer a chain on each queue, look at every BAR and at configuration space.
        let start = [6, 0, 0, 0, 0, 0x30];
        let offer = |queue| [7 + 8, 0, queue, 0x31, 16, 0x45, 64];
        let read = |bar: u8, at: u8| [0x60, bar << 3, at, 0, 0];
        let config = |at: u8| [0x70, 0, at, 0];
        let move_bar = [0x71, 0, 0x10, 0, 0, 0, 8, 0];
        let script = [
            &start[..],
            &offer(0),
            &offer(1),
            &read(0, 0x14),
            &read(0, 0),
            &read(1, 0),
            &config(0),
            &config(4),
            &move_bar,
            &read(0, 0x14),
            &[2 + 8 * 4, 4, b'a'],
        ];
        write("virtio_pci", format!("{kind}"), [&[kind], script.concat().as_slice()].concat());
    }
    for mode in [0, 1] {
        let script = [
            // A data object: discovery, then GET_VERSION.
            &[7, 0, 4, 0, 0, 0, 0][..],
            &[7 + 8 * 2, 0, 4, 0x10, 0x84, 0, 0],
            // A ring for each engine, a request in it, and the window.
            &[6, 0, 1, 0, 0, 0, 0, 16, 0, 4, 1, 2, 3, 4],
            &[6 + 8, 0, 1, 0, 0x10, 0, 0, 16, 0, 0],
            &[6 + 16, 0, 1, 0, 0x10, 0, 0, 16, 0, 0],
            &[0xe0, 1 << 3, 0, 0, 0x20],
            &[0xe1, 1 << 3, 0, 0, 0x20, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0x60, 0, 8, 0, 0],
        ];
        write("apm_pci", format!("{mode}"), [&[mode], script.concat().as_slice()].concat());
    }
    // To private and back, beside reads, writes and transactions of the same pages.
    let convert = [[7, 0], [15, 0], [3, 8], [11, 8]].concat();
    let access = |how| [how, 0, 0x10, 0, 0, 8];
    write(
        "dma_gate",
        "both",
        [convert.repeat(2), [access(0), access(1), access(2)].concat()].concat(),
    );
}

/// What a guest asks of its hypervisor, and what passes between the two.
fn requests() {
    // Two pages to shared, one back; nonsense.
    let hypercall = |how: u8, page: u8, count: u8| [how, page, count];
    let calls = [hypercall(1, 7, 2), hypercall(5, 7, 1), hypercall(1, 200, 1)].concat();
    write("conversions", "hypercalls", [&[0], calls.as_slice()].concat());
    let entry =
        Entry { current_page: 0, gfn: 0x101, operation: Operation::Shared, size: PageSize::Small };
    let mut structure = Header { current: 0, end: 0 }.encode().to_vec();
    structure.extend(entry.encode().to_le_bytes());
    // 0x8000_0010 is the code of a page state change.
    let exit = [&[4 + 8 * 3, 0, 0, 0, 0, structure.len() as u8], structure.as_slice()].concat();
    write("conversions", "ghcb", [&[1, 2], exit.as_slice()].concat());
    for (name, how) in [("out", 1u8), ("in", 2), ("mailbox", 0)] {
        write("driver", name, [&[how | 8 << 2], [200u8; 12].as_slice()].concat());
        write("driver", format!("{name}-flip"), [how | 8 << 2, 200, 5, 17, 200, 200, 66, 3]);
    }
    write("guest_message", "honest", [0, 0]);
    write("guest_message", "flip", [16, 6, 1, 0, 0, 1]);
    write("guest_message", "request", [&[0, 0], [0; 0x60].as_slice()].concat());
}

/// Files that a user gives.
fn files() {
    // A setup header of boot protocol 2.15 with a 64-bit entry, and a page of code.
    let mut image = vec![0; 1024];
    image[0x1f1] = 1;
    image[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
    (image[0x211], image[0x236]) = (1, 1);
    image[0x22c..0x230].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    image[0x238..0x23c].copy_from_slice(&2047u32.to_le_bytes());
    image[0x258..0x260].copy_from_slice(&(16u64 << 20).to_le_bytes());
    image[0x260..0x264].copy_from_slice(&(32u32 << 20).to_le_bytes());
    image.extend([0x90; 64]);
    write("kernel_image", "bzimage", &image);
    let words =
        |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    for note in [0u64, 1] {
        let (base, code) = (1u64 << 20, 64 + 56 * (1 + note));
        let mut image = b"\x7fELF\x02\x01\x01".to_vec();
        image.resize(16, 0);
        // Executable, x86-64, version 1; entry, program headers, no sections.
        let sizes = 56 << 48 | 64 << 32;
        image.extend(words(&[1 << 32 | 62 << 16 | 2, base, 64, 0, sizes, 1 + note]));
        image.extend(words(&[7 << 32 | 1, code + 20 * note, base, base, 64, 4096, 4096]));
        if note == 1 {
            image.extend(words(&[4 << 32 | 4, code, 0, 0, 20, 20, 4]));
            // PVH's entry: "Xen", 18.
            image.extend([4, 0, 0, 0, 4, 0, 0, 0, 18, 0, 0, 0]);
            image.extend(b"Xen\0\x00\x00\x10\x00");
        }
        image.extend([0x90; 64]);
        write("kernel_image", ["elf", "elf-pvh"][note as usize], &image);
    }
    write("maker_directory", "chain", [&[0, 0], device_chain().as_slice()].concat());
    let statement =
        Statement { nonce: [7; 32], key: [4; 97], policy: Some([2; 48]), gpus: vec![[3; 48]] };
    write("composite", "one", statement.to_json().unwrap());
    let more = Statement { policy: None, gpus: vec![[3; 48]; 3], ..statement };
    write("composite", "three", more.to_json().unwrap());
}
