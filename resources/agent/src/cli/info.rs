//! `ravelin-agent info`: what protects this guest, and which GPUs it has. No GPU is touched.

use serde::Serialize;

use super::exit::ExitCode;
use super::outcome::line;
use super::{json, problem};
use crate::machine::Sysfs;
use crate::platform::Platform;
use crate::sysfs;

/// What there is.
#[derive(Serialize)]
struct Info {
    schema: &'static str,
    platform: Platform,
    gpus: Vec<Gpu>,
}

/// A GPU, as Linux has found it.
#[derive(Serialize)]
struct Gpu {
    address: String,
    /// Bytes of its shared window; 0 without one.
    shared_window: u64,
}

/// Shows it.
pub(super) fn show(machine: &Sysfs, as_json: bool) -> ExitCode {
    let gpus = match sysfs::gpus(&machine.root) {
        Ok(gpus) => gpus,
        // To have none is an answer, too.
        Err(sysfs::Error::NoGpu(_)) => Vec::new(),
        Err(error) => {
            problem(&ravelin_workload::task::in_words(&error));
            return ExitCode::of(&error.into());
        }
    };
    let gpus = gpus.into_iter().map(|gpu| {
        let window = gpu.window_addresses();
        Gpu {
            shared_window: window.map_or(0, |range| range.end - range.start),
            address: gpu.address,
        }
    });
    let info =
        Info { schema: "ravelin.agent.info/1", platform: Platform::here(), gpus: gpus.collect() };
    if as_json {
        json(&info);
        return ExitCode::Ok;
    }
    let platform = match info.platform {
        Platform { encryption, c_bit: Some(bit) } => {
            format!("{encryption}, says the processor; private pages have bit {bit}")
        }
        Platform { .. } => "no memory encryption, says the processor".into(),
    };
    super::line(&line("platform", &platform));
    for Gpu { address, shared_window } in &info.gpus {
        let window = match shared_window {
            0 => "no shared window".into(),
            bytes => format!("shared window of {} MiB", bytes >> 20),
        };
        super::line(&line("gpu", &format!("{address}: {window}")));
    }
    if info.gpus.is_empty() {
        super::line(&line("gpu", "none"));
    }
    ExitCode::Ok
}
