//! A chain of buffers: walked once, into addresses that the device owns, and copied from and to through
//! the DMA gate.

use super::Broken;
use crate::dma_gate::{DmaGate, Transaction};
use std::collections::VecDeque;
use std::sync::Arc;
use virtio_queue::DescriptorChain;

/// A piece of guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    address: u64,
    length: u32,
}

/// A chain of buffers that the device owns until it gives it back: bytes to read, then room to write.
pub struct Chain {
    head: u16,
    gate: Arc<DmaGate>,
    readable: VecDeque<Span>,
    writable: VecDeque<Span>,
    written: u32,
}

impl Chain {
    pub(super) fn walk(
        chain: DescriptorChain<&Transaction<'_>>,
        gate: Arc<DmaGate>,
        size: u16,
    ) -> Result<Self, Broken> {
        let head = chain.head_index();
        if head >= size {
            return Err(Broken::Chain("its head is no entry of the table"));
        }
        let (mut readable, mut writable) = (VecDeque::new(), VecDeque::new());
        let mut more = true;
        for descriptor in chain {
            let span = Span { address: descriptor.addr().0, length: descriptor.len() };
            match descriptor.is_write_only() {
                true => writable.push_back(span),
                false if writable.is_empty() => readable.push_back(span),
                false => return Err(Broken::Chain("room to write before bytes to read")),
            }
            more = descriptor.has_next();
        }
        // Loops, indices out of range, tables within tables, bad tables and lengths that overflow all
        // end the walk where the driver has said that there is more.
        if more {
            return Err(Broken::Chain("it does not end"));
        }
        Ok(Self { head, gate, readable, writable, written: 0 })
    }

    /// The chain's name between driver and device: its first descriptor.
    pub(super) fn head(&self) -> u16 {
        self.head
    }

    /// Bytes that were written.
    pub(super) fn written(&self) -> u32 {
        self.written
    }

    /// Bytes left to read.
    pub fn readable(&self) -> u64 {
        self.readable.iter().map(|span| u64::from(span.length)).sum()
    }

    /// Bytes left to write.
    pub fn writable(&self) -> u64 {
        self.writable.iter().map(|span| u64::from(span.length)).sum()
    }

    /// Copies the next bytes into `buffer`, as many as there are, and says how many.
    ///
    /// # Errors
    /// A buffer is not shared.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Broken> {
        let mut done = 0;
        while let Some(span) = cut(&mut self.readable, (buffer.len() - done) as u64) {
            let part = &mut buffer[done..][..span.length as usize];
            self.gate.read(span.address, part)?;
            done += part.len();
        }
        Ok(done)
    }

    /// Copies an array out of the chain.
    ///
    /// # Errors
    /// The chain has fewer bytes, or they are not shared.
    pub fn read_array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let mut bytes = [0; N];
        match self.read(&mut bytes)? {
            n if n == N => Ok(bytes),
            _ => Err(Broken::Request("it is too short")),
        }
    }

    /// Copies `bytes` into the chain, as many as have room, and says how many.
    ///
    /// # Errors
    /// A buffer is not shared.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut done = 0;
        while let Some(span) = cut(&mut self.writable, (bytes.len() - done) as u64) {
            let part = &bytes[done..][..span.length as usize];
            self.gate.write(span.address, part)?;
            done += part.len();
        }
        self.written = self.written.saturating_add(done as u32);
        Ok(done)
    }

    /// Leaves the next `count` bytes of room as they are.
    pub fn skip(&mut self, mut count: u64) {
        while let Some(span) = cut(&mut self.writable, count) {
            count -= u64::from(span.length);
        }
    }
}

/// Cuts at most `most` bytes off the front; `None` once there is nothing to cut.
fn cut(spans: &mut VecDeque<Span>, most: u64) -> Option<Span> {
    while let Some(front) = spans.front_mut() {
        // No more than the span has, so it fits again.
        let length = most.min(front.length.into()) as u32;
        let cut = Span { address: front.address, length };
        front.length -= length;
        // Where this wraps the gate has refused the bytes before it.
        front.address = front.address.wrapping_add(length.into());
        if front.length == 0 {
            spans.pop_front();
        }
        if length > 0 || most == 0 {
            return (length > 0).then_some(cut);
        }
    }
    None
}
