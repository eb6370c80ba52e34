//! A device of the host's: what we count ourselves, and what sysfs and `/proc/interrupts` have of it.

use super::{Administered, Refusal};
use crate::config::ModeSpec;
use crate::control::api::{
    Calls, DeviceErrors, Dma, GpuEvent, GpuInfo, GpuTelemetry, ModeChosen, PassedInfo,
    PassedTelemetry,
};
use ravelin_devices::vfio::device::{self, VfioDevice};
use ravelin_devices::vfio::dma::{Counters, Timed};
use ravelin_devices::vfio::events::{Event, Happening};
use ravelin_devices::vfio::sysfs::{Bdf, Sysfs};
use ravelin_gpu_model::ResetKind;
use serde_json::{Map, Value, json};
use std::error::Error;
use std::iter;

impl Administered for VfioDevice {
    fn info(&self, index: usize) -> GpuInfo {
        let (vendor, device) = self.ids();
        let telemetry = VfioDevice::telemetry(self);
        GpuInfo::Passed(PassedInfo {
            index,
            model: "vfio".into(),
            bdf: self.bdf().into(),
            ids: format!("{vendor:04x}:{device:04x}"),
            interface: self.interface().to_string(),
            status: status(telemetry.present).into(),
            resets: count(telemetry.resets),
            shown: self
                .shown()
                .iter()
                .map(|range| (range.start, range.end - range.start))
                .collect(),
        })
    }

    fn telemetry(&self, index: usize) -> GpuTelemetry {
        let telemetry = VfioDevice::telemetry(self);
        let host = self.bdf().parse().ok().map(|bdf| Host { sysfs: Sysfs::default(), bdf });
        let host = host.as_ref();
        let attribute = |name| host.and_then(|host| host.sysfs.attribute(host.bdf, name));
        GpuTelemetry::Passed(PassedTelemetry {
            index,
            bdf: self.bdf().into(),
            status: status(telemetry.present).into(),
            uptime_us: telemetry.uptime_us,
            resets: count(telemetry.resets),
            violations: telemetry.violations,
            access_failures: telemetry.failures,
            vectors: telemetry.vectors,
            interrupts: interrupts(self.bdf()),
            link_speed: attribute("current_link_speed")
                .filter(|speed| !speed.starts_with("Unknown")),
            link_width: attribute("current_link_width")
                .and_then(|width| width.parse().ok())
                .filter(|width| *width > 0),
            power_state: attribute("power_state"),
            errors: host.and_then(Host::errors),
            dma: dma(&telemetry.dma),
        })
    }

    fn events_after(&self, number: u64) -> Vec<GpuEvent> {
        let events = VfioDevice::events_after(self, number);
        let events = events.iter().map(|event| GpuEvent {
            number: event.number,
            at_us: event.at.as_micros() as u64,
            repeats: event.repeats,
            event: name(&event.what).into(),
            details: details(&event.what),
        });
        events.collect()
    }

    fn reset(&self, kind: ResetKind) -> Result<u32, Refusal> {
        let kind = match kind {
            ResetKind::Flr => device::ResetKind::Flr,
            ResetKind::Bus => device::ResetKind::Bus,
            ResetKind::Cold => {
                let message =
                    "a device of the host's is powered by the host: use --kind flr or bus";
                return Err(Refusal::Reset(message.into()));
            }
        };
        let done = VfioDevice::reset(self, kind);
        done.map(count).map_err(|error| Refusal::Reset(in_words(&error)))
    }

    fn set_mode(&self, _: ModeSpec) -> Result<ModeChosen, Refusal> {
        Err(Refusal::NoModes)
    }
}

/// An error and what caused it, in one line.
fn in_words(error: &dyn Error) -> String {
    let causes = iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What an IOMMU has mapped, and what that took.
pub fn dma(counters: &Counters) -> Dma {
    let calls = |timed: &Timed| Calls {
        calls: timed.calls,
        total_us: timed.total.as_micros() as u64,
        longest_us: timed.longest.as_micros() as u64,
    };
    Dma {
        mapped_bytes: counters.mapped_bytes,
        mappings: counters.mappings,
        limit: counters.limit,
        limit_reached: counters.limit_reached,
        owed_bytes: counters.owed_bytes,
        splits: counters.splits,
        failures: counters.failures,
        map: calls(&counters.map),
        unmap: calls(&counters.unmap),
    }
}

/// An event of a device, as a VM's log has it.
pub fn logged(gpu: usize, event: &Event) -> Value {
    let mut object = details(&event.what);
    object.insert("event".into(), format!("gpu_{}", name(&event.what)).into());
    object.insert("gpu".into(), gpu.into());
    Value::Object(object)
}

fn name(what: &Happening) -> &'static str {
    match what {
        Happening::Attached => "attached",
        Happening::Reset { .. } => "reset",
        Happening::ResetFailed { .. } => "reset_failed",
        Happening::Blocked { .. } => "blocked_access",
        Happening::Vanished => "vanished",
        Happening::Returned => "returned",
        Happening::ReleaseRequested => "release_requested",
    }
}

fn details(what: &Happening) -> Map<String, Value> {
    let details = match what {
        Happening::Reset { kind, guest } => {
            json!({ "kind": kind.to_string(), "by": if *guest { "guest" } else { "operator" } })
        }
        Happening::ResetFailed { kind } => json!({ "kind": kind.to_string() }),
        Happening::Blocked { bar, page, write } => {
            json!({ "bar": bar, "page": page, "write": write })
        }
        Happening::Attached
        | Happening::Vanished
        | Happening::Returned
        | Happening::ReleaseRequested => json!({}),
    };
    match details {
        Value::Object(details) => details,
        _ => Map::new(),
    }
}

fn status(present: bool) -> &'static str {
    if present { "present" } else { "vanished" }
}

fn count(number: u64) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}

/// A device in the host's sysfs.
struct Host {
    sysfs: Sysfs,
    bdf: Bdf,
}

impl Host {
    fn errors(&self) -> Option<DeviceErrors> {
        let total = |kind: &str| {
            let text = self.sysfs.attribute(self.bdf, &format!("aer_dev_{kind}"))?;
            total(&text)
        };
        Some(DeviceErrors {
            correctable: total("correctable")?,
            nonfatal: total("nonfatal")?,
            fatal: total("fatal")?,
        })
    }
}

/// The sum that the last line of an AER counter file has: `TOTAL_ERR_COR 0`.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("TOTAL_ERR"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Interrupts that VFIO has taken of a device, over all processors.
fn interrupts(bdf: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/interrupts").ok()?;
    interrupts_in(&text, bdf)
}

fn interrupts_in(text: &str, bdf: &str) -> Option<u64> {
    let name = format!("({bdf})");
    let lines = text.lines().filter(|line| line.contains("vfio-") && line.contains(&name));
    let counts = lines.map(|line| {
        let words = line.split_whitespace().skip(1);
        words.map_while(|word| word.parse::<u64>().ok()).sum::<u64>()
    });
    counts.reduce(|sum, count| sum + count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupts_of_all_vectors_and_processors_are_added_up() {
        let text = "           CPU0       CPU1\n \
            24:          3          4   PCI-MSI 512-edge      vfio-msix[0](0000:01:00.0)\n \
            25:         10          0   PCI-MSI 513-edge      vfio-msix[1](0000:01:00.0)\n \
            26:          9          9   PCI-MSI 513-edge      vfio-msi[0](0000:02:00.0)\n";
        assert_eq!(interrupts_in(text, "0000:01:00.0"), Some(17));
        assert_eq!(interrupts_in(text, "0000:03:00.0"), None);
    }

    #[test]
    fn the_sum_of_reported_errors_is_read() {
        assert_eq!(total("RxErr 2\nBadTLP 1\nTOTAL_ERR_COR 3\n"), Some(3));
        assert_eq!(total(""), None);
    }
}
