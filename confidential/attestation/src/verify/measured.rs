//! What does the GPU say about itself, is it to us, and is it good enough? The questions that
//! signed measurements answer, once it is known whose key signs.

use crate::check::{Check, Examination, Finding, Hex};
use crate::evidence::{Claims, Evidence, Freshness};
use crate::{Code, Policy, ReferenceValues};
use ravelin_dice::{Component, Leaf, Mode, firmware_id};
use ravelin_spdm::measurements::TranscriptError;

/// What the attestation key's owner says: signed, and of the profile.
pub(super) fn said<S: FnMut(&Finding<'_>)>(
    examination: &mut Examination<'_, S>,
    evidence: &Evidence,
    leaf: &Leaf,
) -> Result<Claims, Code> {
    let malformed = Code::MalformedEvidence;
    let measurements = match evidence.measurements.verify(&leaf.public_key) {
        Ok(measurements) => measurements,
        Err(TranscriptError::BadSignature) => {
            let compared = format_args!("not the signature of the attestation key");
            return Err(examination.fail(Check::ReportSignature, Code::BadSignature, compared));
        }
        Err(error) => {
            let compared = format_args!("{error}");
            return Err(examination.fail(Check::MeasurementsFormat, malformed, compared));
        }
    };
    examination.pass(Check::ReportSignature, format_args!("by the attestation key"));
    let count = measurements.blocks.len();
    match Claims::read(&measurements) {
        Some(claims) => {
            examination.pass(Check::MeasurementsFormat, format_args!("{count} blocks"));
            Ok(claims)
        }
        None => {
            let compared = format_args!("{count} blocks, not those of the profile");
            Err(examination.fail(Check::MeasurementsFormat, malformed, compared))
        }
    }
}

/// The answer is to our challenge.
pub(super) fn fresh<S: FnMut(&Finding<'_>)>(
    examination: &mut Examination<'_, S>,
    claims: &Claims,
    expected: &Freshness,
) {
    let (found, ours) = (Hex(&claims.nonce), Hex(expected.nonce()));
    let good = claims.nonce == *expected.nonce();
    let compared = format_args!("answers {found}; nonce and key exchange make {ours}");
    examination.judge(Check::Nonce, good, Code::NonceMismatch, compared);
}

/// The measurements and the certificate were made by the same boot: they agree on everything that
/// both speak of.
pub(super) fn consistent<S: FnMut(&Finding<'_>)>(
    examination: &mut Examination<'_, S>,
    claims: &Claims,
    leaf: &Leaf,
) {
    let (measured, tcb) = (firmware_id(&claims.components), &leaf.tcb);
    let agree = measured == tcb.firmware_id
        && claims.security.svn == tcb.svn
        && claims.svn == tcb.svn
        && claims.security.flags() == tcb.flags;
    let compared = format_args!(
        "measured firmware {} of security version {}; the certificate says {} of {}",
        Hex(&measured),
        claims.svn,
        Hex(&tcb.firmware_id),
        tcb.svn
    );
    examination.judge(Check::MeasuredBoot, agree, Code::MeasurementMismatch, compared);
}

/// The maker vouches for this firmware, digest by digest. What a device claims for its security
/// version counts only if the maker gave it that one.
pub(super) fn known<S: FnMut(&Finding<'_>)>(
    examination: &mut Examination<'_, S>,
    claims: &Claims,
    leaf: &Leaf,
    references: &ReferenceValues,
) {
    let (device, id) = (&leaf.device, &leaf.tcb.firmware_id);
    let Some(release) = references.release(&device.manufacturer, &device.product, id) else {
        let compared = format_args!(
            "{} is no release for {} {}",
            Hex(id),
            device.manufacturer,
            device.product
        );
        examination.fail(Check::Firmware, Code::FirmwareUnknown, compared);
        return;
    };
    examination.pass(Check::Firmware, format_args!("{}, release {}", Hex(id), release.version));
    let mismatch = Code::MeasurementMismatch;
    for component in Component::ALL {
        let at = component.position();
        let (Some(found), Some(published)) =
            (claims.components.get(at), release.components.get(at))
        else {
            continue;
        };
        let (check, index) = (Check::FirmwareMeasurement, Some(component.index()));
        let compared = format_args!("{component}: {}, published {}", Hex(found), Hex(published));
        examination.judge_one(check, index, found == published, mismatch, compared);
    }
    let (found, published) = (claims.security.svn, release.svn);
    let compared = format_args!("{found}, published {published}");
    examination.judge(Check::FirmwareSvn, found == published, mismatch, compared);
}

/// Mode, debug, protected region and security version, by policy.
pub(super) fn good_enough<S: FnMut(&Finding<'_>)>(
    examination: &mut Examination<'_, S>,
    claims: &Claims,
    policy: &Policy,
) {
    let security = &claims.security;
    let on = security.mode != Mode::Off;
    let mode = match security.mode {
        Mode::Off => "off",
        Mode::On => "on",
        Mode::Devtools => "devtools",
    };
    let allows = |allowed| if allowed { "the policy accepts off" } else { "off is refused" };
    let compared = format_args!("{mode}; {}", allows(policy.mode_off_allowed));
    examination.judge(Check::Mode, on || policy.mode_off_allowed, Code::ModeOff, compared);

    let open = security.flags().debug;
    let state = if open { "open" } else { "closed" };
    let allows = |allowed| if allowed { "the policy accepts open" } else { "open is refused" };
    let compared = format_args!("{state}; {}", allows(policy.debug_allowed));
    examination.judge(Check::Debug, !open || policy.debug_allowed, Code::DebugEnabled, compared);

    let (base, end) = (security.protected_base, security.protected_end);
    let compared = format_args!("from {base:#x} to {end:#x}");
    // In plain mode there is none.
    let protected = !on || base < end;
    examination.judge(Check::ProtectedRegion, protected, Code::NothingProtected, compared);

    let (svn, floor) = (security.svn, policy.svn_floor);
    let compared = format_args!("{svn}, floor {floor}");
    examination.judge(Check::SvnFloor, svn >= floor, Code::SvnBelowFloor, compared);
}
