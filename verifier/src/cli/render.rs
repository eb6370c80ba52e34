//! A verdict for a person: a line for each check, a line for each device, a line for the whole.

use std::fmt::Write;

use super::explain;
use crate::result::{Outcome, Verdict};

/// The verdict as text; with `explain`, each code's meaning where it first appears.
pub(super) fn verdict(verdict: &Verdict, explain: bool) -> String {
    let mut text = String::new();
    let mut explained = Vec::new();
    // Writing to a String cannot fail.
    for (number, device) in verdict.devices.iter().enumerate() {
        let identity =
            if device.identity.is_empty() { "identity not known" } else { &device.identity };
        let _ = writeln!(text, "device {}: {} {identity}", number + 1, device.kind);
        for check in &device.checks {
            let result = match check.result {
                Outcome::Pass => "pass",
                Outcome::Fail => "FAIL",
                Outcome::Skipped => "skip",
            };
            let reason = check.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            let _ = writeln!(text, "  {result}  {}{reason}: {}", check.code, check.detail);
            for code in [Some(check.code), check.reason].into_iter().flatten() {
                if explain && !explained.contains(&code) {
                    explained.push(code);
                    let _ = writeln!(text, "        {}", explain::meaning(code));
                }
            }
        }
        let _ = writeln!(text, "  {}", trusted(device.trusted));
    }
    let count = verdict.devices.len();
    let good = verdict.devices.iter().filter(|device| device.trusted).count();
    let _ = writeln!(text, "{}: {good} of {count} devices", trusted(verdict.trusted));
    text
}

fn trusted(trusted: bool) -> &'static str {
    if trusted { "trusted" } else { "NOT TRUSTED" }
}
