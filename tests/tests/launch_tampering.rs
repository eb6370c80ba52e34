//! Row 24 of the threats: whoever changes a guest's kernel, initrd, command line or vCPUs gets another
//! launch digest, and whoever releases keys by the digest refuses. What a launch says beside the digest,
//! the guest's policy and the host's data, stands in the report itself and is refused there.
//!
//! The guest is an image of Linux's for SNP. It goes through the emulated AMD-SP as a host would launch it,
//! the guest asks for its report over the sealed channel, and the verifier judges that report by a policy
//! that names the digest which `ravelin image measure` predicts.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use ravelin::boot::direct::{Machine, Target};
use ravelin::boot::linux::Linux;
use ravelin_guest_message::guest::GuestChannel;
use ravelin_guest_message::report::{ReportRequest, ReportResponse, SigningKey};
use ravelin_guest_message::secrets::SecretsPage;
use ravelin_launch::vcpu::Signature;
use ravelin_launch::{DEFAULT_POLICY, Image, PageType};
use ravelin_sp_model::Launch;
use ravelin_verifier::policy::Policy;
use ravelin_verifier::result::{Device, Outcome};
use ravelin_verifier::roots;
use ravelin_verifier::snp::{Evidence, References, judge};
use ravelin_verifier::x509::Certificate;
use std::convert::Infallible;
use std::fs;

const WORDS: &str = "console=ttyS0 ravelin.run=digits";
const REPORT_DATA: [u8; 64] = [9; 64];
const HOST_DATA: [u8; 32] = [7; 32];
/// DEBUG of a guest's policy (ABI, "Guest Policy"): the host may read the guest's memory.
const DEBUG: u64 = 1 << 19;
const MACHINE: Machine = Machine {
    target: Target::Snp,
    c_bit: 51,
    memory: 64 << 20,
    cpus: 1,
    // An EPYC of the third generation.
    signature: Signature(0xa0_0f11),
    sev_features: 1,
    policy: DEFAULT_POLICY,
};

/// A bzImage of one page (Documentation/arch/x86/boot.rst).
fn kernel(code: u8) -> Vec<u8> {
    let mut file = vec![0; 1024];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1f1, &[1]);
    put(0x1fe, &0xaa55_u16.to_le_bytes());
    put(0x202, b"HdrS");
    put(0x206, &0x20f_u16.to_le_bytes());
    put(0x211, &[1]);
    put(0x22c, &0x7fff_ffff_u32.to_le_bytes());
    put(0x236, &1_u16.to_le_bytes());
    put(0x238, &2047_u32.to_le_bytes());
    put(0x258, &(16_u64 << 20).to_le_bytes());
    put(0x260, &(4_u32 << 20).to_le_bytes());
    file.extend([code; 4096]);
    file
}

fn image(machine: &Machine, kernel: &[u8], initrd: &[u8], words: &str) -> Image {
    let directory = tempfile::tempdir().unwrap();
    let [kernel_file, initrd_file] = ["kernel", "initrd"].map(|name| directory.path().join(name));
    fs::write(&kernel_file, kernel).unwrap();
    fs::write(&initrd_file, initrd).unwrap();
    let linux = Linux::open(&kernel_file, Some(&initrd_file), words).unwrap();
    machine.linux(linux).unwrap()
}

/// What the guest that a host has launched from this image, with these data, presents.
fn evidence(image: &Image, host_data: [u8; 32]) -> Evidence {
    let mut launch = Launch::start(image.policy).unwrap();
    let mut secrets = None;
    image.launch(|kind, address, page| match kind {
        PageType::Secrets => {
            let insert = launch.insert_secrets(address, |page| {
                secrets = Some(*page);
                Ok::<_, Infallible>(())
            });
            insert.unwrap();
        }
        _ => launch.update(kind, address, page),
    });
    let guest = launch.finish(host_data).unwrap();
    let mut secrets = SecretsPage::from_bytes(secrets.unwrap()).unwrap();
    let mut channel = GuestChannel::new(secrets.take_key(0).unwrap());
    let request = ReportRequest { report_data: REPORT_DATA, vmpl: 0, signing_key: SigningKey::Any };
    let mut page = [0; 4096];
    channel.ask(&request, &mut page).unwrap();
    let answer = guest.request(&page).unwrap();
    let ReportResponse { report, .. } = channel.receive(&answer).unwrap();
    let chain = guest.certificates().unwrap();
    let certificates = [&chain.ask, &chain.vcek].map(|der| Certificate::from_der(der).unwrap());
    Evidence { report: report.to_vec(), certificates: certificates.into() }
}

/// The judgement of whoever releases keys to guests of this digest with these data only.
fn judged(digest: &[u8; 48], evidence: &Evidence) -> Device {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (digest, host_data) = (hex(digest), hex(&HOST_DATA));
    let policy = format!("[snp]\nmeasurements = [\"{digest}\"]\nhost_data = [\"{host_data}\"]\n");
    let policy = Policy::from_toml(policy.as_bytes()).unwrap();
    let references = References {
        root: Some(roots::emulated().unwrap()),
        revocation_lists: vec![roots::emulated_list().unwrap()],
        report_data: Some(REPORT_DATA),
        accept_emulated: true,
        at: "2026-06-01T00:00:00Z".parse().unwrap(),
    };
    judge(evidence, &references, &policy)
}

/// What a judgement holds against a guest.
fn failures(device: &Device) -> Vec<String> {
    let failed = device.checks.iter().filter(|check| check.result == Outcome::Fail);
    failed.map(|check| check.code.to_string()).collect()
}

fn good() -> Image {
    image(&MACHINE, &kernel(0x90), b"initrd", WORDS)
}

#[test]
fn the_same_launch_gets_its_key_each_time() {
    let digest = good().digest();
    for _ in 0..2 {
        let judged = judged(&digest, &evidence(&good(), HOST_DATA));
        assert!(judged.trusted, "{:#?}", judged.checks);
    }
}

#[test]
fn a_changed_kernel_initrd_command_line_or_vcpu_gets_no_key() {
    let good = good();
    let digest = good.digest();
    let mut state = good.clone();
    // RIP: past the kernel's first instructions.
    state.vcpus[0][0x178] = state.vcpus[0][0x178].wrapping_add(8);
    let mut root = good.clone();
    // CR3: other page tables.
    root.vcpus[0][0x151] ^= 0x10;
    let mut state_twice = good.clone();
    state_twice.vcpus.push(state_twice.vcpus[0].clone());
    let mut dropped = good.clone();
    dropped.pages.pop();
    for (what, tampered) in [
        ("kernel", image(&MACHINE, &kernel(0x91), b"initrd", WORDS)),
        ("initrd", image(&MACHINE, &kernel(0x90), b"Initrd", WORDS)),
        ("command line", image(&MACHINE, &kernel(0x90), b"initrd", "console=ttyS0 init=/bin/sh")),
        ("vCPUs", image(&Machine { cpus: 2, ..MACHINE }, &kernel(0x90), b"initrd", WORDS)),
        ("instruction pointer", state),
        ("page tables' root", root),
        ("one vCPU more", state_twice),
        ("a page less", dropped),
    ] {
        assert_ne!(tampered.digest(), digest, "{what}");
        let judged = judged(&digest, &evidence(&tampered, HOST_DATA));
        assert!(!judged.trusted, "{what}");
        assert_eq!(failures(&judged), ["launch-measurement"], "{what}");
    }
}

#[test]
fn what_a_host_says_beside_the_digest_gets_no_key_either() {
    let good = good();
    let digest = good.digest();
    let debugged = Image { policy: DEFAULT_POLICY | DEBUG, ..good.clone() };
    assert_eq!(debugged.digest(), digest, "the policy is not in the digest");
    for (evidence, code) in [
        (evidence(&debugged, HOST_DATA), "guest-policy-debug"),
        (evidence(&good, [8; 32]), "host-data"),
    ] {
        let judged = judged(&digest, &evidence);
        assert!(!judged.trusted, "{code}");
        assert_eq!(failures(&judged), [code]);
    }
}
