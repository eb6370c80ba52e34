//! RESPOND_IF_READY: asks again for a response that was not ready. It is answered with the response
//! to the original request.

use alloc::vec::Vec;

use super::{Codec, Header, code, open};
use crate::version::Version;
use crate::wire::{DecodeError, Reader};

/// Asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RespondIfReady {
    /// Code of the original request.
    pub request: u8,
    /// As ERROR said.
    pub token: u8,
}

impl Codec for RespondIfReady {
    const CODE: u8 = code::RESPOND_IF_READY;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        open(version, Self::CODE, self.request, self.token)
    }

    fn read(_: &mut Reader<'_>, header: Header, (): ()) -> Result<RespondIfReady, DecodeError> {
        Ok(RespondIfReady { request: header.param1, token: header.param2 })
    }
}
