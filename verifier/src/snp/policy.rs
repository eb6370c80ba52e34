//! The rest of a report against the relying party's policy: what was launched, who signed for it,
//! what the guest allows its host and what the platform is.

use sev::firmware::guest::{GuestPolicy, PlatformInfo};

use super::report::Report;
use crate::policy::{GuestPolicyBits, Hex, PlatformBits, Policy, Presence};
use crate::result::Checks;

/// Judges a report's fields by the policy.
pub(super) fn judge(report: &Report, policy: &Policy, checks: &mut Checks) {
    let fields = report.fields();
    let accepted = &policy.snp;
    match &accepted.measurements {
        Some(values) => judge_value("launch-measurement", &fields.measurement, values, checks),
        None => checks.unmade(
            "launch-measurement",
            policy.launch_measurement == Presence::Optional,
            format!(
                "the policy names no measurement (snp.measurements); the report has {}",
                hex::encode(fields.measurement)
            ),
        ),
    }
    judge_listed("host-data", &fields.host_data, &accepted.host_data, checks);
    judge_listed("family-id", &fields.family_id, &accepted.family_ids, checks);
    judge_listed("image-id", &fields.image_id, &accepted.image_ids, checks);
    judge_listed("id-key", &fields.id_key_digest, &accepted.id_key_digests, checks);
    judge_listed("author-key", &fields.author_key_digest, &accepted.author_key_digests, checks);
    judge_listed("chip-id", &fields.chip_id, &accepted.chip_ids, checks);
    checks.judge(
        "vmpl",
        fields.vmpl <= accepted.maximum_vmpl,
        format!("asked for at VMPL {}, at most {}", fields.vmpl, accepted.maximum_vmpl),
    );
    checks.judge(
        "guest-svn",
        fields.guest_svn >= accepted.minimum_guest_svn,
        format!("{}, floor {}", fields.guest_svn, accepted.minimum_guest_svn),
    );
    judge_guest_policy(fields.policy, &accepted.guest_policy, checks);
    judge_platform(fields.plat_info, &accepted.platform, checks);
    if accepted.required_mitigations != 0 {
        let needed = accepted.required_mitigations;
        let has = |vector: Option<u64>| vector.is_some_and(|vector| vector & needed == needed);
        checks.judge(
            "mitigations",
            has(fields.launch_mit_vector) && has(fields.current_mit_vector),
            format!(
                "launch {:x?}, current {:x?}, required {needed:#x}",
                fields.launch_mit_vector, fields.current_mit_vector
            ),
        );
    }
}

fn judge_listed<const N: usize>(
    code: &'static str,
    value: &[u8; N],
    accepted: &Option<Vec<Hex<N>>>,
    checks: &mut Checks,
) {
    if let Some(accepted) = accepted {
        judge_value(code, value, accepted, checks);
    }
}

fn judge_value<const N: usize>(
    code: &'static str,
    value: &[u8; N],
    accepted: &[Hex<N>],
    checks: &mut Checks,
) {
    let good = accepted.iter().any(|other| other.0 == *value);
    let is = if good { "is accepted" } else { "is none of the accepted values" };
    checks.judge(code, good, format!("{} {is}", hex::encode(value)));
}

/// A bit that may be set only if the policy allows it.
fn may(code: &'static str, set: bool, allowed: bool, checks: &mut Checks) {
    let detail = format!("{}; {}", on(set), if allowed { "allowed" } else { "must be off" });
    checks.judge(code, allowed || !set, detail);
}

/// A bit that must be set if the policy requires it.
fn must(code: &'static str, set: bool, required: bool, checks: &mut Checks) {
    if required {
        checks.judge(code, set, format!("{}; must be on", on(set)));
    }
}

fn on(set: bool) -> &'static str {
    if set { "on" } else { "off" }
}

fn judge_guest_policy(guest: GuestPolicy, bits: &GuestPolicyBits, checks: &mut Checks) {
    may("guest-policy-debug", guest.debug_allowed(), bits.debug_allowed, checks);
    may(
        "guest-policy-migration-agent",
        guest.migrate_ma_allowed(),
        bits.migration_agent_allowed,
        checks,
    );
    may("guest-policy-smt", guest.smt_allowed(), bits.smt_allowed, checks);
    may("guest-policy-cxl", guest.cxl_allowed(), bits.cxl_allowed, checks);
    let single = guest.single_socket_required();
    must("guest-policy-single-socket", single, bits.require_single_socket, checks);
    must("guest-policy-aes-256-xts", guest.mem_aes_256_xts(), bits.require_aes_256_xts, checks);
    must("guest-policy-rapl-disabled", guest.rapl_dis(), bits.require_rapl_disabled, checks);
    must(
        "guest-policy-ciphertext-hiding",
        guest.ciphertext_hiding(),
        bits.require_ciphertext_hiding,
        checks,
    );
    must(
        "guest-policy-page-swap-disabled",
        guest.page_swap_disabled(),
        bits.require_page_swap_disabled,
        checks,
    );
}

fn judge_platform(platform: PlatformInfo, bits: &PlatformBits, checks: &mut Checks) {
    may("platform-smt", platform.smt_enabled(), bits.smt_allowed, checks);
    may("platform-tio", platform.tio_enabled(), bits.tio_allowed, checks);
    must("platform-tsme", platform.tsme_enabled(), bits.require_tsme, checks);
    must("platform-ecc", platform.ecc_enabled(), bits.require_ecc, checks);
    must("platform-rapl-disabled", platform.rapl_disabled(), bits.require_rapl_disabled, checks);
    must(
        "platform-ciphertext-hiding",
        platform.ciphertext_hiding_enabled(),
        bits.require_ciphertext_hiding,
        checks,
    );
    must("platform-alias-check", platform.alias_check_complete(), bits.require_alias_check, checks);
}
