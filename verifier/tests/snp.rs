//! SEV-SNP reports: a real one of a Milan, and test-made ones for what no published sample shows.
//!
//! The real report (version 2, VCEK) goes to AMD's built-in root. The real VCEK of a Turin goes
//! there too, but its report is not published. Every other version, processor and key kind, and
//! every refusal that needs a report to say something bad, is made here: the layout is the real one,
//! signed by a chain of the real one's form under a test root.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use der::Encode;
use der::asn1::Ia5StringRef;
use p384::ecdsa::{Signature, signature::Signer};
use ravelin_verifier::policy::Policy;
use ravelin_verifier::result::{Device, EVIDENCE_FORMAT, Outcome};
use ravelin_verifier::snp::{Evidence, References, judge};
use ravelin_verifier::x509::Certificate;
use support::authority::{Party, Terms, issue, raw_extension, revoke};
use support::{codes, passed, time};

const AT: &str = "2024-12-01T00:00:00Z";
const MILAN_REPORT: &str = include_str!("../samples/snp/report_milan.hex");
const MILAN_VCEK: &[u8] = include_bytes!("../samples/snp/vcek_milan.der");
const TURIN_VCEK: &[u8] = include_bytes!("../samples/snp/vcek_turin.der");

fn policy(text: &str) -> Policy {
    Policy::from_toml(text.as_bytes()).unwrap()
}

/// Lets out what the real sample cannot have: lists, and an expectation of what it measured.
const OPEN: &str = "revocation = 'allow-unknown'\nlaunch_measurement = 'optional'\n\
                    freshness = 'unchecked'\n";

fn real() -> Evidence {
    Evidence {
        report: hex::decode(MILAN_REPORT.trim()).unwrap(),
        certificates: vec![Certificate::from_der(MILAN_VCEK).unwrap()],
    }
}

fn against_amd() -> References {
    References {
        root: None,
        revocation_lists: Vec::new(),
        report_data: None,
        accept_emulated: false,
        at: time(AT),
    }
}

#[test]
fn a_real_milan_report_verifies_up_to_amds_root() {
    let evidence = real();
    let device = judge(&evidence, &against_amd(), &policy(OPEN));
    assert!(device.trusted, "{:#?}", device.checks);
    for code in [
        "certificate-chain",
        "certificate-time",
        "report-signature",
        "certificate-product",
        "certificate-chip",
        "certificate-tcb",
        "tcb-order",
    ] {
        assert!(passed(&device, code), "{code} did not pass");
    }
    assert!(device.identity.starts_with("d49554ec717f4e5b"));
    // With what it says pinned, nothing but revocation is left open.
    let report = &evidence.report;
    let text = format!(
        "revocation = 'allow-unknown'\n[snp]\nmeasurements = ['{}']\nproducts = ['milan']\n\
         chip_ids = ['{}']\nminimum_tcb = {{ bootloader = 3, snp = 8, microcode = 115 }}",
        hex::encode(&report[0x90..0xc0]),
        hex::encode(&report[0x1a0..0x1e0]),
    );
    let mut references = against_amd();
    references.report_data = Some(report[0x50..0x90].try_into().unwrap());
    assert!(judge(&evidence, &references, &policy(&text)).trusted);
    references.report_data = Some([0; 64]);
    assert_eq!(failures(&judge(&evidence, &references, &policy(&text))), ["report-data"]);
}

#[test]
fn what_the_policy_does_not_allow_to_be_unmade_fails_by_name() {
    let device = judge(&real(), &against_amd(), &Policy::default());
    assert_eq!(failures(&device), ["certificate-revocation", "report-data", "launch-measurement"]);
}

#[test]
fn no_byte_of_a_real_report_or_certificate_can_be_changed() {
    let policy = policy(OPEN);
    let mut evidence = real();
    for at in 0..evidence.report.len() {
        evidence.report[at] ^= 1 << (at % 8);
        let device = judge(&evidence, &against_amd(), &policy);
        assert!(!device.trusted, "byte {at} was changed and nobody noticed");
        evidence.report[at] ^= 1 << (at % 8);
    }
    for length in [0, 1, 0x29f, 0x2a0, 0x49f, 0x4a1] {
        let mut evidence = real();
        evidence.report.resize(length, 0);
        let device = judge(&evidence, &against_amd(), &policy);
        assert_eq!(failures(&device), [EVIDENCE_FORMAT], "{length} bytes");
    }
    for at in (0..MILAN_VCEK.len()).step_by(3) {
        let mut changed = MILAN_VCEK.to_vec();
        changed[at] ^= 1 << (at % 8);
        let Ok(certificate) = Certificate::from_der(&changed) else { continue };
        let evidence = Evidence { report: real().report, certificates: vec![certificate] };
        let device = judge(&evidence, &against_amd(), &policy);
        assert!(!device.trusted, "byte {at} of the VCEK was changed and nobody noticed");
    }
}

#[test]
fn a_real_turin_vcek_leads_to_amds_root() {
    let certificates = vec![Certificate::from_der(TURIN_VCEK).unwrap()];
    let mut report = Made::turin().report();
    // A report that says what this VCEK says, but that its key did not sign.
    report[0x1a0..0x1e0].fill(0);
    let chip = certificates[0].extension("1.3.6.1.4.1.3704.1.4".parse().unwrap()).unwrap();
    report[0x1a0..0x1a8].copy_from_slice(chip);
    let evidence = Evidence { report, certificates };
    // The certificate is younger than the other samples.
    let mut references = against_amd();
    references.at = time("2026-01-01T00:00:00Z");
    let device = judge(&evidence, &references, &policy(OPEN));
    for code in ["certificate-chain", "certificate-time", "certificate-product", "certificate-chip"]
    {
        assert!(passed(&device, code), "{code}: {:#?}", device.checks);
    }
    assert!(failures(&device).contains(&"report-signature"));
}

fn failures(device: &Device) -> Vec<&'static str> {
    codes(device, Outcome::Fail)
}

/// A test-made report and its chain.
struct Made {
    /// Names a product in the certificate.
    product: &'static str,
    /// Bytes of the report before signing.
    body: Vec<u8>,
    /// The certificate's TCB: fmc, bootloader, tee, snp, microcode.
    tcb: [u8; 5],
    /// Bytes of the chip's id that the certificate names.
    chip: usize,
    vlek: bool,
}

const ARK: u8 = 11;
const ASK: u8 = 12;
const VEK: u8 = 13;

impl Made {
    /// A report of this version and processor (family, model) in which all is well.
    fn new(version: u32, product: &'static str, cpu: Option<(u8, u8)>) -> Made {
        let mut body = vec![0; 0x4a0];
        body[0..4].copy_from_slice(&version.to_le_bytes());
        body[4] = 5; // GUEST_SVN
        // POLICY: reserved bit 17 and SMT.
        body[0x08..0x10].copy_from_slice(&0x3_0000u64.to_le_bytes());
        body[0x10..0x20].fill(1); // FAMILY_ID
        body[0x20..0x30].fill(2); // IMAGE_ID
        body[0x34] = 1; // SIGNATURE_ALGO
        body[0x40] = 1; // PLATFORM_INFO: SMT
        body[0x50..0x90].fill(3); // REPORT_DATA
        body[0x90..0xc0].fill(4); // MEASUREMENT
        body[0xc0..0xe0].fill(5); // HOST_DATA
        body[0xe0..0x110].fill(6); // ID_KEY_DIGEST
        body[0x110..0x140].fill(7); // AUTHOR_KEY_DIGEST
        if let Some((family, model)) = cpu {
            body[0x188] = family;
            body[0x189] = model;
        }
        let turin = product == "Turin";
        let chip = if turin { 8 } else { 64 };
        body[0x1a0..0x1a0 + chip].fill(8);
        for version in [0x1e8, 0x1ec] {
            // CURRENT and COMMITTED firmware, 1.55.21: build, minor, major.
            body[version..version + 3].copy_from_slice(&[21, 55, 1]);
        }
        let mut made = Made { product, body, tcb: [1, 4, 2, 20, 200], chip, vlek: false };
        for place in TCBS {
            made.set_tcb(place, made.tcb);
        }
        made
    }

    fn milan() -> Made {
        Made::new(3, "Milan-B0", Some((0x19, 1)))
    }

    fn turin() -> Made {
        Made::new(5, "Turin", Some((0x1a, 2)))
    }

    /// Writes a TCB as the processor lays it out.
    fn set_tcb(&mut self, place: usize, [fmc, bootloader, tee, snp, microcode]: [u8; 5]) {
        let layout = match self.product {
            "Turin" => [fmc, bootloader, tee, snp, 0, 0, 0, microcode],
            _ => [bootloader, tee, 0, 0, 0, 0, snp, microcode],
        };
        self.body[place..place + 8].copy_from_slice(&layout);
    }

    fn set_u64(&mut self, place: usize, bits: u64) {
        self.body[place..place + 8].copy_from_slice(&bits.to_le_bytes());
    }

    fn report(&self) -> Vec<u8> {
        let mut report = self.body.clone();
        let signature: Signature = Party::new("", VEK).key.sign(&report[..0x2a0]);
        let (r, s) = signature.split_bytes();
        for (place, number) in [(0x2a0, r), (0x2e8, s)] {
            for (to, from) in report[place..place + 48].iter_mut().zip(number.iter().rev()) {
                *to = *from;
            }
        }
        report
    }

    fn chain(&self) -> (Certificate, Vec<Certificate>) {
        let product = self.product.split('-').next().unwrap();
        let ark = Party::new(&format!("CN=ARK-{product}"), ARK);
        let (infix, leaf) = if self.vlek { ("VLEK-", "CN=SEV-VLEK") } else { ("", "CN=SEV-VCEK") };
        let ask = Party::new(&format!("CN=SEV-{infix}{product}"), ASK);
        let vek = Party::new(leaf, VEK);
        let number = |oid: &str, value: u8| {
            let oid = format!("1.3.6.1.4.1.3704.1.3.{oid}");
            raw_extension(&oid, false, &value.to_der().unwrap())
        };
        let name = Ia5StringRef::new(self.product).unwrap().to_der().unwrap();
        let mut extensions = vec![
            raw_extension("1.3.6.1.4.1.3704.1.2", false, &name),
            number("1", self.tcb[1]),
            number("2", self.tcb[2]),
            number("3", self.tcb[3]),
            number("8", self.tcb[4]),
        ];
        if product == "Turin" {
            extensions.push(number("9", self.tcb[0]));
        }
        if !self.vlek {
            let chip = &self.body[0x1a0..0x1a0 + self.chip];
            extensions.push(raw_extension("1.3.6.1.4.1.3704.1.4", false, chip));
        }
        let root = issue(&ark, &ark, &Terms::authority());
        let certificates = vec![
            issue(&ask, &vek, &Terms::with(extensions)),
            issue(&ark, &ask, &Terms::authority()),
        ];
        (root, certificates)
    }

    fn judge(&self, text: &str) -> Device {
        self.judge_with(text, |_, _| {})
    }

    fn judge_with(
        &self,
        text: &str,
        change: impl FnOnce(&mut References, &mut Evidence),
    ) -> Device {
        let (root, certificates) = self.chain();
        let mut references = References {
            root: Some(root),
            revocation_lists: Vec::new(),
            report_data: Some([3; 64]),
            accept_emulated: false,
            at: time(AT),
        };
        let mut evidence = Evidence { report: self.report(), certificates };
        change(&mut references, &mut evidence);
        judge(&evidence, &references, &policy(text))
    }
}

const TCBS: [usize; 4] = [CURRENT, REPORTED, COMMITTED, LAUNCH];
const CURRENT: usize = 0x38;
const REPORTED: usize = 0x180;
const COMMITTED: usize = 0x1e0;
const LAUNCH: usize = 0x1f0;

/// What the made reports say, pinned, and revocation left open.
const PINNED: &str = "revocation = 'allow-unknown'\n[snp]\nmeasurements = \
    ['040404040404040404040404040404040404040404040404040404040404040404040404040404040404040404040404']\n";

#[test]
fn every_version_processor_and_key_kind_verifies() {
    for mut made in [
        Made::new(2, "Milan-B0", None),
        Made::new(2, "Genoa", None),
        Made::new(2, "Turin", None),
        Made::milan(),
        Made::new(3, "Genoa", Some((0x19, 0x11))),
        Made::new(3, "Genoa", Some((0x19, 0xa0))),
        Made::new(4, "Turin", Some((0x1a, 0x11))),
        Made::turin(),
    ] {
        let device = made.judge(PINNED);
        assert!(device.trusted, "{}: {:#?}", made.product, device.checks);
        made.vlek = true;
        made.body[0x48] = 1 << 2; // SIGNING_KEY: VLEK
        let device = made.judge(PINNED);
        assert!(device.trusted, "{} with a VLEK: {:#?}", made.product, device.checks);
    }
}

#[test]
fn versions_and_algorithms_that_are_not_known_are_refused() {
    for version in [0, 1, 6, u32::MAX] {
        let made = Made::new(version, "Milan-B0", Some((0x19, 1)));
        assert_eq!(failures(&made.judge(PINNED)), [EVIDENCE_FORMAT], "version {version}");
    }
    let mut made = Made::milan();
    made.body[0x34] = 2;
    assert_eq!(failures(&made.judge(PINNED)), [EVIDENCE_FORMAT]);
    let made = Made::new(3, "Milan-B0", Some((0x17, 1)));
    assert_eq!(failures(&made.judge(PINNED)), [EVIDENCE_FORMAT]);
}

#[test]
fn a_reserved_byte_that_is_signed_is_refused_all_the_same() {
    for place in [0x4c, 0x190, 0x1eb, 0x210, 0x29f] {
        let mut made = Made::milan();
        made.body[place] = 1;
        assert_eq!(failures(&made.judge(PINNED)), [EVIDENCE_FORMAT], "byte {place:#x}");
    }
}

#[test]
fn the_signing_key_must_be_of_the_chip_the_product_and_the_firmware() {
    let mut made = Made::milan();
    made.tcb[3] += 1;
    assert_eq!(failures(&made.judge(PINNED)), ["certificate-tcb"]);

    let device = Made::milan().judge_with(PINNED, |_, evidence| {
        let mut other = Made::milan();
        other.body[0x1a5] ^= 1;
        evidence.certificates = other.chain().1;
    });
    assert_eq!(failures(&device), ["certificate-chip"]);

    let made = Made { product: "Genoa", ..Made::milan() };
    assert_eq!(failures(&made.judge(PINNED)), ["certificate-product"]);
    let mut made = Made::new(2, "Milan-B0", None);
    made.body[0x1a8..0x1e0].fill(0);
    made.chip = 8;
    // A version 2 report with a short id is read as a Turin's, whose TCB is laid out otherwise.
    assert_eq!(failures(&made.judge(PINNED)), [EVIDENCE_FORMAT]);
}

#[test]
fn a_report_signed_by_another_key_or_by_none_is_refused() {
    let device = Made::milan().judge_with(PINNED, |_, evidence| evidence.report[0x2a0] ^= 1);
    assert_eq!(failures(&device), ["report-signature"]);
    let mut made = Made::milan();
    made.body[0x48] = 7 << 2;
    assert_eq!(failures(&made.judge(PINNED)), ["signing-key"]);
    // The report says VLEK, and only a VCEK is at hand.
    made.body[0x48] = 1 << 2;
    assert_eq!(failures(&made.judge(PINNED)), ["signing-key"]);
    let device = Made::milan().judge_with(PINNED, |references, _| references.root = None);
    assert_eq!(failures(&device), ["certificate-chain"], "AMD's root vouched for a test's chain");
    let device = Made::milan().judge_with(PINNED, |_, e| drop(e.certificates.remove(1)));
    assert_eq!(failures(&device), ["certificate-chain"]);
}

#[test]
fn expired_and_revoked_are_told_apart() {
    let device = Made::milan().judge_with(PINNED, |r, _| r.at = time("2026-06-01T00:00:00Z"));
    assert_eq!(failures(&device), ["certificate-time"]);
    let ark = Party::new("CN=ARK-Milan", ARK);
    let list = |serials: &[u32]| {
        let (root, _) = Made::milan().chain();
        revoke(&root, &ark, serials, "2024-11-01T00:00:00Z", "2025-01-01T00:00:00Z")
    };
    let strict = PINNED.replace("revocation = 'allow-unknown'", "");
    let device = Made::milan().judge_with(&strict, |r, _| r.revocation_lists.push(list(&[1])));
    assert!(device.trusted, "{:#?}", device.checks);
    for text in [strict.as_str(), PINNED] {
        let device = Made::milan().judge_with(text, |r, _| r.revocation_lists.push(list(&[7])));
        assert_eq!(failures(&device), ["certificate-revocation"]);
    }
    assert_eq!(failures(&Made::milan().judge(&strict)), ["certificate-revocation"]);
}

#[test]
fn each_value_that_a_policy_lists_is_held() {
    let bytes = |byte: &str, count: usize| byte.repeat(count);
    for (key, good, size, code) in [
        ("host_data", "05", 32, "host-data"),
        ("family_ids", "01", 16, "family-id"),
        ("image_ids", "02", 16, "image-id"),
        ("id_key_digests", "06", 48, "id-key"),
        ("author_key_digests", "07", 48, "author-key"),
        ("chip_ids", "08", 64, "chip-id"),
    ] {
        let accept = format!("{PINNED}{key} = ['{}', '{}']", bytes("ff", size), bytes(good, size));
        assert!(Made::milan().judge(&accept).trusted, "{key}");
        let refuse = format!("{PINNED}{key} = ['{}']", bytes("ff", size));
        assert_eq!(failures(&Made::milan().judge(&refuse)), [code]);
        let none = format!("{PINNED}{key} = []");
        assert_eq!(failures(&Made::milan().judge(&none)), [code], "an empty list accepted a value");
    }
    let other = PINNED.replace("04", "05");
    assert_eq!(failures(&Made::milan().judge(&other)), ["launch-measurement"]);
    let held = |text: &str, code: &str| {
        assert_eq!(failures(&Made::milan().judge(&format!("{PINNED}{text}"))), [code], "{text}");
    };
    held("products = ['genoa', 'turin']", "product");
    held("signing_keys = ['vlek']", "signing-key-kind");
    held("minimum_guest_svn = 6", "guest-svn");
    held("minimum_firmware = '1.55.22'", "firmware-floor");
    held("minimum_firmware = '1.56.0'", "firmware-floor");
    held("required_mitigations = 1", "mitigations");
    assert!(Made::milan().judge(&format!("{PINNED}minimum_firmware = '1.55.21'")).trusted);

    let mut made = Made::milan();
    made.body[0x30] = 2;
    assert_eq!(failures(&made.judge(PINNED)), ["vmpl"]);
    assert!(made.judge(&format!("{PINNED}maximum_vmpl = 2")).trusted);
    let device = Made::milan().judge_with(PINNED, |r, _| r.report_data = Some([4; 64]));
    assert_eq!(failures(&device), ["report-data"]);
}

#[test]
fn each_mitigation_vector_is_held() {
    let text = format!("{PINNED}required_mitigations = 5");
    for (launch, current, good) in [(5, 7, true), (4, 7, false), (7, 1, false), (0, 0, false)] {
        let mut made = Made::turin();
        made.set_u64(0x1f8, launch);
        made.set_u64(0x200, current);
        let expected: &[&str] = if good { &[] } else { &["mitigations"] };
        assert_eq!(failures(&made.judge(&text)), expected);
    }
}

#[test]
fn among_several_hosts_certificates_the_one_that_signed_is_found() {
    let device = Made::milan().judge_with(PINNED, |_, evidence| {
        let stranger = Party::new("CN=SEV-VCEK", 99);
        evidence.certificates.insert(0, issue(&stranger, &stranger, &Terms::signer()));
    });
    assert!(device.trusted, "{:#?}", device.checks);
}

#[test]
fn a_hidden_chip_id_is_accepted_only_by_name() {
    let mut made = Made::milan();
    made.body[0x1a0..0x1e0].fill(0);
    assert_eq!(failures(&made.judge(PINNED)), ["certificate-chip"]);
    assert!(made.judge(&format!("{PINNED}masked_chip_id_allowed = true")).trusted);
}

#[test]
fn each_component_of_each_tcb_is_held_to_the_floor() {
    let names = ["fmc", "bootloader", "tee", "snp", "microcode"];
    for (component, name) in names.iter().enumerate() {
        let floor = Made::turin().tcb[component];
        let at = format!("{PINNED}minimum_tcb = {{ {name} = {floor} }}");
        let device = Made::turin().judge(&at);
        assert!(device.trusted, "{name}: {:#?}", device.checks);
        let above = format!("{PINNED}minimum_tcb = {{ {name} = {} }}", floor + 1);
        assert_eq!(failures(&Made::turin().judge(&above)), ["tcb-floor"], "{name}");
        // One TCB alone below the floor; the reported one takes the certificate along.
        for place in TCBS {
            let mut made = Made::turin();
            let mut low = made.tcb;
            low[component] -= 1;
            made.set_tcb(place, low);
            if place == REPORTED {
                made.tcb = low;
            }
            assert!(failures(&made.judge(&at)).contains(&"tcb-floor"), "{name} at {place:#x}");
        }
    }
    // A processor without an FMC is below any floor for it.
    let text = format!("{PINNED}minimum_tcb = {{ fmc = 1 }}");
    assert_eq!(failures(&Made::milan().judge(&text)), ["tcb-floor"]);
}

#[test]
fn the_tcbs_must_be_in_order() {
    for place in [CURRENT, COMMITTED] {
        for component in 0..5 {
            let mut made = Made::turin();
            let mut low = made.tcb;
            low[component] -= 1;
            made.set_tcb(place, low);
            assert_eq!(failures(&made.judge(PINNED)), ["tcb-order"], "{place:#x}, {component}");
        }
    }
    let mut made = Made::turin();
    made.body[0x1e8] -= 1; // current build below the committed one
    assert_eq!(failures(&made.judge(PINNED)), ["tcb-order"]);
}

#[test]
fn each_bit_of_the_guests_policy_is_held() {
    const BASE: u64 = 0x2_0000;
    let guest = |text: &str| format!("{PINNED}[snp.guest_policy]\n{text}");
    // What may be on only by permission, and whether it needs one by default.
    for (bit, key, code, default) in [
        (16, "smt_allowed", "guest-policy-smt", true),
        (18, "migration_agent_allowed", "guest-policy-migration-agent", false),
        (19, "debug_allowed", "guest-policy-debug", false),
        (21, "cxl_allowed", "guest-policy-cxl", false),
    ] {
        let mut made = Made::turin();
        made.set_u64(0x08, BASE | 1 << bit);
        assert!(made.judge(&guest(&format!("{key} = true"))).trusted, "{key}");
        assert_eq!(failures(&made.judge(&guest(&format!("{key} = false")))), [code]);
        assert_eq!(made.judge(PINNED).trusted, default, "{key} by default");
        made.set_u64(0x08, BASE);
        assert!(made.judge(&guest(&format!("{key} = false"))).trusted, "{key}");
    }
    for (bit, key, code) in [
        (20, "require_single_socket", "guest-policy-single-socket"),
        (22, "require_aes_256_xts", "guest-policy-aes-256-xts"),
        (23, "require_rapl_disabled", "guest-policy-rapl-disabled"),
        (24, "require_ciphertext_hiding", "guest-policy-ciphertext-hiding"),
        (25, "require_page_swap_disabled", "guest-policy-page-swap-disabled"),
    ] {
        let mut made = Made::turin();
        let text = guest(&format!("{key} = true"));
        made.set_u64(0x08, BASE);
        assert_eq!(failures(&made.judge(&text)), [code]);
        made.set_u64(0x08, BASE | 1 << bit);
        assert!(made.judge(&text).trusted, "{key}");
    }
}

#[test]
fn each_bit_of_the_platform_is_held() {
    let platform = |text: &str| format!("{PINNED}[snp.platform]\n{text}");
    for (bit, key, code) in [(0, "smt_allowed", "platform-smt"), (7, "tio_allowed", "platform-tio")]
    {
        let mut made = Made::turin();
        made.set_u64(0x40, 1 << bit);
        assert!(made.judge(PINNED).trusted, "{key}");
        assert_eq!(failures(&made.judge(&platform(&format!("{key} = false")))), [code]);
    }
    for (bit, key, code) in [
        (1, "require_tsme", "platform-tsme"),
        (2, "require_ecc", "platform-ecc"),
        (3, "require_rapl_disabled", "platform-rapl-disabled"),
        (4, "require_ciphertext_hiding", "platform-ciphertext-hiding"),
        (5, "require_alias_check", "platform-alias-check"),
    ] {
        let mut made = Made::turin();
        let text = platform(&format!("{key} = true"));
        made.set_u64(0x40, 0);
        assert_eq!(failures(&made.judge(&text)), [code]);
        made.set_u64(0x40, 1 << bit);
        assert!(made.judge(&text).trusted, "{key}");
    }
}
