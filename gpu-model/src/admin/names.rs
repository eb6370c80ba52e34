//! The names under which the operator sees modes, engines and initiators.

use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::registers::{Mode, Status};
use serde::Serializer;

use crate::firewall::{Access, Initiator};

pub(crate) fn of_mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Off => "off",
        Mode::On => "on",
        Mode::Devtools => "devtools",
    }
}

pub(crate) fn of_status(status: Status) -> &'static str {
    match status {
        Status::Booting => "booting",
        Status::Ready => "ready",
        Status::Session => "session",
        Status::Failed => "failed",
    }
}

pub(crate) fn of_engine(engine: Engine) -> &'static str {
    match engine {
        Engine::Command => "command",
        Engine::CopyIn => "copy-in",
        Engine::CopyOut => "copy-out",
    }
}

pub(crate) fn mode<S: Serializer>(mode: &Mode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(of_mode(*mode))
}

pub(crate) fn engine<S: Serializer>(engine: &Engine, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(of_engine(*engine))
}

pub(crate) fn access<S: Serializer>(access: &Access, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match access {
        Access::Read => "read",
        Access::Write => "write",
    })
}

pub(crate) fn initiator<S: Serializer>(
    initiator: &Initiator,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match initiator {
        Initiator::HostMmio => serializer.serialize_str("host-mmio"),
        Initiator::GuestMmio => serializer.serialize_str("guest-mmio"),
        Initiator::PeerGpu(number) => serializer.collect_str(&format_args!("peer-gpu-{number}")),
        Initiator::CopyEngine => serializer.serialize_str("copy-engine"),
        Initiator::ComputeEngine => serializer.serialize_str("compute-engine"),
        Initiator::Sec2 => serializer.serialize_str("sec2"),
    }
}
