//! The room `session`: the rings and keys of one session, from its beginning to its loss.
//!
//! A session is a value. It is made whole, and with the first thing that goes wrong it is dropped
//! whole, keys and all: no call can use half of it. What the keys come from is
//! [`attest`](mod@crate::attest)'s business.

use alloc::boxed::Box;

use ravelin_channel::ExportMasterSecret;
use ravelin_gpu_abi::Engine;

use crate::bus::Bus;
use crate::layout::Layout;
use crate::memory::SharedMemory;
use crate::protection::Protection;
use crate::ring::{self, Ring};
use crate::watch::{self, Baseline};

/// What ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The GPU does not go on.
    #[error(transparent)]
    Gpu(#[from] watch::Lost),
    /// Something in shared memory is not what the GPU wrote.
    #[error(transparent)]
    Ring(#[from] ring::Error),
}

impl Lost {
    /// A stable code, for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Lost::Gpu(watch::Lost::Reset { .. }) => "gpu-reset",
            Lost::Gpu(watch::Lost::SessionFailed) => "session-failed",
            Lost::Gpu(watch::Lost::SessionEnded) => "session-ended",
            Lost::Gpu(watch::Lost::RingStopped(_)) => "ring-stopped",
            Lost::Gpu(watch::Lost::Gone) => "gpu-gone",
            Lost::Gpu(watch::Lost::Silent(_)) => "gpu-silent",
            Lost::Ring(ring::Error::Channel { .. }) => "record-forged",
            Lost::Ring(ring::Error::Changed { .. }) => "descriptor-changed",
            Lost::Ring(_) => "ring-refused",
        }
    }
}

/// Where the driver stands with its GPU.
pub(crate) enum State {
    /// Nothing agreed yet.
    Unattested,
    /// At work.
    Live(Box<Session>),
    /// There was a session; its keys are gone.
    Lost,
}

/// A live session.
pub(crate) struct Session {
    pub(crate) command: Ring,
    pub(crate) copy_in: Ring,
    pub(crate) copy_out: Ring,
    pub(crate) baseline: Baseline,
}

impl Session {
    /// Starts the rings, sealed under the session's secret or, without one, plain.
    pub(crate) fn start(
        secret: Option<&ExportMasterSecret>,
        reset_count: u32,
        layout: &Layout,
        bus: &mut impl Bus,
        memory: &impl SharedMemory,
    ) -> Result<Box<Session>, Lost> {
        let mut start = |engine| {
            let place = layout.place(engine);
            let protection = match secret {
                Some(secret) => Protection::sealed(secret, engine, place.slot_size as usize),
                None => Protection::plain(),
            };
            Ring::start(engine, place, protection, bus, memory)
        };
        Ok(Box::new(Session {
            command: start(Engine::Command)?,
            copy_in: start(Engine::CopyIn)?,
            copy_out: start(Engine::CopyOut)?,
            baseline: Baseline { reset_count, session: secret.is_some() },
        }))
    }
}
