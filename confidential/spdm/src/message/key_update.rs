//! KEY_UPDATE and KEY_UPDATE_ACK: the session goes on with other keys.

use alloc::vec::Vec;

use super::{Codec, Header, code, open};
use crate::version::Version;
use crate::wire::{DecodeError, Reader, value};

/// What to do with the keys (DSP0274, table "KEY_UPDATE operations").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// The requester's direction gets a new key.
    UpdateKey = 1,
    /// Both directions get a new key.
    UpdateAllKeys = 2,
    /// This request is the first under the requester's new key.
    VerifyNewKey = 3,
}

impl Operation {
    fn from_byte(byte: u8) -> Result<Operation, DecodeError> {
        Ok(match byte {
            1 => Operation::UpdateKey,
            2 => Operation::UpdateAllKeys,
            3 => Operation::VerifyNewKey,
            _ => return Err(value("Key Operation", byte)),
        })
    }
}

/// Asks for other keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUpdate {
    /// What to do.
    pub operation: Operation,
    /// Tells a request from a repeated one.
    pub tag: u8,
}

/// It is done. Operation and tag are the request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUpdateAck {
    /// What was done.
    pub operation: Operation,
    /// The request's.
    pub tag: u8,
}

impl Codec for KeyUpdate {
    const CODE: u8 = code::KEY_UPDATE;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        open(version, Self::CODE, self.operation as u8, self.tag)
    }

    fn read(_: &mut Reader<'_>, header: Header, (): ()) -> Result<KeyUpdate, DecodeError> {
        Ok(KeyUpdate { operation: Operation::from_byte(header.param1)?, tag: header.param2 })
    }
}

impl Codec for KeyUpdateAck {
    const CODE: u8 = code::KEY_UPDATE_ACK;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        open(version, Self::CODE, self.operation as u8, self.tag)
    }

    fn read(_: &mut Reader<'_>, header: Header, (): ()) -> Result<KeyUpdateAck, DecodeError> {
        Ok(KeyUpdateAck { operation: Operation::from_byte(header.param1)?, tag: header.param2 })
    }
}
