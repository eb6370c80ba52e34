//! The emulated AMD-SP as a guest and as other people's parsers see it.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use ravelin_guest_message::derived_key::{KeyRequest, KeyResponse, guest_field};
use ravelin_guest_message::guest::{Error, GuestChannel};
use ravelin_guest_message::report::{ReportRequest, ReportResponse, SigningKey};
use ravelin_guest_message::secrets::SecretsPage;
use ravelin_guest_message::{Page, Request};
use ravelin_snp::ghcb::guest_request::firmware_status::{BAD_MEASUREMENT, INVALID_PARAM};
use ravelin_snp::launch_digest::PageType;
use ravelin_snp::report::report_data;
use ravelin_sp_model::{Guest, Launch, certificates, chip};
use sev::certs::snp::{Certificate, Chain, Verifiable, ca};
use sev::firmware::guest::AttestationReport;
use sev::firmware::host::CertTableEntry;
use sev::parser::ByteParser;

const POLICY: u64 = 0x3_0000;

/// A guest of one page, and its secrets page.
fn guest() -> (Guest, SecretsPage) {
    let mut launch = Launch::start(POLICY).unwrap();
    launch.update(PageType::Normal, 0x1000, &[7; 4096]);
    let mut secrets = None;
    let insert = |page: &Page| {
        secrets = Some(*page);
        Ok::<_, ()>(())
    };
    launch.insert_secrets(0x2000, insert).unwrap();
    let guest = launch.finish([5; 32]).unwrap();
    (guest, SecretsPage::from_bytes(secrets.unwrap()).unwrap())
}

fn channel(secrets: &mut SecretsPage, number: u8) -> GuestChannel {
    GuestChannel::new(secrets.take_key(number).unwrap())
}

fn sealed(channel: &mut GuestChannel, request: &impl Request) -> Page {
    let mut page = [0; 4096];
    channel.ask(request, &mut page).unwrap();
    page
}

fn ask<R: Request>(
    guest: &Guest,
    channel: &mut GuestChannel,
    request: &R,
) -> Result<R::Response, Error> {
    let asked = sealed(channel, request);
    channel.receive(&guest.request(&asked).unwrap())
}

fn report_request(vmpl: u32) -> ReportRequest {
    ReportRequest { report_data: [9; 64], vmpl, signing_key: SigningKey::Any }
}

#[test]
fn the_sev_crate_reads_the_report_and_verifies_it_with_the_chain() {
    let (guest, mut secrets) = guest();
    let mut channel = channel(&mut secrets, 0);
    let report = ask(&guest, &mut channel, &report_request(0)).unwrap().report;
    assert_eq!(report_data(&report), [9; 64]);

    let read = AttestationReport::from_bytes(&report).unwrap();
    assert_eq!(read.to_bytes().unwrap().as_slice(), report, "no byte that the crate does not know");
    assert_eq!((read.version, read.vmpl, read.guest_svn), (3, 0, 0));
    assert_eq!(read.report_data.as_slice(), [9; 64]);
    assert_eq!(read.measurement.as_slice(), guest.measurement());
    assert_eq!(read.host_data.as_slice(), [5; 32]);
    assert_eq!(read.policy.0, POLICY);
    assert_eq!((read.cpuid_fam_id, read.cpuid_mod_id), (Some(0x19), Some(1)));
    assert_eq!((read.reported_tcb.bootloader, read.reported_tcb.microcode), (1, 1));
    assert_eq!((read.current.major, read.current.minor), (1, 55));

    let chain = guest.certificates().unwrap();
    let read_certificate = |der: &[u8]| Certificate::from_der(der).unwrap();
    let chain = Chain {
        ca: ca::Chain { ark: read_certificate(&chain.ark), ask: read_certificate(&chain.ask) },
        vek: read_certificate(&chain.vcek),
    };
    // The report under the VCEK; the crate's own check of the chain knows RSA only.
    (&chain.vek, &read).verify().unwrap();
}

#[test]
fn everything_says_what_it_is() {
    let (guest, mut secrets) = guest();
    let report = ask(&guest, &mut channel(&mut secrets, 0), &report_request(0)).unwrap().report;
    let read = AttestationReport::from_bytes(&report).unwrap();
    assert!(read.chip_id.starts_with(b"RAVELIN EMULATED AMD-SP"));
    assert_eq!(read.family_id.as_slice(), b"RAVELIN EMULATED");
    assert_eq!(read.image_id.as_slice(), chip::IMAGE_ID);
    let chain = guest.certificates().unwrap();
    for certificate in [&chain.ark, &chain.ask, &chain.vcek] {
        assert!(certificate.windows(18).any(|bytes| bytes == b"Not For Production"));
    }
    assert!(certificates::ARK_NAME.contains("Emulated"));
}

/// As `GCTX` of sev-snp-measure 0.0.13 (PyPI) computes it: normal, secrets, zero and unmeasured page.
#[test]
fn the_launch_digest_is_the_one_that_sev_snp_measure_computes() {
    let mut launch = Launch::start(POLICY).unwrap();
    launch.update(PageType::Normal, 0x1000, &[7; 4096]);
    launch.insert_secrets(0x2000, |_| Ok::<_, ()>(())).unwrap();
    launch.update(PageType::Zero, 0x3000, &[0; 4096]);
    launch.update(PageType::Unmeasured, 0x4000, &[1; 4096]);
    let digest = launch.finish([0; 32]).unwrap().measurement();
    assert_eq!(
        hex(&digest),
        "8e3644dfb9ffc64d774da71ef552f5ec3e3ebef8d38a5cb8c781e5eabe061d0209313e6bae8f6958a6293f2e3ab6081c"
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn each_changed_page_address_or_order_is_another_digest() {
    let digest = |pages: &[(PageType, u64, u8)]| {
        let mut launch = Launch::start(POLICY).unwrap();
        for (kind, address, byte) in pages {
            launch.update(*kind, *address, &[*byte; 4096]);
        }
        launch.finish([0; 32]).unwrap().measurement()
    };
    use PageType::{Normal, Unmeasured};
    let good = digest(&[(Normal, 0x1000, 1), (Normal, 0x2000, 2)]);
    assert_eq!(good, digest(&[(Normal, 0x1000, 1), (Normal, 0x2000, 2)]));
    for other in [
        &[(Normal, 0x1000, 1), (Normal, 0x2000, 3)][..],
        &[(Normal, 0x1000, 1), (Normal, 0x3000, 2)],
        &[(Normal, 0x2000, 2), (Normal, 0x1000, 1)],
        &[(Normal, 0x1000, 1), (Unmeasured, 0x2000, 2)],
        &[(Normal, 0x1000, 1)],
    ] {
        assert_ne!(digest(other), good);
    }
}

#[test]
fn the_host_gets_a_status_for_what_is_not_the_guests() {
    let (guest, mut secrets) = guest();
    let mut channel = channel(&mut secrets, 0);
    let asked = sealed(&mut channel, &report_request(0));
    let mut forged = asked;
    forged[0x60] ^= 1;
    assert_eq!(guest.request(&forged).err(), Some(BAD_MEASUREMENT));
    let mut other_key = asked;
    other_key[0x3c] = 9;
    assert_eq!(guest.request(&other_key).err(), Some(INVALID_PARAM));
    assert_eq!(guest.request(&[0; 4096]).err(), Some(INVALID_PARAM));
    let answer = guest.request(&asked).unwrap();
    assert_eq!(guest.request(&asked).err(), Some(INVALID_PARAM), "a replay");
    assert!(channel.receive::<ReportResponse>(&answer).is_ok());
}

#[test]
fn another_guests_message_is_none_of_this_ones() {
    let (guest_a, _) = guest();
    let (_, mut secrets_b) = guest();
    let asked = sealed(&mut channel(&mut secrets_b, 0), &report_request(0));
    assert_eq!(guest_a.request(&asked).err(), Some(BAD_MEASUREMENT));
}

#[test]
fn a_key_speaks_for_its_own_vmpl_and_those_below() {
    let (guest, mut secrets) = guest();
    let mut channel = channel(&mut secrets, 2);
    assert_eq!(ask(&guest, &mut channel, &report_request(1)), Err(Error::Refused(INVALID_PARAM)));
    let report = ask(&guest, &mut channel, &report_request(3)).unwrap().report;
    assert_eq!(report[0x30], 3);
    let vlek = ReportRequest { signing_key: SigningKey::Vlek, ..report_request(3) };
    assert_eq!(ask(&guest, &mut channel, &vlek), Err(Error::Refused(0x27)));
}

#[test]
fn derived_keys_follow_from_what_was_selected() {
    let key = |guest: &(Guest, SecretsPage), channel: &mut GuestChannel, guest_fields| {
        let asked = KeyRequest { guest_fields, vmpl: 0, guest_svn: 0, tcb: 0 };
        ask(&guest.0, channel, &asked).map(|answer: KeyResponse| *answer.key()).unwrap()
    };
    let mut a = guest();
    let mut b = guest();
    let (mut at_a, mut at_b) = (channel(&mut a.1, 0), channel(&mut b.1, 0));
    let same = key(&a, &mut at_a, guest_field::MEASUREMENT);
    assert_eq!(same, key(&b, &mut at_b, guest_field::MEASUREMENT), "the same image");
    assert_ne!(same, key(&a, &mut at_a, guest_field::POLICY));
    let future = KeyRequest { guest_fields: 0, vmpl: 0, guest_svn: 0, tcb: u64::MAX };
    assert_eq!(ask(&a.0, &mut at_a, &future).err(), Some(Error::Refused(INVALID_PARAM)));
}

/// Another implementation reads the table of certificates that ours writes.
#[test]
fn the_sev_crate_reads_the_table_of_certificates() {
    use ravelin_snp::ghcb::certificate_table::{Guid, write};
    use sev::firmware::host::CertType;
    let chain = guest().0.certificates().unwrap();
    let entries: [(Guid, &[u8]); 3] =
        [(Guid::VCEK, &chain.vcek), (Guid::ASK, &chain.ask), (Guid::ARK, &chain.ark)];
    let mut pages = vec![0; 8192];
    write(&entries, &mut pages).unwrap();
    let read = CertTableEntry::vec_bytes_to_cert_table(&mut pages).unwrap();
    let kinds: Vec<_> = read.iter().map(|entry| entry.cert_type.clone()).collect();
    assert_eq!(kinds, [CertType::VCEK, CertType::ASK, CertType::ARK]);
    assert_eq!(read[0].data, chain.vcek);
    assert_eq!(read[2].data, chain.ark);
}

#[test]
fn the_committed_root_and_list_are_what_it_makes() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../resources/emulated-sp/");
    let committed = |name: &str| std::fs::read(format!("{directory}{name}")).unwrap();
    let again = "run `cargo run -p ravelin-sp-model --example publish resources/emulated-sp`";
    assert_eq!(committed("ark.der"), certificates::certificates().unwrap().ark, "{again}");
    assert_eq!(committed("ark.crl"), certificates::revocation_list().unwrap(), "{again}");
}
