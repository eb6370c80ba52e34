//! The room `ring`: one engine's ring in shared memory, seen from the driver.
//!
//! [`Ring::submit`] protects a request and lays it down; [`Ring::poll`] takes the next response by
//! value, once, and holds it against what was asked for before the tag is checked. Any difference
//! is an [`Error`], and after an error the ring must be dropped with its keys. Who waits, and for
//! how long, is [`pump`](crate::pump)'s business; doorbells are rung when the caller says so.

use alloc::collections::VecDeque;

use ravelin_channel::Binding;
use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::registers::{self, ring};
use ravelin_gpu_abi::ring::{
    DESCRIPTOR_SIZE, Descriptor, ENTRY_SIZE, Outcome, request_offset, response_offset, slot_offset,
};

use crate::bus::Bus;
use crate::layout::Place;
use crate::memory::SharedMemory;
use crate::protection::Protection;

/// A field of a response descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Another number than the next one or the one that stood there before.
    Sequence,
    /// Not the request's address.
    HbmAddress,
    /// Not the length that the outcome implies.
    Length,
    /// Another engine.
    Engine,
    /// No outcome, or one that this engine does not give.
    Outcome,
    /// Bytes that must be zero.
    Reserved,
}

/// What ends a session on a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The GPU does not take the ring into use.
    #[error("The GPU refuses the ring of {0:?}; reset it")]
    Refused(Engine),
    /// A request that its slot cannot hold: the caller's fault, and nothing was sent.
    #[error("{0} bytes do not fit a slot; split them")]
    TooLong(usize),
    /// The ring is full: the caller's fault, and nothing was sent.
    #[error("The ring of {0:?} is full; take a response first")]
    Full(Engine),
    /// Something in shared memory changed that field of a response.
    #[error("Response {sequence} of {engine:?} was changed in shared memory ({field:?})")]
    Changed {
        /// Whose response.
        engine: Engine,
        /// Number of the response expected.
        sequence: u64,
        /// What is wrong.
        field: Field,
    },
    /// The channel refuses a record: forged bytes, a forged tag, or a key at its end.
    #[error("The channel of {engine:?} fails")]
    Channel {
        /// Whose channel.
        engine: Engine,
        /// The channel's own words.
        #[source]
        source: ravelin_channel::Error,
    },
}

/// What goes into a ring.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    /// Where in HBM, or zero.
    pub(crate) hbm_address: u64,
    /// Bytes copied or carried.
    pub(crate) length: u32,
    /// What the slot carries.
    pub(crate) bytes: &'a [u8],
}

/// What a response must look like.
#[derive(Clone, Copy)]
struct Expected {
    hbm_address: u64,
    /// Of the request.
    length: u32,
}

/// One engine's ring. Holds the engine's keys.
pub(crate) struct Ring {
    engine: Engine,
    place: Place,
    protection: Protection,
    in_flight: VecDeque<Expected>,
    /// Requests that no doorbell has announced.
    unannounced: u32,
}

impl Ring {
    /// Wipes the ring's memory and has the GPU take it into use.
    pub(crate) fn start(
        engine: Engine,
        place: Place,
        protection: Protection,
        bus: &mut impl Bus,
        memory: &impl SharedMemory,
    ) -> Result<Ring, Error> {
        bus.register_write32(ring(engine, registers::RING_ENABLE), 0);
        for entry in 0..place.entries as usize {
            memory.write(place.descriptors + entry * ENTRY_SIZE, &[0; ENTRY_SIZE]);
        }
        let base = memory.address();
        let address = base + place.descriptors as u64;
        bus.register_write64(ring(engine, registers::RING_ADDRESS), address);
        let slots = base + place.slots as u64;
        bus.register_write64(ring(engine, registers::RING_SLOTS), slots);
        bus.register_write32(ring(engine, registers::RING_ENTRIES), place.entries);
        bus.register_write32(ring(engine, registers::RING_SLOT_SIZE), place.slot_size);
        bus.register_write32(ring(engine, registers::RING_ENABLE), 1);
        if bus.register_read32(ring(engine, registers::RING_ENABLE)) != 1 {
            return Err(Error::Refused(engine));
        }
        Ok(Ring { engine, place, protection, in_flight: VecDeque::new(), unannounced: 0 })
    }

    /// Whose ring it is.
    pub(crate) fn engine(&self) -> Engine {
        self.engine
    }

    /// Entries in all.
    pub(crate) fn entries(&self) -> usize {
        self.place.entries as usize
    }

    /// Requests that wait for their response.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Requests that can be submitted now.
    pub(crate) fn free(&self) -> usize {
        self.entries() - self.in_flight()
    }

    /// Protects a request in private memory, copies it into its slot once, and writes its
    /// descriptor, the sequence number last.
    pub(crate) fn submit(
        &mut self,
        memory: &impl SharedMemory,
        request: &Request<'_>,
    ) -> Result<(), Error> {
        if request.bytes.len() > self.place.slot_size as usize {
            return Err(Error::TooLong(request.bytes.len()));
        }
        if self.free() == 0 {
            return Err(Error::Full(self.engine));
        }
        let Request { hbm_address, length, bytes } = *request;
        let binding = Binding { hbm_address, length, outcome: Outcome::Done as u32 };
        let engine = self.engine;
        let (sealed, carried) = self
            .protection
            .protect(&binding, bytes)
            .map_err(|source| Error::Channel { engine, source })?;
        let Place { descriptors, slots, entries, slot_size, .. } = self.place;
        let slot = slots + slot_offset(sealed.sequence, entries, slot_size) as usize;
        memory.write(slot, carried);
        let descriptor = Descriptor {
            sequence: sealed.sequence,
            hbm_address,
            length,
            engine: engine as u32,
            outcome: binding.outcome,
            tag: sealed.tag,
        };
        let at = descriptors + request_offset(sealed.sequence, entries) as usize;
        memory.write(at + 8, &descriptor.encode()[8..]);
        memory.store_release(at, sealed.sequence);
        self.in_flight.push_back(Expected { hbm_address, length });
        self.unannounced += 1;
        Ok(())
    }

    /// Rings the doorbell if there is a request that it has not rung for.
    pub(crate) fn announce(&mut self, bus: &mut impl Bus) {
        if self.unannounced > 0 {
            bus.register_write32(ring(self.engine, registers::RING_DOORBELL), 1);
            self.unannounced = 0;
        }
    }

    /// Takes the next response, if it is there. The bytes that it carries fill `buffer`, which must
    /// be private and of the length that the request implies.
    pub(crate) fn poll(
        &mut self,
        memory: &impl SharedMemory,
        buffer: &mut [u8],
    ) -> Result<Option<Outcome>, Error> {
        let Some(expected) = self.in_flight.front().copied() else { return Ok(None) };
        let Place { descriptors, slots, entries, slot_size, .. } = self.place;
        let sequence = self.protection.next_response();
        let changed = |field| Error::Changed { engine: self.engine, sequence, field };
        let at = descriptors + response_offset(sequence, entries) as usize;

        let found = memory.load_acquire(at);
        if found != sequence {
            // The only other number that can be there is that of the entry's response before.
            let before = sequence.saturating_sub(u64::from(entries));
            return if found == before { Ok(None) } else { Err(changed(Field::Sequence)) };
        }
        let mut copy = [0; DESCRIPTOR_SIZE];
        memory.read(at, &mut copy);
        let response = Descriptor::decode(&copy).ok_or(changed(Field::Reserved))?;
        if response.sequence != sequence {
            return Err(changed(Field::Sequence));
        }
        if response.engine != self.engine as u32 {
            return Err(changed(Field::Engine));
        }
        if response.hbm_address != expected.hbm_address {
            return Err(changed(Field::HbmAddress));
        }
        let outcome = Outcome::from_value(response.outcome).ok_or(changed(Field::Outcome))?;
        let (length, carried) = self.shape(outcome, &expected, buffer.len());
        if response.length != length {
            return Err(changed(Field::Length));
        }
        let carried = buffer.get_mut(..carried).ok_or(changed(Field::Length))?;
        memory.read(slots + slot_offset(sequence, entries, slot_size) as usize, carried);
        let binding =
            Binding { hbm_address: response.hbm_address, length, outcome: response.outcome };
        self.protection
            .reveal(sequence, &binding, &response.tag, carried)
            .map_err(|source| Error::Channel { engine: self.engine, source })?;
        self.in_flight.pop_front();
        Ok(Some(outcome))
    }

    /// What a response's length field says and how many bytes its slot carries. A reply comes with
    /// every outcome; a copy that was refused has moved nothing.
    fn shape(&self, outcome: Outcome, expected: &Expected, answer: usize) -> (u32, usize) {
        match (self.engine, outcome) {
            (Engine::Command, _) | (Engine::CopyOut, Outcome::Done) => (answer as u32, answer),
            (Engine::CopyIn, Outcome::Done) => (expected.length, 0),
            (Engine::CopyIn | Engine::CopyOut, _) => (0, 0),
        }
    }
}

#[cfg(test)]
mod tests;
