//! FINISH and FINISH_RSP: the requester proves that it has the session's keys.
//!
//! Both go inside the session, under its handshake keys. FINISH_RSP carries nothing then.

use alloc::vec::Vec;

use super::key_exchange::VERIFY_DATA_SIZE;
use super::{Codec, Header, code, header_only, open};
use crate::version::Version;
use crate::wire::{DecodeError, Reader, value};

/// The requester signs, too.
const SIGNATURE_INCLUDED: u8 = 1 << 0;

/// The requester's proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finish {
    /// HMAC-SHA-384 over the transcript so far.
    pub verify_data: [u8; VERIFY_DATA_SIZE],
}

/// The session is established.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinishResponse;

impl Codec for Finish {
    const CODE: u8 = code::FINISH;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        let mut out = open(version, Self::CODE, 0, 0);
        out.extend_from_slice(&self.verify_data);
        out
    }

    fn read(reader: &mut Reader<'_>, header: Header, (): ()) -> Result<Finish, DecodeError> {
        // A signature and a slot are there only in mutual authentication, which nobody asked for.
        if header.param1 & SIGNATURE_INCLUDED != 0 {
            return Err(value("Param1", header.param1));
        }
        Ok(Finish { verify_data: reader.array()? })
    }
}

header_only!(FinishResponse, code::FINISH_RSP);
