//! END_SESSION and END_SESSION_ACK.

use alloc::vec::Vec;

use super::{Codec, Header, code, header_only, open};
use crate::version::Version;
use crate::wire::{DecodeError, Reader};

/// Ends the session that it arrives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndSession {
    /// Whether the responder shall forget the negotiated state too. It may cache that only with
    /// CACHE_CAP, which nobody here has, so it makes no difference.
    pub clear_negotiated_state: bool,
}

/// The last message of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndSessionAck;

impl Codec for EndSession {
    const CODE: u8 = code::END_SESSION;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        open(version, Self::CODE, self.clear_negotiated_state.into(), 0)
    }

    fn read(_: &mut Reader<'_>, header: Header, (): ()) -> Result<EndSession, DecodeError> {
        Ok(EndSession { clear_negotiated_state: header.param1 & 1 != 0 })
    }
}

header_only!(EndSessionAck, code::END_SESSION_ACK);
