//! What `ravelinctl info` and `telemetry` say of a GPU, for a person.

use super::{row, seconds};
use crate::cli::output;
use crate::config::Size;
use crate::control::api::{
    ApmInfo, ApmTelemetry, Calls, GpuInfo, GpuTelemetry, PassedInfo, PassedTelemetry,
};

/// Shows a GPU.
pub(super) fn info(gpu: &GpuInfo) {
    match gpu {
        GpuInfo::Apm(gpu) => apm_info(gpu),
        GpuInfo::Passed(gpu) => passed_info(gpu),
    }
}

/// Shows its counters.
pub(super) fn telemetry(gpu: &GpuTelemetry) {
    match gpu {
        GpuTelemetry::Apm(gpu) => apm_telemetry(gpu),
        GpuTelemetry::Passed(gpu) => passed_telemetry(gpu),
    }
}

fn heading(index: usize) {
    output::line(output::heading(&format!("GPU {index}")));
}

fn apm_info(gpu: &ApmInfo) {
    heading(gpu.index);
    row("model", format_args!("{}, serial {}", gpu.model, gpu.serial));
    row("identity", &gpu.identity);
    row("firmware", format_args!("{}, svn {}", gpu.firmware_version, gpu.svn));
    row("", &gpu.firmware);
    row("status", output::judged(&gpu.status, gpu.status != "failed"));
    row("mode", format_args!("{}, {} after a reset", gpu.mode, gpu.next_mode));
    let (size, protected) = (Size(gpu.hbm_size), Size(gpu.protected_size));
    row("memory", format_args!("{size}, {protected} protected"));
    row("resets", gpu.resets);
    row("session", gpu.session);
}

fn passed_info(gpu: &PassedInfo) {
    heading(gpu.index);
    row("device", format_args!("{} ({}), by {}", gpu.bdf, gpu.ids, gpu.interface));
    row("status", output::judged(&gpu.status, gpu.status == "present"));
    row("resets", gpu.resets);
    let bytes = gpu.shown.iter().map(|(_, bytes)| bytes).sum();
    row("BARs", format_args!("{} reached directly", Size(bytes)));
}

fn apm_telemetry(gpu: &ApmTelemetry) {
    heading(gpu.index);
    row("status", output::judged(&gpu.status, gpu.status != "failed"));
    row("up", seconds(gpu.uptime_us));
    row("resets", gpu.resets);
    row("sessions", format_args!("{}, {} failed", gpu.sessions, gpu.session_failures));
    row("violations", gpu.violations);
    row("DMA", format_args!("{} faults, {} refused at the gate", gpu.dma_faults, gpu.dma_refused));
    row("memory", format_args!("{} in use", Size(gpu.hbm_resident)));
    for engine in &gpu.engines {
        row(
            &engine.engine,
            format_args!(
                "{} records, {} bytes, {} refused, busy {}",
                engine.records,
                engine.bytes,
                engine.refused,
                seconds(engine.busy_us)
            ),
        );
    }
}

fn passed_telemetry(gpu: &PassedTelemetry) {
    heading(gpu.index);
    row("device", &gpu.bdf);
    row("status", output::judged(&gpu.status, gpu.status == "present"));
    row("up", seconds(gpu.uptime_us));
    row("resets", gpu.resets);
    row("violations", gpu.violations);
    row("refused", format_args!("{} accesses, by the device or the kernel", gpu.access_failures));
    let interrupts = gpu.interrupts.map_or("-".into(), |count| count.to_string());
    row("interrupts", format_args!("{interrupts}, {} vectors", gpu.vectors));
    if let (Some(speed), Some(width)) = (&gpu.link_speed, gpu.link_width) {
        row("link", format_args!("{speed} x{width}"));
    }
    row("power", gpu.power_state.as_deref().unwrap_or("-"));
    if let Some(errors) = gpu.errors {
        let (correctable, nonfatal, fatal) = (errors.correctable, errors.nonfatal, errors.fatal);
        row("errors", format_args!("{correctable} corrected, {nonfatal} nonfatal, {fatal} fatal"));
    }
    let dma = &gpu.dma;
    let (mapped, limit) = (Size(dma.mapped_bytes), dma.limit);
    row("DMA", format_args!("{mapped} mapped, in {} of at most {limit} mappings", dma.mappings));
    for (word, calls) in [("map", &dma.map), ("unmap", &dma.unmap)] {
        let Calls { calls, total_us, longest_us } = calls;
        row(word, format_args!("{calls} calls, {total_us} us, the longest {longest_us} us"));
    }
}
