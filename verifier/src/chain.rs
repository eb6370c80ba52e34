//! A chain of certificates as three checks: up to the pinned root, in time, not revoked. Every kind
//! of evidence asks the same three of its chains; only the codes differ.

use der::DateTime;

use crate::policy::{Policy, Revoked};
use crate::result::Checks;
use crate::x509::Certificate;
use crate::x509::crl::{self, Revocation, RevocationList};
use crate::x509::path::Path;

/// The codes of the three checks.
pub(crate) struct Codes {
    /// Signatures, names and constraints, up to the root.
    pub(crate) chain: &'static str,
    /// Validity at the time of judging.
    pub(crate) time: &'static str,
    /// Revocation, by the policy.
    pub(crate) revocation: &'static str,
}

/// The codes for the chain of a device.
pub(crate) const DEVICE: Codes = Codes {
    chain: "certificate-chain",
    time: "certificate-time",
    revocation: "certificate-revocation",
};

/// What a chain is held against.
pub(crate) struct Against<'a> {
    /// The pinned root.
    pub(crate) root: &'a Certificate,
    /// How many certificates, from the end, have issuers that publish no list.
    pub(crate) without_a_list: usize,
    /// Revocation lists at hand.
    pub(crate) lists: &'a [RevocationList],
    /// The time to judge at.
    pub(crate) at: DateTime,
}

/// Makes the three checks on a chain, end certificate first. Whether the first one passed, and so
/// whether the chain says who its end is.
pub(crate) fn judge(
    codes: &Codes,
    certificates: &[Certificate],
    against: &Against<'_>,
    policy: &Policy,
    checks: &mut Checks,
) -> bool {
    let path =
        match Path::new(certificates, against.root).and_then(|path| path.verify().map(|()| path)) {
            Ok(path) => path,
            Err(error) => {
                checks.fail(codes.chain, error.to_string());
                for code in [codes.time, codes.revocation] {
                    checks.unmade(code, true, format!("not reached: {} failed", codes.chain));
                }
                return false;
            }
        };
    let end = certificates.first().map(|end| end.subject().to_string()).unwrap_or_default();
    checks.pass(codes.chain, format!("{end} to {}", against.root.subject()));
    match path.verify_time(against.at) {
        Ok(()) => checks.pass(codes.time, format!("all valid at {}", against.at)),
        Err(error) => checks.fail(codes.time, error.to_string()),
    }
    let revocation = crl::check(&path, against.without_a_list, against.lists, against.at);
    let detail = revocation.to_string();
    match revocation {
        Revocation::Good(_) => checks.pass(codes.revocation, detail),
        Revocation::Revoked(_) => checks.fail(codes.revocation, detail),
        Revocation::Unknown { .. } => {
            checks.unmade(codes.revocation, policy.revocation == Revoked::AllowUnknown, detail);
        }
    }
    true
}
