//! The copy engine: bytes between an opened record and HBM.
//!
//! It sees plaintext in the engine's scratch only, after it was authenticated or before it is
//! sealed, and HBM only through the firewall.

use ravelin_gpu_abi::ring::{Descriptor, Outcome};

use crate::firewall::{Admitted, Firewall, Initiator, Refused};
use crate::hbm::Hbm;

/// Lands `bytes` where `request` says.
pub(crate) fn copy_in(
    firewall: &Firewall,
    hbm: &Hbm,
    request: &Descriptor,
    bytes: &[u8],
) -> Result<Outcome, Refused> {
    match plausible(request) {
        false => Ok(Outcome::Malformed),
        true => {
            hbm.write(&admit(firewall, request)?, bytes).map_err(|_| Refused)?;
            Ok(Outcome::Done)
        }
    }
}

/// Fetches what `request` asks for into `buffer`, which is as long.
pub(crate) fn copy_out(
    firewall: &Firewall,
    hbm: &Hbm,
    request: &Descriptor,
    buffer: &mut [u8],
) -> Result<Outcome, Refused> {
    match plausible(request) {
        false => Ok(Outcome::Malformed),
        true => {
            hbm.read(&admit(firewall, request)?, buffer).map_err(|_| Refused)?;
            Ok(Outcome::Done)
        }
    }
}

/// Whether the fields that mean nothing in a request say nothing.
fn plausible(request: &Descriptor) -> bool {
    request.outcome == Outcome::Done as u32
}

fn admit<'f>(firewall: &'f Firewall, request: &Descriptor) -> Result<Admitted<'f>, Refused> {
    firewall.admit(Initiator::CopyEngine, request.hbm_address, request.length.into())
}
