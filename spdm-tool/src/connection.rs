//! The requester's end of the emulators' socket: one frame there, one frame back.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use ravelin_spdm::transport::carrier::{Carrier, Transport};
use ravelin_spdm::transport::doe::{self, Discovered, Discovery, ObjectType};
use ravelin_spdm::transport::socket::{CLIENT_HELLO, Command, HEADER_SIZE, Header, encode};
use ravelin_spdm::{DecodeError, Message};

/// How long an answer may take. The emulators take part of a second at their slowest.
const PATIENCE: Duration = Duration::from_secs(20);

/// Most bytes of an answer that are taken: more than any message needs.
const MAX_PAYLOAD: u32 = 0x4_0000;

/// Why there is no conversation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody can be reached there.
    #[error("cannot connect to {address}: is a responder listening there?")]
    Connect {
        /// Where.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The connection is lost, or nothing comes.
    #[error("no answer to {to:?}: does the responder use the emulators' framing?")]
    Lost {
        /// What was not answered.
        to: Command,
        /// What the system says.
        source: io::Error,
    },
    /// The answer is longer than any there is.
    #[error("answer of {size} bytes, above {MAX_PAYLOAD}: this is no SPDM responder")]
    TooLong {
        /// As it says of itself.
        size: u32,
    },
    /// The responder serves another transport.
    #[error("the responder speaks {}: say --transport {}", name(*.0), name(*.0))]
    OtherTransport(Transport),
    /// The responder answers with another command.
    #[error("answer of command {found:#06x} to {to:?}: this is no SPDM responder")]
    OtherCommand {
        /// What was answered.
        to: Command,
        /// The answer's command.
        found: u32,
    },
    /// A payload is not what the transport carries.
    #[error("the responder's answer is not the transport's: try another --transport")]
    Payload(#[from] DecodeError),
    /// The mailbox does not list what a session needs.
    #[error("the responder's mailbox has no data object of type {0}: SPDM is not spoken there")]
    NoObjectType(u8),
    /// The mailbox's list has no end.
    #[error("the responder's list of data objects has no end")]
    EndlessDiscovery,
}

/// The name of a transport, as the command line has it.
pub fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Doe => "doe",
        Transport::Mctp => "mctp",
        Transport::None => "none",
    }
}

/// A connection to a responder.
pub struct Connection<S> {
    stream: S,
    carrier: Carrier,
}

/// What the transport carried, there and back.
pub struct Carried {
    /// To the responder.
    pub request: Vec<u8>,
    /// From it.
    pub response: Vec<u8>,
}

impl Connection<TcpStream> {
    /// Connects to a responder.
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub fn open(address: &str, transport: Transport) -> Result<Self, Error> {
        let stream = connect(address)
            .map_err(|source| Error::Connect { address: address.to_owned(), source })?;
        Ok(Connection::over(stream, transport))
    }
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                // Every frame is awaited by the other side: to hold one back for company costs 40 ms.
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl<S: Read + Write> Connection<S> {
    /// A connection over any stream.
    pub fn over(stream: S, transport: Transport) -> Self {
        Connection { stream, carrier: Carrier::new(transport) }
    }

    /// What carries messages.
    pub fn transport(&self) -> Transport {
        self.carrier.transport()
    }

    /// What the emulators' requester opens with: a greeting, and over DOE what the mailbox speaks.
    /// Gives what the transport has carried.
    ///
    /// # Errors
    /// Each but [`Error::Connect`].
    pub fn greet(&mut self) -> Result<Vec<Carried>, Error> {
        // Without a transport the emulators do not greet either.
        if self.transport() != Transport::None {
            self.frame(Command::Test, CLIENT_HELLO)?;
        }
        match self.transport() {
            Transport::Doe => self.discover(),
            Transport::Mctp | Transport::None => Ok(Vec::new()),
        }
    }

    /// Sends a message and takes the answer.
    ///
    /// # Errors
    /// Each but [`Error::Connect`].
    pub fn exchange(&mut self, message: &Message) -> Result<(Message, Carried), Error> {
        let request = self.carrier.encode(message)?;
        let response = self.frame(Command::Normal, &request)?;
        let message = self.carrier.decode(&response)?;
        Ok((message, Carried { request, response }))
    }

    /// Says good-bye: for good, or so that the emulators' responder waits for the next requester.
    /// Whether it is heard makes no difference.
    pub fn part(mut self, for_good: bool) {
        let command = if for_good { Command::Shutdown } else { Command::Continue };
        let _ = self.frame(command, &[]);
    }

    fn discover(&mut self) -> Result<Vec<Carried>, Error> {
        let mut carried = Vec::new();
        let mut types = Vec::new();
        let mut index = 0;
        for _ in 0..=u8::MAX {
            let request = doe::encode(ObjectType::Discovery, &Discovery { index }.encode())?;
            let response = self.frame(Command::Normal, &request)?;
            let (_, payload) = doe::decode(&response)?;
            let found = Discovered::decode(payload)?;
            carried.push(Carried { request, response });
            if found.vendor == doe::VENDOR_PCI_SIG {
                types.push(found.object_type);
            }
            index = found.next;
            if index == 0 {
                let needed = [ObjectType::Spdm as u8, ObjectType::SecuredSpdm as u8];
                return match needed.into_iter().find(|needed| !types.contains(needed)) {
                    Some(missing) => Err(Error::NoObjectType(missing)),
                    None => Ok(carried),
                };
            }
        }
        Err(Error::EndlessDiscovery)
    }

    /// Sends a frame and takes the payload of the answer, which must be of the same command.
    fn frame(&mut self, to: Command, payload: &[u8]) -> Result<Vec<u8>, Error> {
        let lost = |source| Error::Lost { to, source };
        let frame = encode(to, self.transport(), payload)?;
        self.stream.write_all(&frame).map_err(lost)?;
        let mut header = [0; HEADER_SIZE];
        self.stream.read_exact(&mut header).map_err(lost)?;
        let header = Header::decode(&header);
        if header.size > MAX_PAYLOAD {
            return Err(Error::TooLong { size: header.size });
        }
        let mut payload = Vec::new();
        // Memory for what comes, not for what is announced.
        let read = (&mut self.stream).take(header.size.into()).read_to_end(&mut payload);
        if read.map_err(lost)? < header.size as usize {
            return Err(lost(io::ErrorKind::UnexpectedEof.into()));
        }
        if header.transport != self.transport().number()
            && let Some(other) = Transport::from_number(header.transport)
        {
            return Err(Error::OtherTransport(other));
        }
        if header.command != to.number() {
            return Err(Error::OtherCommand { to, found: header.command });
        }
        Ok(payload)
    }
}
