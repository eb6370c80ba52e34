//! One engine's end of the channel to the guest: sealed in a session, plain in plain mode, closed
//! otherwise.
//!
//! Opens requests and seals responses, in private memory. A request that does not open breaks the
//! channel; that this ends the whole session is the [`machine`](crate::machine)'s to see to.

use ravelin_channel::{Binding, Direction, ExportMasterSecret, Opener, Sealer};
use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::ring::{Descriptor, Outcome, TAG_SIZE};

/// The channel's state; each owns what only it may touch.
#[expect(clippy::large_enum_variant, reason = "one for each engine, never moved after boot")]
pub(crate) enum Channel {
    /// No keys: nothing opens.
    Closed,
    /// Records are plain and tags zero. Only in `Mode::Off`.
    Plain {
        /// Sequence number of the request that is next.
        next: u64,
    },
    /// Records are sealed under the session's keys.
    Sealed {
        /// For requests.
        opener: Opener,
        /// For responses.
        sealer: Sealer,
    },
}

/// The request is not the one that the driver made for this place, or the keys are spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

impl Channel {
    /// A plain channel at its start.
    pub(crate) fn plain() -> Channel {
        Channel::Plain { next: 1 }
    }

    /// The sealed channel of `engine` in the session of `secret`.
    pub(crate) fn sealed(secret: &ExportMasterSecret, engine: Engine) -> Channel {
        let number = engine as u32;
        Channel::Sealed {
            opener: Opener::new(secret, number, Direction::GuestToGpu),
            sealer: Sealer::new(secret, number, Direction::GpuToGuest),
        }
    }

    /// The only sequence number that a request may have next.
    pub(crate) fn next(&self) -> Option<u64> {
        match self {
            Channel::Closed => None,
            Channel::Plain { next } => Some(*next),
            Channel::Sealed { opener, .. } => Some(opener.sequence()),
        }
    }

    /// Opens the `bytes` that came with `request` in place. Where it fails they hold nothing.
    pub(crate) fn open(&mut self, request: &Descriptor, bytes: &mut [u8]) -> Result<(), Broken> {
        match self {
            Channel::Closed => Err(Broken),
            Channel::Plain { next } => {
                if request.sequence != *next || request.tag != [0; TAG_SIZE] {
                    return Err(Broken);
                }
                *next = next.checked_add(1).ok_or(Broken)?;
                Ok(())
            }
            Channel::Sealed { opener, .. } => opener
                .open_in_place(request.sequence, &binding(request), &request.tag, bytes)
                .map_err(|_| Broken),
        }
    }

    /// Seals the response to `request` in place: `bytes` and, bound to them, that `length` bytes at
    /// the request's address came to `outcome`.
    pub(crate) fn seal(
        &mut self,
        request: &Descriptor,
        outcome: Outcome,
        length: u32,
        bytes: &mut [u8],
    ) -> Result<Descriptor, Broken> {
        let mut response =
            Descriptor { outcome: outcome as u32, length, tag: [0; TAG_SIZE], ..*request };
        match self {
            Channel::Closed => Err(Broken),
            Channel::Plain { .. } => Ok(response),
            Channel::Sealed { sealer, .. } => {
                // Both directions count requests: they cannot drift apart, or the guest would take
                // one request's answer for another's.
                if sealer.sequence() != request.sequence {
                    return Err(Broken);
                }
                let sealed =
                    sealer.seal_in_place(&binding(&response), bytes).map_err(|_| Broken)?;
                response.tag = sealed.tag;
                Ok(response)
            }
        }
    }
}

/// What a descriptor's tag binds besides what the channel adds itself.
fn binding(descriptor: &Descriptor) -> Binding {
    Binding {
        hbm_address: descriptor.hbm_address,
        length: descriptor.length,
        outcome: descriptor.outcome,
    }
}
