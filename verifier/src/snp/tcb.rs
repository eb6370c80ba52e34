//! The security version numbers of the processor's firmware: those that the signing key was derived
//! from, those that the report gives, and those that the relying party asks for.
//!
//! A report has four: the *reported* one is what the signing key is bound to, the *committed* one
//! cannot be rolled back, the *current* one is running, the *launch* one ran when the guest began.

use der::Decode;
use der::asn1::ObjectIdentifier;
use sev::firmware::host::TcbVersion;

use super::chain::Chain;
use super::report::{Product, Report};
use crate::policy::{FirmwareVersion, Policy, TcbFloor};
use crate::result::Checks;
use crate::x509::Certificate;

const BOOTLOADER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.1");
const TEE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.2");
const SNP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.3");
const MICROCODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.8");
const FMC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.9");

/// Judges all of them.
pub(super) fn judge(report: &Report, chain: &Chain, policy: &Policy, checks: &mut Checks) {
    let fields = report.fields();
    let certified = chain.signer().and_then(|signer| certified(signer, chain.product()));
    checks.judge(
        "certificate-tcb",
        certified == Some(fields.reported_tcb),
        format!(
            "certificate {}, reported {}",
            certified.map_or("names none".into(), |tcb| text(&tcb)),
            text(&fields.reported_tcb)
        ),
    );
    checks.judge(
        "tcb-order",
        at_least(&fields.committed_tcb, &fields.reported_tcb)
            && at_least(&fields.current_tcb, &fields.committed_tcb)
            && fields.current >= fields.committed,
        format!(
            "reported {}, committed {}, current {}; firmware committed {}, current {}",
            text(&fields.reported_tcb),
            text(&fields.committed_tcb),
            text(&fields.current_tcb),
            fields.committed,
            fields.current,
        ),
    );
    judge_floor(report, &policy.snp.minimum_tcb, checks);
    if let Some(floor) = policy.snp.minimum_firmware {
        let version = |v: sev::firmware::guest::Version| FirmwareVersion {
            major: v.major,
            minor: v.minor,
            build: v.build,
        };
        checks.judge(
            "firmware-floor",
            version(fields.committed) >= floor && version(fields.current) >= floor,
            format!(
                "committed {}, current {}, floor {}.{}.{}",
                fields.committed, fields.current, floor.major, floor.minor, floor.build
            ),
        );
    }
}

fn judge_floor(report: &Report, floor: &TcbFloor, checks: &mut Checks) {
    const CODE: &str = "tcb-floor";
    if *floor == TcbFloor::default() {
        return checks.unmade(CODE, true, "the policy sets no floor");
    }
    let fields = report.fields();
    let all = [
        ("reported", &fields.reported_tcb),
        ("committed", &fields.committed_tcb),
        ("current", &fields.current_tcb),
        ("launch", &fields.launch_tcb),
    ];
    let floor = TcbVersion::new(
        (floor.fmc > 0).then_some(floor.fmc),
        floor.bootloader,
        floor.tee,
        floor.snp,
        floor.microcode,
    );
    let below: Vec<String> = all
        .iter()
        .filter(|(_, tcb)| !at_least(tcb, &floor))
        .map(|(name, tcb)| format!("{name} {}", text(tcb)))
        .collect();
    checks.judge(
        CODE,
        below.is_empty(),
        match below.len() {
            0 => format!("all four at or above {}", text(&floor)),
            _ => format!("{} below {}", below.join(", "), text(&floor)),
        },
    );
}

/// Whether every component is at least the floor's.
fn at_least(tcb: &TcbVersion, floor: &TcbVersion) -> bool {
    tcb.fmc.unwrap_or(0) >= floor.fmc.unwrap_or(0)
        && tcb.bootloader >= floor.bootloader
        && tcb.tee >= floor.tee
        && tcb.snp >= floor.snp
        && tcb.microcode >= floor.microcode
}

fn text(tcb: &TcbVersion) -> String {
    let fmc = tcb.fmc.map_or(String::new(), |fmc| format!("fmc {fmc} "));
    format!(
        "({fmc}bootloader {} tee {} snp {} microcode {})",
        tcb.bootloader, tcb.tee, tcb.snp, tcb.microcode
    )
}

/// The TCB in a VCEK's or VLEK's extensions.
fn certified(signer: &Certificate, product: Product) -> Option<TcbVersion> {
    let number = |oid| u8::from_der(signer.extension(oid)?).ok();
    let fmc = match product {
        Product::Turin => Some(number(FMC)?),
        Product::Milan | Product::Genoa => None,
    };
    Some(TcbVersion::new(fmc, number(BOOTLOADER)?, number(TEE)?, number(SNP)?, number(MICROCODE)?))
}
