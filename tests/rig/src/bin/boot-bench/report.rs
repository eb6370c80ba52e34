//! What the boots came to: medians, and Ravelin beside QEMU.

use crate::boot::Sample;
use crate::vmm::Vmm;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// Most KiB that Ravelin may hold beyond guest memory.
const MOST_RESIDENT_KIB: u64 = 5 << 10;

/// The object of `--json`. Ratios are Ravelin's to QEMU's: below 1 Ravelin is ahead.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: &'static str,
    kernel: String,
    memory_mib: u64,
    runs: u32,
    contenders: Vec<Contender>,
    /// On platform none.
    time_ratio: f64,
    resident_ratio: f64,
    /// On platform emulated.
    time_ratio_emulated: f64,
    resident_ratio_emulated: f64,
}

/// One VMM's part.
#[derive(Debug, Serialize)]
pub(crate) struct Contender {
    vmm: &'static str,
    /// From exec to the first line of user space: median, least and most, in milliseconds.
    user_space_ms: f64,
    least_ms: f64,
    most_ms: f64,
    /// Resident memory beyond guest memory, the median.
    resident_kib: u64,
}

impl Contender {
    /// What these boots, at least one, came to.
    pub(crate) fn new(vmm: Vmm, samples: &[Sample]) -> Self {
        let times = samples.iter().map(|sample| sample.time.as_secs_f64() * 1e3);
        let least_ms = times.clone().fold(f64::INFINITY, f64::min);
        let most_ms = times.clone().fold(0.0, f64::max);
        let resident = samples.iter().map(|sample| sample.resident_kib as f64);
        let (user_space_ms, resident_kib) = (median(times), median(resident) as u64);
        Self { vmm: vmm.name(), user_space_ms, least_ms, most_ms, resident_kib }
    }
}

impl Report {
    /// The report on all contenders.
    pub(crate) fn new(kernel: &Path, memory_mib: u64, runs: u32, all: Vec<Contender>) -> Self {
        let of = |vmm: Vmm| {
            let found = all.iter().find(|contender| contender.vmm == vmm.name());
            found.map_or((f64::NAN, f64::NAN), |c| (c.user_space_ms, c.resident_kib as f64))
        };
        let (none, emulated) = (of(Vmm::Ravelin), of(Vmm::RavelinEmulated));
        let qemu = of(Vmm::QemuMicrovm);
        Self {
            schema: "ravelin.boot-bench/1",
            kernel: kernel.display().to_string(),
            memory_mib,
            runs,
            time_ratio: none.0 / qemu.0,
            resident_ratio: none.1 / qemu.1,
            time_ratio_emulated: emulated.0 / qemu.0,
            resident_ratio_emulated: emulated.1 / qemu.1,
            contenders: all,
        }
    }

    /// Whether Ravelin is ahead in both on platform none, and within its bound on either.
    pub(crate) fn is_ahead(&self) -> bool {
        let ravelin =
            self.contenders.iter().filter(|contender| contender.vmm.starts_with("ravelin"));
        let within =
            ravelin.map(|contender| contender.resident_kib).max() <= Some(MOST_RESIDENT_KIB);
        within && self.time_ratio < 1.0 && self.resident_ratio < 1.0
    }

    /// The report as one JSON object.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| {
            // Strings and numbers always have a JSON form.
            unreachable!("a report without a JSON form: {error}")
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, memory_mib, runs, .. } = self;
        writeln!(f, "{kernel}, {memory_mib} MiB, 1 vCPU, {runs} boots each, medians")?;
        writeln!(f, "{:<18}{:>14}{:>18}{:>12}", "", "user space", "(least, most)", "resident")?;
        for Contender { vmm, user_space_ms, least_ms, most_ms, resident_kib } in &self.contenders {
            let span = format!("({least_ms:.0}, {most_ms:.0})");
            writeln!(f, "{vmm:<18}{user_space_ms:>11.0} ms{span:>18}{resident_kib:>8} KiB")?;
        }
        let (none, emulated) = (self.time_ratio, self.time_ratio_emulated);
        writeln!(f, "time, Ravelin to QEMU: {none:.2} on none, {emulated:.2} on emulated")?;
        let (none, emulated) = (self.resident_ratio, self.resident_ratio_emulated);
        writeln!(f, "resident, Ravelin to QEMU: {none:.2} on none, {emulated:.2} on emulated")
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn contender(vmm: Vmm, times: &[u64], resident_kib: u64) -> Contender {
        let sample = |ms: &u64| Sample { time: Duration::from_millis(*ms), resident_kib };
        Contender::new(vmm, &times.iter().map(sample).collect::<Vec<_>>())
    }

    fn report(ravelin: u64, resident: u64) -> Report {
        let contenders = vec![
            contender(Vmm::Ravelin, &[9000, ravelin, 1], resident),
            contender(Vmm::QemuMicrovm, &[100, 200], 30_000),
            contender(Vmm::RavelinEmulated, &[300], 4000),
        ];
        Report::new(Path::new("/vmlinuz"), 256, 3, contenders)
    }

    #[test]
    fn ratios_are_of_medians_and_ahead_is_ahead_in_both() {
        let ahead = report(120, 3000);
        assert_eq!((ahead.time_ratio, ahead.resident_ratio), (0.8, 0.1));
        assert_eq!(ahead.time_ratio_emulated, 2.0);
        assert!(ahead.is_ahead());
        assert!(!report(160, 3000).is_ahead(), "later");
        assert!(!report(120, 6000).is_ahead(), "beyond its bound");
    }
}
