//! Every message of every type and version, cut, lengthened, out of order, repeated and with bits
//! flipped: what the other end makes of it, exactly. Long messages are sampled, in each version at
//! other places.

use alloc::vec::Vec;

use crate::message::vendor::VendorDefined;
use crate::requester::Ask;
use crate::test_support::conversation::Setup;
use crate::version::Version;

mod requester;
mod responder;

/// What is asked in a session, all of it short enough for one piece.
fn asks(version: Version) -> Vec<Ask> {
    let short = |ask| match ask {
        Ask::VendorDefined(fields) => {
            Ask::VendorDefined(VendorDefined { payload: Vec::from([1, 2, 3]), ..fields })
        }
        ask => ask,
    };
    Setup::everything(version).asks.into_iter().map(short).collect()
}

/// Lengths below a message's own.
fn lengths(whole: usize) -> impl Iterator<Item = usize> {
    (0..whole).filter(move |length| *length < 12 || length % 7 == 0 || length + 3 > whole)
}

/// Bytes and bits of a message.
fn flipped(version: Version, length: usize) -> Vec<(usize, usize)> {
    let minor = version as usize & 0xf;
    let bits = |byte| match (length, byte) {
        (..50, _) => 0..8,
        (_, ..12) => 0..8,
        _ if byte % 3 == minor - 1 => byte % 8..byte % 8 + 1,
        _ => 0..0,
    };
    (0..length).flat_map(|byte| bits(byte).map(move |bit| (byte, bit))).collect()
}
