//! Chains and revocation lists: what stands, and what each broken rule is refused for.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use ravelin_verifier::x509::Certificate;
use ravelin_verifier::x509::crl::{self, Revocation, RevocationList};
use ravelin_verifier::x509::path::{Error, Path};
use support::authority::{Party, Terms, issue, raw_extension, revoke};
use support::time;

const NOW: &str = "2025-01-01T00:00:00Z";

struct Chain {
    root: (Party, Certificate),
    middle: (Party, Certificate),
    end: (Party, Certificate),
}

impl Chain {
    fn new(middle_terms: &Terms, end_terms: &Terms) -> Chain {
        let root = Party::new("CN=root", 1);
        let middle = Party::new("CN=middle", 2);
        let end = Party::new("CN=end", 3);
        Chain {
            root: (root.clone(), issue(&root, &root, &Terms::authority())),
            middle: (middle.clone(), issue(&root, &middle, middle_terms)),
            end: (end.clone(), issue(&middle, &end, end_terms)),
        }
    }

    fn good() -> Chain {
        Chain::new(&Terms::authority(), &Terms::signer())
    }

    fn certificates(&self) -> [Certificate; 2] {
        [self.end.1.clone(), self.middle.1.clone()]
    }

    fn verify(&self) -> Result<(), Error> {
        Path::new(&self.certificates(), &self.root.1)?.verify()
    }

    fn revocation(&self, lists: &[RevocationList], at: &str) -> Revocation {
        let certificates = self.certificates();
        crl::check(&Path::new(&certificates, &self.root.1).unwrap(), 0, lists, time(at))
    }
}

#[test]
fn a_good_chain_stands_with_and_without_its_root() {
    let chain = Chain::good();
    chain.verify().unwrap();
    let mut with_root = chain.certificates().to_vec();
    with_root.push(chain.root.1.clone());
    Path::new(&with_root, &chain.root.1).unwrap().verify().unwrap();
}

#[test]
fn another_root_is_unknown_even_under_the_same_name() {
    let chain = Chain::good();
    let impostor = Party::new("CN=root", 9);
    let impostor = issue(&impostor, &impostor, &Terms::authority());
    let certificates = chain.certificates();
    let error = Path::new(&certificates, &impostor).unwrap().verify().unwrap_err();
    assert!(matches!(error, Error::Signature { .. }), "{error}");
    // The chain brings its own root along.
    let mut with_root = certificates.to_vec();
    with_root.push(chain.root.1.clone());
    let error = Path::new(&with_root, &impostor).err().unwrap();
    assert!(matches!(error, Error::UnknownRoot { .. }), "{error}");
    let stranger = Party::new("CN=stranger", 9);
    let stranger = issue(&stranger, &stranger, &Terms::authority());
    let error = Path::new(&certificates, &stranger).err().unwrap();
    assert!(matches!(error, Error::UnknownRoot { .. }), "{error}");
    assert!(matches!(Path::new(&[], &stranger), Err(Error::Empty)));
}

#[test]
fn an_end_certificate_cannot_issue() {
    let error = Chain::new(&Terms::signer(), &Terms::signer()).verify().unwrap_err();
    assert!(matches!(error, Error::NotAnIssuer { .. }), "{error}");
}

#[test]
fn an_authority_without_key_cert_sign_cannot_issue() {
    let mut terms = Terms::authority();
    terms.extensions[1] = Terms::signer().extensions.remove(0);
    let error = Chain::new(&terms, &Terms::signer()).verify().unwrap_err();
    assert!(matches!(error, Error::NotAnIssuer { .. }), "{error}");
}

#[test]
fn a_path_length_is_kept() {
    let root = Party::new("CN=root", 1);
    let mut terms = Terms::authority();
    // CA true, path length 0: nothing but end certificates below.
    terms.extensions[0] = raw_extension("2.5.29.19", true, &[0x30, 6, 1, 1, 0xff, 2, 1, 0]);
    let pinned = issue(&root, &root, &terms);
    let chain = Chain::good();
    let error = Path::new(&chain.certificates(), &pinned).unwrap().verify().unwrap_err();
    assert!(matches!(error, Error::NotAnIssuer { .. }), "{error}");
}

#[test]
fn an_unknown_critical_extension_is_refused() {
    for (critical, good) in [(false, true), (true, false)] {
        let mut terms = Terms::signer();
        terms.extensions.push(raw_extension("1.2.3.4", critical, &[5, 0]));
        assert_eq!(Chain::new(&Terms::authority(), &terms).verify().is_ok(), good);
    }
}

#[test]
fn an_extension_may_come_only_once() {
    let mut terms = Terms::signer();
    terms.extensions.push(terms.extensions[0].clone());
    let error = Chain::new(&Terms::authority(), &terms).verify().unwrap_err();
    assert!(matches!(error, Error::Extension { .. }), "{error}");
}

#[test]
fn an_end_certificate_that_may_not_sign_is_refused() {
    let error = Chain::new(&Terms::authority(), &Terms::authority()).verify().unwrap_err();
    assert!(matches!(error, Error::NotASigner { .. }), "{error}");
}

#[test]
fn the_order_of_a_chain_matters() {
    let chain = Chain::good();
    let [end, middle] = chain.certificates();
    assert!(Path::new(&[middle, end], &chain.root.1).and_then(|path| path.verify()).is_err());
}

#[test]
fn every_certificate_must_be_valid_at_the_time() {
    for late in [true, false] {
        for place in 0..2 {
            let mut terms = [Terms::authority(), Terms::signer()];
            match late {
                true => terms[place].to = "2024-12-31T23:59:59Z",
                false => terms[place].from = "2025-01-01T00:00:01Z",
            }
            let chain = Chain::new(&terms[0], &terms[1]);
            chain.verify().unwrap();
            let certificates = chain.certificates();
            let path = Path::new(&certificates, &chain.root.1).unwrap();
            assert!(path.verify_time(time(NOW)).is_err());
        }
    }
    let chain = Chain::good();
    let certificates = chain.certificates();
    Path::new(&certificates, &chain.root.1).unwrap().verify_time(time(NOW)).unwrap();
}

const FROM: &str = "2024-12-01T00:00:00Z";
const TO: &str = "2025-02-01T00:00:00Z";

#[test]
fn each_certificate_needs_a_list_of_its_own_issuer() {
    let chain = Chain::good();
    let by_root = || revoke(&chain.root.1, &chain.root.0, &[], FROM, TO);
    let by_middle = || revoke(&chain.middle.1, &chain.middle.0, &[99], FROM, TO);
    assert!(matches!(chain.revocation(&[], NOW), Revocation::Unknown { .. }));
    assert!(matches!(chain.revocation(&[by_root()], NOW), Revocation::Unknown { .. }));
    assert!(matches!(chain.revocation(&[by_middle()], NOW), Revocation::Unknown { .. }));
    assert!(matches!(chain.revocation(&[by_root(), by_middle()], NOW), Revocation::Good(2)));
}

#[test]
fn a_revoked_certificate_is_revoked_at_each_place_and_outweighs_unknown() {
    let chain = Chain::good();
    let end = revoke(&chain.middle.1, &chain.middle.0, &[1, 7], FROM, TO);
    assert!(matches!(chain.revocation(&[end], NOW), Revocation::Revoked(who) if who == "CN=end"));
    let middle = revoke(&chain.root.1, &chain.root.0, &[7], FROM, TO);
    let found = chain.revocation(&[middle], NOW);
    assert!(matches!(found, Revocation::Revoked(who) if who == "CN=middle"));
}

#[test]
fn a_list_counts_only_while_it_is_current_and_only_from_its_issuer() {
    let chain = Chain::good();
    let by_root = || revoke(&chain.root.1, &chain.root.0, &[], FROM, TO);
    let by_middle = |signer: &Party| revoke(&chain.middle.1, signer, &[], FROM, TO);
    for at in ["2024-11-30T00:00:00Z", "2025-02-01T00:00:01Z"] {
        let found = chain.revocation(&[by_root(), by_middle(&chain.middle.0)], at);
        assert!(matches!(found, Revocation::Unknown { .. }), "{found}");
    }
    let forged = chain.revocation(&[by_root(), by_middle(&chain.end.0)], NOW);
    assert!(matches!(forged, Revocation::Unknown { .. }), "{forged}");
}

#[test]
fn a_pem_file_may_hold_nothing_but_certificates() {
    let device = include_bytes!("../roots/nvidia-device-root.pem");
    assert_eq!(Certificate::chain_from_pem(device).unwrap().len(), 1);
    let twice = [device.as_slice(), device.as_slice()].concat();
    assert_eq!(Certificate::chain_from_pem(&twice).unwrap().len(), 2);
    let around = [b"hello\n".as_slice(), device].concat();
    assert!(Certificate::chain_from_pem(&around).is_err());
    assert!(Certificate::chain_from_pem(b"").is_err());
    assert!(Certificate::chain_from_pem(&device[..device.len() - 30]).is_err());
}
