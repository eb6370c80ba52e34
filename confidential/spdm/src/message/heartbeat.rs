//! HEARTBEAT and HEARTBEAT_ACK: the session is still there.

use alloc::vec::Vec;

use super::{Codec, Header, code, open};
use crate::version::Version;
use crate::wire::{DecodeError, Reader};

/// Keeps the session that it arrives in alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat;

/// It is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatAck;

impl Codec for Heartbeat {
    const CODE: u8 = code::HEARTBEAT;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        open(version, Self::CODE, 0, 0)
    }

    fn read(_: &mut Reader<'_>, _: Header, (): ()) -> Result<Heartbeat, DecodeError> {
        Ok(Heartbeat)
    }
}

impl Codec for HeartbeatAck {
    const CODE: u8 = code::HEARTBEAT_ACK;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        open(version, Self::CODE, 0, 0)
    }

    fn read(_: &mut Reader<'_>, _: Header, (): ()) -> Result<HeartbeatAck, DecodeError> {
        Ok(HeartbeatAck)
    }
}
