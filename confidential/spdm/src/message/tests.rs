//! Layouts, byte by byte, as DSP0274 gives them, and strictness. What is written here is written
//! from the specification: no test compares one end of this crate with the other.

use super::*;

mod constants;
mod identity;
mod measurements;
mod negotiation;
mod session;
mod strictness;
mod transfer;

const V: Version = Version::V1_2;

/// The message has this layout, and no other of its prefixes or extensions.
fn assert_layout<M>(message: &M, context: M::Context, version: Version, layout: &[u8])
where
    M: Codec + PartialEq + core::fmt::Debug,
{
    assert_eq!(message.encode(version), layout);
    assert_eq!(decode::<M>(layout, version, context).as_ref(), Ok(message));
    for length in 0..layout.len() {
        // ERROR's extended data has no length of its own.
        let shorter = decode::<M>(&layout[..length], version, context);
        assert!(shorter.is_err() || M::CODE == code::ERROR, "{length} bytes are enough");
    }
    if M::CODE != code::ERROR {
        let longer = [layout, &[0]].concat();
        let trailing = Err(DecodeError::Trailing { extra: 1 });
        assert_eq!(decode::<M>(&longer, version, context), trailing);
    }
}
