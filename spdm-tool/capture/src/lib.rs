//! Captures of SPDM conversations, in the pcap format that DMTF's spdm_dump reads.
//!
//! A packet is what a transport carries, in the order in which it went over the wire. What is in it
//! is of no interest here: requester and responder write captures alike, and neither needs to know
//! of the other's crates for it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use pcap_file::{DataLink, Endianness, PcapError};

/// Most bytes of a packet in a capture: what spdm_dump takes. The rest of a longer one is left out,
/// and its true length told.
const SNAP_LENGTH: u32 = 0x1_0000;

/// The header of an MCTP packet (DSP0236, "MCTP packet fields") in front of each MCTP message, which
/// the link type asks for and the socket does not carry: version and endpoints 0; start and end of
/// message. The emulators write the same.
const MCTP_PACKET_HEADER: [u8; 4] = [0, 0, 0, 0xc0];

/// What the packets of a capture are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// SPDM messages as they are, `LINKTYPE_USER0`: there is no number for them. spdm_dump does not
    /// read these; Wireshark does, once told what they are.
    Plain,
    /// MCTP packets, `LINKTYPE_MCTP`.
    Mctp,
    /// PCIe data objects, `LINKTYPE_PCI_DOE`.
    Doe,
}

impl LinkType {
    /// The number in the file's header.
    pub fn number(self) -> u32 {
        match self {
            LinkType::Plain => 147,
            LinkType::Mctp => 291,
            LinkType::Doe => 292,
        }
    }

    fn from_number(number: u32) -> Option<LinkType> {
        [LinkType::Plain, LinkType::Mctp, LinkType::Doe]
            .into_iter()
            .find(|link| link.number() == number)
    }

    fn header(self) -> &'static [u8] {
        match self {
            LinkType::Mctp => &MCTP_PACKET_HEADER,
            LinkType::Plain | LinkType::Doe => &[],
        }
    }
}

/// Why a capture is not written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no file to write to.
    #[error("the capture cannot be made: choose a file in a folder that may be written to")]
    Create(#[source] io::Error),
    /// The file cannot be written, cannot be read, or is no capture.
    #[error("the capture cannot be written or read: is it a pcap file, on a disk with room?")]
    Pcap(#[source] PcapError),
    /// The capture's packets are none that carry SPDM.
    #[error("link type {0} carries no SPDM here: take a capture of MCTP or PCI DOE")]
    LinkType(u32),
    /// A packet has another header than MCTP's.
    #[error("packet {0} is not a whole MCTP message: capture where messages are whole")]
    NotWhole(usize),
}

/// A capture being written. What was added is in the file, whatever happens next.
pub struct Writer<W: Write> {
    link: LinkType,
    pcap: PcapWriter<W>,
}

impl Writer<File> {
    /// Begins a capture in this file, in place of whatever was in it.
    ///
    /// # Errors
    /// [`Error::Create`], [`Error::Pcap`].
    pub fn create(path: &Path, link: LinkType) -> Result<Writer<File>, Error> {
        Writer::new(File::create(path).map_err(Error::Create)?, link)
    }
}

impl<W: Write> Writer<W> {
    /// Begins a capture.
    ///
    /// # Errors
    /// [`Error::Pcap`].
    pub fn new(to: W, link: LinkType) -> Result<Writer<W>, Error> {
        let header = PcapHeader {
            snaplen: SNAP_LENGTH,
            datalink: DataLink::from(link.number()),
            // spdm_dump reads no other order on the machines it runs on.
            endianness: Endianness::Little,
            ..PcapHeader::default()
        };
        let pcap = PcapWriter::with_header(to, header).map_err(Error::Pcap)?;
        Ok(Writer { link, pcap })
    }

    /// Adds what the transport carries now, either way.
    ///
    /// # Errors
    /// [`Error::Pcap`].
    pub fn add(&mut self, payload: &[u8]) -> Result<(), Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut packet = [self.link.header(), payload].concat();
        let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        packet.truncate(SNAP_LENGTH as usize);
        self.pcap.write_packet(&PcapPacket::new_owned(now, length, packet)).map_err(Error::Pcap)?;
        Ok(())
    }
}

/// The payloads in a capture, in order, and what carried them.
///
/// # Errors
/// Each of [`Error`].
pub fn read(from: impl Read) -> Result<(LinkType, Vec<Vec<u8>>), Error> {
    let mut pcap = PcapReader::new(from).map_err(Error::Pcap)?;
    let number = pcap.header().datalink.into();
    let link = LinkType::from_number(number).ok_or(Error::LinkType(number))?;
    let mut payloads = Vec::new();
    while let Some(packet) = pcap.next_packet() {
        let packet = packet.map_err(Error::Pcap)?;
        let payload = match link {
            LinkType::Mctp => {
                // Who sends to whom is no matter; a fragment of a message is.
                let whole = packet.data.get(3).is_some_and(|flags| flags >> 6 == 3);
                packet.data.get(4..).filter(|_| whole).ok_or(Error::NotWhole(payloads.len()))?
            }
            LinkType::Plain | LinkType::Doe => &packet.data,
        };
        payloads.push(payload.to_vec());
    }
    Ok((link, payloads))
}

#[cfg(test)]
mod tests;
