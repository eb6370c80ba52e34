//! The model's admin port.

use super::{Administered, Refusal};
use crate::config::ModeSpec;
use crate::control::api::{
    ApmInfo, ApmTelemetry, EngineTelemetry, GpuEvent, GpuInfo, GpuTelemetry, ModeChosen,
};
use ravelin_devices::apm::ApmDevice;
use ravelin_gpu_model::ResetKind;

impl Administered for ApmDevice {
    fn info(&self, index: usize) -> GpuInfo {
        let info = self.gpu().admin().info();
        GpuInfo::Apm(ApmInfo {
            index,
            model: info.model.into(),
            serial: info.serial,
            identity: info.identity,
            firmware_version: info.firmware_version,
            firmware: info.firmware,
            svn: info.svn,
            status: info.status.into(),
            mode: info.mode.into(),
            next_mode: info.next_mode.into(),
            hbm_size: info.hbm_size,
            protected_size: info.protected_size,
            resets: info.resets,
            session: info.session,
        })
    }

    fn telemetry(&self, index: usize) -> GpuTelemetry {
        let telemetry = self.gpu().admin().telemetry();
        let engines = telemetry.engines.iter().map(|engine| EngineTelemetry {
            engine: engine.engine.into(),
            records: engine.records,
            bytes: engine.bytes,
            refused: engine.refused,
            busy_us: engine.busy_us,
        });
        GpuTelemetry::Apm(ApmTelemetry {
            index,
            status: telemetry.status.into(),
            uptime_us: telemetry.uptime_us,
            resets: telemetry.resets,
            sessions: telemetry.sessions,
            violations: telemetry.violations,
            session_failures: telemetry.session_failures,
            dma_faults: telemetry.dma_faults,
            dma_refused: self.gate().refusals(),
            hbm_resident: telemetry.hbm_resident,
            engines: engines.collect(),
        })
    }

    fn events_after(&self, number: u64) -> Vec<GpuEvent> {
        let events = self.gpu().admin().events_after(number).into_iter();
        // Both are the same words; an event that is not, is a bug that the API's test finds.
        let events = events
            .filter_map(|event| serde_json::to_value(event).and_then(serde_json::from_value).ok());
        events.collect()
    }

    fn reset(&self, kind: ResetKind) -> Result<u32, Refusal> {
        let admin = self.gpu().admin();
        admin.reset(kind).map_err(|error| Refusal::Reset(error.to_string()))?;
        Ok(admin.info().resets)
    }

    fn set_mode(&self, mode: ModeSpec) -> Result<ModeChosen, Refusal> {
        let admin = self.gpu().admin();
        admin.set_mode(mode.into());
        let info = admin.info();
        Ok(ModeChosen { mode: info.mode.into(), next_mode: info.next_mode.into() })
    }
}
