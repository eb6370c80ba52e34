//! The block device (Virtio 1.3, section 5.2) on a [`Disk`].
//!
//! One request at a time, in the order in which they came. Sectors go through a buffer of the
//! device's own, so that the host's kernel never reads or writes what the guest can change or take
//! back at the same time. A driver that does not ask for flushes gets each write flushed.

pub mod disk;

use super::queue::{Broken, Chain, VirtQueue};
use super::{Device, Event, Kind};
use disk::{Disk, SECTOR};
use std::io;
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO,
    VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_WRITE_ZEROES, VIRTIO_BLK_ID_BYTES, VIRTIO_BLK_S_IOERR,
    VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_FLUSH,
    VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_WRITE_ZEROES,
    VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
};

/// Entries of the one queue.
const ENTRIES: u16 = 256;
/// Most buffers of data in a request: the header and the status take an entry each.
const SEGMENTS: u32 = ENTRIES as u32 - 2;
/// Bytes that are moved at a time.
const PIECE: usize = 128 << 10;
/// Most sectors to discard, or to write zeros to, in one request: 64 MiB.
const RANGE: u32 = 1 << 17;
/// Bytes of the device configuration up to and with `write_zeroes_may_unmap`.
const CONFIG: usize = 57;
const FLUSH: u64 = 1 << VIRTIO_BLK_F_FLUSH;

/// How a request ended, as the driver is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Status {
    Ok = VIRTIO_BLK_S_OK as u8,
    Failed = VIRTIO_BLK_S_IOERR as u8,
    Unsupported = VIRTIO_BLK_S_UNSUPP as u8,
}

/// A block device.
pub struct Block {
    disk: Disk,
    id: [u8; VIRTIO_BLK_ID_BYTES as usize],
    buffer: Box<[u8]>,
    /// Whether the driver flushes by itself.
    driver_flushes: bool,
}

impl Block {
    /// A device for a disk. As much of `id` as fits is the serial number that the guest sees.
    pub fn new(disk: Disk, id: &str) -> Self {
        let mut field = [0; VIRTIO_BLK_ID_BYTES as usize];
        field.iter_mut().zip(id.bytes()).for_each(|(place, byte)| *place = byte);
        let buffer = vec![0; PIECE].into_boxed_slice();
        Self { disk, id: field, buffer, driver_flushes: false }
    }

    /// Carries a request out and writes its status behind the room for data.
    fn serve(&mut self, chain: &mut Chain) -> Result<(), Broken> {
        let header: [u8; 16] = chain.read_array()?;
        let room = chain.writable().checked_sub(1);
        let room = room.ok_or(Broken::Request("it has no room for its status"))?;
        let [kind, _, low, high] = dwords(header);
        let sector = u64::from(high) << 32 | u64::from(low);
        let status = match kind {
            VIRTIO_BLK_T_IN => self.read(chain, sector, room)?,
            VIRTIO_BLK_T_OUT => self.write(chain, sector)?,
            VIRTIO_BLK_T_FLUSH => settle("flush", self.disk.flush()),
            VIRTIO_BLK_T_GET_ID => {
                let length = self.id.len().min(usize::try_from(room).unwrap_or(usize::MAX));
                chain.write(&self.id[..length])?;
                Status::Ok
            }
            VIRTIO_BLK_T_DISCARD | VIRTIO_BLK_T_WRITE_ZEROES => self.clear(chain, kind)?,
            _ => Status::Unsupported,
        };
        // What the request has not filled stays as it is.
        chain.skip(chain.writable().saturating_sub(1));
        chain.write(&[status as u8])?;
        Ok(())
    }

    fn read(&mut self, chain: &mut Chain, sector: u64, bytes: u64) -> Result<Status, Broken> {
        let Some(first) = self.disk.locate(sector, bytes) else { return Ok(Status::Failed) };
        for (at, length) in pieces(first, bytes) {
            let piece = &mut self.buffer[..length];
            if let Err(error) = self.disk.read(piece, at) {
                return Ok(settle("read", Err(error)));
            }
            chain.write(piece)?;
        }
        Ok(Status::Ok)
    }

    fn write(&mut self, chain: &mut Chain, sector: u64) -> Result<Status, Broken> {
        let bytes = chain.readable();
        let first = self.disk.locate(sector, bytes).filter(|_| !self.disk.read_only());
        let Some(first) = first else { return Ok(Status::Failed) };
        for (at, length) in pieces(first, bytes) {
            let piece = &mut self.buffer[..length];
            chain.read(piece)?;
            if let Err(error) = self.disk.write(piece, at) {
                return Ok(settle("write", Err(error)));
            }
        }
        Ok(self.written())
    }

    /// Discards a range of sectors, or makes it zeros. There is one in a request.
    fn clear(&mut self, chain: &mut Chain, kind: u32) -> Result<Status, Broken> {
        let [low, high, sectors, flags] = dwords(chain.read_array::<16>()?);
        let zeroes = kind == VIRTIO_BLK_T_WRITE_ZEROES;
        let known = if zeroes { VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP } else { 0 };
        if flags & !known != 0 {
            return Ok(Status::Unsupported);
        }
        let (sector, bytes) = (u64::from(high) << 32 | u64::from(low), u64::from(sectors) * SECTOR);
        let place = self.disk.locate(sector, bytes);
        let legal = sectors <= RANGE && chain.readable() == 0 && !self.disk.read_only();
        let Some(at) = place.filter(|_| legal) else { return Ok(Status::Failed) };
        if bytes == 0 {
            return Ok(Status::Ok);
        }
        let unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP != 0;
        let mut done = match zeroes && !unmap {
            true => self.disk.write_zeroes(at, bytes),
            false => self.disk.discard(at, bytes),
        };
        let unsupported = |error: &io::Error| error.kind() == io::ErrorKind::Unsupported;
        if done.as_ref().is_err_and(unsupported) {
            if !zeroes {
                return Ok(Status::Unsupported);
            }
            done = self.disk.write_zeroes(at, bytes);
        }
        Ok(match settle("clear", done) {
            Status::Ok => self.written(),
            failed => failed,
        })
    }

    /// The end of a write: it is durable at once for a driver that will not flush.
    fn written(&mut self) -> Status {
        if self.driver_flushes { Status::Ok } else { settle("flush", self.disk.flush()) }
    }
}

impl Device for Block {
    fn kind(&self) -> Kind {
        Kind::Block
    }

    fn features(&self) -> u64 {
        let always = FLUSH | 1 << VIRTIO_BLK_F_SEG_MAX | 1 << VIRTIO_BLK_F_BLK_SIZE;
        always
            | match self.disk.read_only() {
                true => 1 << VIRTIO_BLK_F_RO,
                false => 1 << VIRTIO_BLK_F_DISCARD | 1 << VIRTIO_BLK_F_WRITE_ZEROES,
            }
    }

    fn queues(&self) -> &'static [u16] {
        &[ENTRIES]
    }

    /// `struct virtio_blk_config`, section 5.2.4.
    fn config(&self) -> Vec<u8> {
        let mut config = vec![0; CONFIG];
        let mut put = |at: usize, bytes: &[u8]| config[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.disk.sectors().to_le_bytes());
        put(12, &SEGMENTS.to_le_bytes());
        put(20, &(SECTOR as u32).to_le_bytes());
        // Discard: most sectors, most ranges, alignment; zeros: most sectors, most ranges, may unmap.
        for (at, value) in [(36, RANGE), (40, 1), (44, 1), (48, RANGE), (52, 1)] {
            put(at, &value.to_le_bytes());
        }
        put(56, &[1]);
        config
    }

    fn start(&mut self, features: u64) {
        self.driver_flushes = features & FLUSH != 0;
    }

    fn handle(&mut self, _: Event, queues: &mut [VirtQueue]) -> Result<(), Broken> {
        let [requests] = queues else { return Ok(()) };
        while let Some(mut chain) = requests.take()? {
            self.serve(&mut chain)?;
            requests.give_back(chain)?;
        }
        Ok(())
    }
}

/// The driver learns that it failed, the host's log why.
fn settle(what: &str, result: io::Result<()>) -> Status {
    match result {
        Ok(()) => Status::Ok,
        Err(error) => {
            tracing::warn!(%error, what, "disk request failed");
            Status::Failed
        }
    }
}

/// Cuts a range of bytes into what the buffer holds: start and length.
fn pieces(first: u64, bytes: u64) -> impl Iterator<Item = (u64, usize)> {
    let end = first + bytes;
    // No more than the buffer has.
    (first..end).step_by(PIECE).map(move |at| (at, (end - at).min(PIECE as u64) as usize))
}

fn dwords(bytes: [u8; 16]) -> [u32; 4] {
    let mut dwords = [0; 4];
    for (dword, bytes) in dwords.iter_mut().zip(bytes.as_chunks().0) {
        *dword = u32::from_le_bytes(*bytes);
    }
    dwords
}

#[cfg(test)]
mod tests;
