//! One life of the GPU: from the end of boot to the next reset.
//!
//! Everything that must not outlive a reset is owned here and goes with it: the firewall (and with
//! it every admission to HBM), the channels' keys, the ring registers. While the GPU boots there is
//! no life, hence no firewall, hence no way to HBM at all.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use parking_lot::Mutex;
use ravelin_channel::ExportMasterSecret;
use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::registers::{Mode, Status};

use crate::channel::Channel;
use crate::firewall::Firewall;
use crate::hbm::Hbm;
use crate::hrot::{Evidence, Measurements};
use crate::lease::{Lease, Leases};
use crate::ring::RingBlock;
use crate::sec2::{self, Sec2};

/// What a boot brings into being.
pub(crate) struct Life {
    pub(crate) firewall: Firewall,
    pub(crate) measurements: Measurements,
    pub(crate) blocks: [Mutex<RingBlock>; Engine::ALL.len()],
    channels: [Mutex<Channel>; Engine::ALL.len()],
    /// Held by whoever opens or closes channels.
    pub(crate) sec2: Mutex<Sec2>,
    status: AtomicU32,
}

impl Life {
    /// A life that answers but works for nobody yet.
    pub(crate) fn new(firewall: Firewall, evidence: Evidence) -> Result<Life, sec2::Error> {
        Ok(Life {
            firewall,
            measurements: evidence.measurements.clone(),
            sec2: Mutex::new(Sec2::new(evidence)?),
            blocks: Default::default(),
            channels: Engine::ALL.map(|_| Mutex::new(Channel::Closed)),
            status: AtomicU32::new(Status::Ready as u32),
        })
    }

    /// The device's status.
    pub(crate) fn status(&self) -> Status {
        Status::from_value(self.status.load(SeqCst)).unwrap_or(Status::Failed)
    }

    /// The engine's ring block.
    pub(crate) fn block(&self, engine: Engine) -> &Mutex<RingBlock> {
        &self.blocks[engine.index()]
    }

    /// Whether records are plain.
    pub(crate) fn is_plain(&self) -> bool {
        self.firewall.mode() == Mode::Off
    }

    /// The engine's channel, if `lease` is still in force; it stays so until the guard is dropped,
    /// unless a stop is only waiting for that.
    pub(crate) fn channel(
        &self,
        leases: &Leases,
        lease: Lease,
        engine: Engine,
    ) -> Option<parking_lot::MutexGuard<'_, Channel>> {
        // Whoever closes channels withdraws the lease before it takes their locks.
        let channel = self.channels[engine.index()].lock();
        leases.is_live(lease).then_some(channel)
    }

    /// Withdraws the lease, wipes every key and, where memory is protected, what the session left
    /// there: the next session may be another tenant's. The caller holds SEC2.
    pub(crate) fn close(&self, leases: &Leases, hbm: &Hbm, status: Status) {
        leases.withdraw();
        for channel in &self.channels {
            *channel.lock() = Channel::Closed;
        }
        hbm.scrub(self.firewall.protected());
        self.status.store(status as u32, SeqCst);
    }

    /// Opens plain channels at their start. To be called on closed channels.
    pub(crate) fn open_plain(&self, leases: &Leases, status: Status) {
        for channel in &self.channels {
            *channel.lock() = Channel::plain();
        }
        self.status.store(status as u32, SeqCst);
        leases.grant();
    }

    /// Opens sealed channels with keys from `secret`. To be called on closed channels.
    pub(crate) fn open_sealed(&self, leases: &Leases, secret: &ExportMasterSecret) {
        for engine in Engine::ALL {
            *self.channels[engine.index()].lock() = Channel::sealed(secret, engine);
        }
        self.status.store(Status::Session as u32, SeqCst);
        leases.grant();
    }

    /// Whether no channel has keys.
    #[cfg(test)]
    pub(crate) fn is_closed(&self) -> bool {
        self.channels.iter().all(|channel| matches!(*channel.lock(), Channel::Closed))
    }

    /// A driver of plain mode that enables an engine's ring counts its requests from 1 again.
    pub(crate) fn restart_plain(&self, engine: Engine) {
        let mut channel = self.channels[engine.index()].lock();
        if let Channel::Plain { next } = &mut *channel {
            *next = 1;
        }
    }
}
