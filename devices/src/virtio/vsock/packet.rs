//! The header of a socket packet (Virtio 1.3, section 5.10.6), between bytes and fields.
//!
//! The codec is rust-vmm's. It works on memory that others may write, so it is given bytes of our own.

// The codec takes a buffer by address.
#![allow(unsafe_code)]

pub(super) use virtio_vsock::packet::PKT_HEADER_SIZE as HEADER;
use virtio_vsock::packet::VsockPacket;

/// The host's own context id.
pub(super) const HOST_CID: u64 = 2;
/// Type of a stream socket.
pub(super) const STREAM: u16 = 1;

/// Shutdown flag: its sender receives no more.
pub(super) const NO_RECEIVE: u32 = 1;
/// Shutdown flag: its sender sends no more.
pub(super) const NO_SEND: u32 = 2;

/// What a packet is for.
pub(super) mod op {
    pub(crate) const REQUEST: u16 = 1;
    pub(crate) const RESPONSE: u16 = 2;
    pub(crate) const RST: u16 = 3;
    pub(crate) const SHUTDOWN: u16 = 4;
    pub(crate) const RW: u16 = 5;
    pub(crate) const CREDIT_UPDATE: u16 = 6;
    pub(crate) const CREDIT_REQUEST: u16 = 7;
}

/// The header of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) src_cid: u64,
    pub(super) dst_cid: u64,
    pub(super) src_port: u32,
    pub(super) dst_port: u32,
    /// Bytes of data behind the header.
    pub(super) len: u32,
    pub(super) kind: u16,
    pub(super) op: u16,
    pub(super) flags: u32,
    /// Bytes that the sender of this packet holds for the receiver's data.
    pub(super) buf_alloc: u32,
    /// Bytes of the receiver's data that it has passed on, so far and modulo 2^32.
    pub(super) fwd_cnt: u32,
}

impl Header {
    pub(super) fn decode(bytes: &[u8; HEADER]) -> Self {
        let mut copy = *bytes;
        let mut header = Self::default();
        on(&mut copy, |packet| {
            // Refused for no other reason than a wrong length.
            let _ = packet.set_header_from_raw(bytes);
            header = Self {
                src_cid: packet.src_cid(),
                dst_cid: packet.dst_cid(),
                src_port: packet.src_port(),
                dst_port: packet.dst_port(),
                len: packet.len(),
                kind: packet.type_(),
                op: packet.op(),
                flags: packet.flags(),
                buf_alloc: packet.buf_alloc(),
                fwd_cnt: packet.fwd_cnt(),
            };
        });
        header
    }

    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        on(&mut bytes, |packet| {
            packet
                .set_src_cid(self.src_cid)
                .set_dst_cid(self.dst_cid)
                .set_src_port(self.src_port)
                .set_dst_port(self.dst_port)
                .set_len(self.len)
                .set_type(self.kind)
                .set_op(self.op)
                .set_flags(self.flags)
                .set_buf_alloc(self.buf_alloc)
                .set_fwd_cnt(self.fwd_cnt);
        });
        bytes
    }
}

/// Lends a header's bytes to the codec.
fn on(bytes: &mut [u8; HEADER], work: impl FnOnce(&mut VsockPacket<'_, ()>)) {
    // SAFETY: the bytes are borrowed for as long as the packet lives, which ends with this function,
    // and nobody else sees them meanwhile.
    if let Ok(mut packet) = unsafe { VsockPacket::new(bytes, None) } {
        work(&mut packet);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_stand_where_the_specification_has_them() {
        let mut bytes = [0; HEADER];
        for (at, byte) in (0..).zip(&mut bytes) {
            *byte = at;
        }
        let header = Header::decode(&bytes);
        assert_eq!(header.src_cid, 0x0706_0504_0302_0100);
        assert_eq!((header.src_port, header.dst_port), (0x1312_1110, 0x1716_1514));
        assert_eq!((header.len, header.kind, header.op), (0x1b1a_1918, 0x1d1c, 0x1f1e));
        assert_eq!((header.buf_alloc, header.fwd_cnt), (0x2726_2524, 0x2b2a_2928));
    }

    proptest! {
        #[test]
        fn headers_survive_both_ways(bytes in any::<[u8; HEADER]>()) {
            prop_assert_eq!(Header::decode(&bytes).encode(), bytes);
        }
    }
}
