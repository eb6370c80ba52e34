//! The entropy device (Virtio 1.3, section 5.4): buffers come, random bytes go back.
//!
//! The bytes are the host's, so a confidential guest mixes them in and trusts its processor.

use super::queue::{Broken, Chain, VirtQueue};
use super::{Device, Event, Kind};
use rustix::rand::{GetRandomFlags, getrandom};

/// Entries of the one queue.
const ENTRIES: u16 = 64;
/// Most bytes in answer to one request: the driver asks again.
const MOST: u64 = 4096;

/// An entropy source on the kernel's.
#[derive(Debug, Default)]
pub struct Rng;

impl Device for Rng {
    fn kind(&self) -> Kind {
        Kind::Rng
    }

    fn queues(&self) -> &'static [u16] {
        &[ENTRIES]
    }

    fn handle(&mut self, _: Event, queues: &mut [VirtQueue]) -> Result<(), Broken> {
        let [requests] = queues else { return Ok(()) };
        while let Some(mut chain) = requests.take()? {
            fill(&mut chain)?;
            requests.give_back(chain)?;
        }
        Ok(())
    }
}

fn fill(chain: &mut Chain) -> Result<(), Broken> {
    let mut bytes = [0; MOST as usize];
    // At most the array's size.
    let bytes = &mut bytes[..chain.writable().min(MOST) as usize];
    // The kernel's source is ready long before a VM can be started; if not, the driver gets none.
    let got = getrandom(&mut *bytes, GetRandomFlags::NONBLOCK).unwrap_or(0);
    chain.write(&bytes[..got])?;
    Ok(())
}

#[cfg(test)]
mod tests;
