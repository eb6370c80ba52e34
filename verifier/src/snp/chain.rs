//! From the key that signed a report to AMD's root: VCEK (the chip's key) by way of the ASK, or VLEK
//! (a provider's key) by way of the ASVK (AMD 57230, VCEK and VLEK certificates).
//!
//! ARK and ASK of Milan, Genoa and Turin are built in, through the `sev` crate; the ASVK must be
//! given with a VLEK. The root of the emulated AMD-SP is known too: what it signs is refused unless the
//! relying party accepts it by name, whichever root it pins.

use der::Decode;
use der::asn1::{Ia5StringRef, ObjectIdentifier};
use sev::certs::snp::builtin;

use super::References;
use super::report::{Product, Report, ReportedProduct};
use crate::chain::{self, Against};
use crate::policy::Policy;
use crate::result::Checks;
use crate::roots::{self, single};
use crate::x509::crl::RevocationList;
use crate::x509::{Certificate, Error, Printable};

/// Check that the report is a processor's, or that the relying party does not mind.
const EMULATED: &str = "emulated-platform";

const PRODUCT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.2");
const HARDWARE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.4");
/// VCEKs and VLEKs appear on no list of the ASK or ASVK: AMD publishes one list for each product,
/// signed by the ARK, and a VCEK is retired by the TCB that it is bound to.
const WITHOUT_A_LIST: usize = 1;

/// The kind of key that signs reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Versioned chip endorsement key.
    Vcek,
    /// Versioned loaded endorsement key.
    Vlek,
}

impl KeyKind {
    /// Its name, as in policies.
    pub fn name(self) -> &'static str {
        match self {
            KeyKind::Vcek => "vcek",
            KeyKind::Vlek => "vlek",
        }
    }

    fn common_name(self) -> &'static str {
        match self {
            KeyKind::Vcek => "SEV-VCEK",
            KeyKind::Vlek => "SEV-VLEK",
        }
    }

    /// SIGNING_KEY of a report's KEY_INFO.
    fn from_field(number: u32) -> Option<KeyKind> {
        match number {
            0 => Some(KeyKind::Vcek),
            1 => Some(KeyKind::Vlek),
            _ => None,
        }
    }
}

/// A chain put together, the signing key's certificate first; not yet judged.
pub struct Chain {
    kind: KeyKind,
    product: Product,
    certificates: Vec<Certificate>,
    root: Certificate,
    /// Whether the root is that of the emulated AMD-SP.
    emulated: bool,
}

impl Chain {
    /// Puts the chain for a report together from what was given and what is built in.
    pub(super) fn build(
        report: &Report,
        given: &[Certificate],
        references: &References,
        checks: &mut Checks,
    ) -> Option<Chain> {
        const CODE: &str = "signing-key";
        let number = report.fields().key_info.signing_key();
        let Some(kind) = KeyKind::from_field(number) else {
            checks.fail(CODE, format!("the report is not signed: SIGNING_KEY is {number}"));
            return None;
        };
        // A folder may hold the certificates of many hosts: the one whose key signed is meant.
        let named = || given.iter().filter(|c| c.common_name() == kind.common_name());
        let signer = named().find(|c| report.verify(c).is_ok()).or_else(|| named().next());
        let Some(signer) = signer.cloned() else {
            checks.fail(CODE, format!("no {} certificate was given", kind.common_name()));
            return None;
        };
        let Some(product) = product(&signer) else {
            checks.fail(CODE, "its certificate names no product that is known");
            return None;
        };
        checks.pass(CODE, format!("{} of {}", kind.name(), product.name()));
        let built_in = built_in(product).map_err(|error| {
            checks.fail(chain::DEVICE.chain, error.to_string());
        });
        let (ark, ask) = built_in.ok()?;
        let issuer = given.iter().chain([&ask]).find(|other| signer.names_issuer(other)).cloned();
        let top = issuer.as_ref().unwrap_or(&signer);
        let emulated_root = roots::emulated().map_err(|error| {
            checks.fail(EMULATED, error.to_string());
        });
        let emulated_root = emulated_root.ok()?;
        let emulated = top.names_issuer(&emulated_root);
        judge_emulated(emulated, references, checks);
        let known = if emulated { emulated_root } else { ark };
        let root = references.root.clone().unwrap_or(known);
        let mut certificates = vec![signer];
        if let Some(signer) = certificates.first()
            && !signer.names_issuer(&root)
        {
            certificates.extend(issuer);
        }
        Some(Chain { kind, product, certificates, root, emulated })
    }

    /// The certificate of the signing key.
    pub(super) fn signer(&self) -> Option<&Certificate> {
        self.certificates.first()
    }

    /// The processor that the certificates are for.
    pub(super) fn product(&self) -> Product {
        self.product
    }

    /// Judges the chain, the report's signature, and what ties the one to the other.
    pub(super) fn judge(
        &self,
        report: &Report,
        references: &References,
        policy: &Policy,
        checks: &mut Checks,
    ) {
        if let Some(accepted) = &policy.snp.signing_keys {
            checks.judge(
                "signing-key-kind",
                accepted.iter().any(|name| name.eq_ignore_ascii_case(self.kind.name())),
                format!("{}; accepted: {}", self.kind.name(), accepted.join(", ")),
            );
        }
        if let Some(accepted) = &policy.snp.products {
            let name = self.product.name();
            checks.judge(
                "product",
                accepted.iter().any(|other| other.eq_ignore_ascii_case(name)),
                format!("{name}; accepted: {}", accepted.join(", ")),
            );
        }
        // The emulated root's own list comes with the verifier, as its certificate does.
        let own = match self.emulated && references.revocation_lists.is_empty() {
            true => roots::emulated_list().ok(),
            false => None,
        };
        let own: Vec<RevocationList> = own.into_iter().collect();
        let against = Against {
            root: &self.root,
            without_a_list: WITHOUT_A_LIST,
            lists: if own.is_empty() { &references.revocation_lists } else { &own },
            at: references.at,
        };
        chain::judge(&chain::DEVICE, &self.certificates, &against, policy, checks);
        match self.signer().map(|signer| report.verify(signer)) {
            Some(Ok(())) => {
                checks.pass("report-signature", "ECDSA P-384 over SHA-384, by the signing key");
            }
            Some(Err(error)) => checks.fail("report-signature", error.to_string()),
            None => checks.fail("report-signature", "there is no certificate"),
        }
        self.judge_product(report, checks);
        self.judge_chip(report, policy, checks);
    }

    fn judge_product(&self, report: &Report, checks: &mut Checks) {
        let good = match report.product() {
            ReportedProduct::Named(product) => product == self.product,
            ReportedProduct::Unnamed { like_turin } => {
                like_turin == (self.product == Product::Turin)
            }
        };
        let detail =
            format!("certificate of {}, report: {}", self.product.name(), report.product());
        checks.judge("certificate-product", good, detail);
    }

    /// A VCEK certificate names its chip; a VLEK belongs to a provider and names none.
    fn judge_chip(&self, report: &Report, policy: &Policy, checks: &mut Checks) {
        const CODE: &str = "certificate-chip";
        let chip = report.fields().chip_id;
        if chip.iter().all(|byte| *byte == 0) {
            return checks.unmade(
                CODE,
                policy.snp.masked_chip_id_allowed,
                "the host hides the chip's id from its reports",
            );
        }
        if self.kind == KeyKind::Vlek {
            return checks.pass(CODE, "a VLEK is a provider's and names no chip");
        }
        let certified =
            self.signer().and_then(|signer| signer.extension(HARDWARE_ID)).unwrap_or_default();
        let (head, rest) = chip.split_at_checked(certified.len()).unwrap_or_default();
        checks.judge(
            CODE,
            certified.len() >= 8 && head == certified && rest.iter().all(|byte| *byte == 0),
            format!("certificate {}, report {}", hex::encode(certified), hex::encode(chip)),
        );
    }
}

/// Whether a report that no processor has made is accepted.
fn judge_emulated(emulated: bool, references: &References, checks: &mut Checks) {
    let (good, detail) = match (emulated, references.accept_emulated) {
        (false, _) => (true, "not signed below the root of the emulated AMD-SP"),
        (true, true) => (true, "EMULATED, accepted by name: no processor protects this guest"),
        (true, false) => {
            (false, "EMULATED: no processor protects this guest (--accept-emulated for tests)")
        }
    };
    checks.judge(EMULATED, good, detail);
}

/// The product that a VCEK or VLEK certificate names, such as `Milan-B0`.
fn product(signer: &Certificate) -> Option<Product> {
    let name = Ia5StringRef::from_der(signer.extension(PRODUCT_NAME)?).ok()?;
    let name = Printable(name.to_string()).to_string();
    let name = name.split('-').next()?;
    Product::ALL.into_iter().find(|product| product.name() == name)
}

/// AMD's root and the ASK of a product.
fn built_in(product: Product) -> Result<(Certificate, Certificate), Error> {
    let (ark, ask) = match product {
        Product::Milan => (builtin::milan::ARK, builtin::milan::ASK),
        Product::Genoa => (builtin::genoa::ARK, builtin::genoa::ASK),
        Product::Turin => (builtin::turin::ARK, builtin::turin::ASK),
    };
    Ok((single(ark)?, single(ask)?))
}
