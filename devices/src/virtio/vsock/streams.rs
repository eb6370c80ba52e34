//! Every stream between guest and host: which packet of the guest's belongs to which, and what the
//! guest is to be told next.
//!
//! Knows neither rings nor memory: the guest's packets come in with [`Streams::packet`], and what is
//! for it goes out with [`Streams::next`]. Control packets wait in a queue of bounded length;
//! data waits in the sockets, and streams are read in turn.

use super::host;
use super::packet::{HOST_CID, Header, NO_SEND, STREAM, op};
use super::stream::{Looked, Phase, Ports, Stream};
use crate::virtio::socket::{Error, Listener, Watch};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::RawFd;
use std::path::Path;

/// Most streams at a time: each costs the VMM a descriptor.
const MOST: usize = 256;
/// From here on the guest has to take its packets before it may send more.
const CONTROL: usize = 64;
/// First of the ports that the host's clients get.
const FIRST_PORT: u32 = 1 << 30;
/// Token of the listener; streams have their numbers, from 1.
const LISTENER: u64 = 0;

/// All streams of a device.
pub(super) struct Streams {
    cid: u64,
    listener: Listener,
    watch: Watch,
    streams: HashMap<u64, Stream>,
    known: HashMap<Ports, u64>,
    next_id: u64,
    next_port: u32,
    control: VecDeque<Header>,
    /// Streams whose sockets may have something for the guest.
    line: VecDeque<u64>,
}

impl Streams {
    pub(super) fn new(cid: u64, path: &Path) -> Result<Self, Error> {
        let listener = Listener::bind(path)?;
        let failed = |error| Error::Listen(path.into(), error);
        let watch = Watch::new().map_err(failed)?;
        watch.add(&listener, LISTENER).map_err(failed)?;
        Ok(Self {
            cid,
            listener,
            watch,
            streams: HashMap::new(),
            known: HashMap::new(),
            next_id: LISTENER + 1,
            next_port: FIRST_PORT,
            control: VecDeque::new(),
            line: VecDeque::new(),
        })
    }

    /// A descriptor that becomes ready when one of the sockets does.
    pub(super) fn descriptor(&self) -> RawFd {
        self.watch.descriptor()
    }

    /// Ends every stream: the guest that had them is gone.
    pub(super) fn clear(&mut self) {
        self.streams.clear();
        self.known.clear();
        self.control.clear();
        self.line.clear();
    }

    /// Whether the guest has to take packets before it may send more.
    pub(super) fn full(&self) -> bool {
        self.control.len() >= CONTROL
    }

    /// Looks at every socket that has become ready.
    pub(super) fn look(&mut self) {
        loop {
            let ready = self.watch.ready();
            if ready.is_empty() {
                return;
            }
            for token in ready {
                match token {
                    LISTENER => self.accept(),
                    id => self.ready(id),
                }
            }
        }
    }

    /// Takes a packet of the guest's. `data` copies its data out of the guest, and is called once at
    /// most, with no more room than the guest had credit for.
    pub(super) fn packet<E>(
        &mut self,
        header: &Header,
        data: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if header.src_cid != self.cid {
            // Whoever that is, it is not the guest.
            return Ok(());
        }
        let ports = Ports { guest: header.src_port, host: header.dst_port };
        let sense = header.dst_cid == HOST_CID && header.kind == STREAM;
        let id = self.known.get(&ports).copied().filter(|_| sense);
        match (header.op, id) {
            (op::RST, Some(id)) => self.forget(id),
            (op::RST, None) => {}
            (op::REQUEST, None) if sense => self.request(header, ports),
            (_, Some(id)) => return self.on_stream(id, header, data),
            // A stream that there is not, or a packet that is none of a stream's.
            (_, None) => self.control.push_back(self.reply(header)),
        }
        Ok(())
    }

    /// What the guest is to be told next, with its data in `buffer`.
    pub(super) fn next(&mut self, buffer: &mut [u8]) -> Option<Header> {
        if let Some(mut header) = self.control.pop_front() {
            let ports = Ports { guest: header.dst_port, host: header.src_port };
            let stream = self.known.get(&ports).and_then(|id| self.streams.get_mut(id));
            if let Some(stream) = stream {
                stream.flow.tell(&mut header);
            }
            return Some(header);
        }
        while let Some(id) = self.line.pop_front() {
            if let Some(header) = self.read(id, buffer) {
                return Some(header);
            }
        }
        None
    }

    /// A stream that the guest wants.
    fn request(&mut self, header: &Header, ports: Ports) {
        let socket = match self.streams.len() < MOST {
            true => host::reach(&self.listener, ports.host),
            false => Err(io::ErrorKind::QuotaExceeded.into()),
        };
        let opened = socket.and_then(|socket| self.add(Stream::new(socket, Phase::Open, ports)));
        match opened {
            Ok(id) => {
                self.known.insert(ports, id);
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.flow.learn(header);
                }
                self.tell(ports, op::RESPONSE);
                self.line_up(id);
            }
            Err(error) => {
                tracing::debug!(%error, port = ports.host, "nobody takes the guest's stream");
                self.tell(ports, op::RST);
            }
        }
    }

    fn on_stream<E>(
        &mut self,
        id: u64,
        header: &Header,
        data: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        stream.flow.learn(header);
        let open = matches!(stream.phase, Phase::Open);
        let legal = match header.op {
            op::RW => open && stream.flow.receive(header.len),
            op::RESPONSE => matches!(stream.phase, Phase::Requested),
            op::SHUTDOWN | op::CREDIT_UPDATE | op::CREDIT_REQUEST => open,
            _ => false,
        };
        if !legal {
            self.reset(id);
            return Ok(());
        }
        let ports = stream.ports;
        match header.op {
            op::RW => {
                let mut bytes = vec![0; header.len as usize];
                data(&mut bytes)?;
                stream.push(&bytes);
                self.flush(id);
            }
            op::RESPONSE => {
                stream.phase = Phase::Open;
                if stream.say(&format!("OK {}\n", ports.host)).is_err() {
                    self.reset(id);
                }
            }
            op::SHUTDOWN => {
                stream.flow.shut(header.flags);
                self.flush(id);
            }
            op::CREDIT_REQUEST => self.tell(ports, op::CREDIT_UPDATE),
            _ => {}
        }
        self.line_up(id);
        Ok(())
    }

    /// Clients that wait at the door.
    fn accept(&mut self) {
        while let Ok(client) = self.listener.accept() {
            if self.streams.len() < MOST {
                let phase = Phase::Greeting(Vec::new());
                if let Ok(id) = self.add(Stream::new(client, phase, Ports::default())) {
                    self.ready(id);
                }
            }
        }
    }

    /// A socket has become readable or writable, or has been closed.
    fn ready(&mut self, id: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        match stream.phase {
            Phase::Greeting(_) => match stream.greet() {
                Ok(None) => {}
                Ok(Some(port)) => self.ask(id, port),
                Err(error) => {
                    tracing::debug!(%error, "client of the vsock socket went without a port");
                    self.forget(id);
                }
            },
            Phase::Requested => {}
            Phase::Open => {
                self.flush(id);
                self.line_up(id);
            }
        }
    }

    /// Asks the guest whether it takes a client.
    fn ask(&mut self, id: u64, guest: u32) {
        // There are fewer streams than ports.
        let free = (0..=MOST as u32).map(|more| self.next_port.wrapping_add(more) | FIRST_PORT);
        let host =
            free.into_iter().find(|host| !self.known.contains_key(&Ports { guest, host: *host }));
        let (Some(host), Some(stream)) = (host, self.streams.get_mut(&id)) else { return };
        self.next_port = host.wrapping_add(1) | FIRST_PORT;
        stream.ports = Ports { guest, host };
        stream.phase = Phase::Requested;
        self.known.insert(stream.ports, id);
        let ports = stream.ports;
        self.tell(ports, op::REQUEST);
    }

    /// Gives the host's end what it takes of the guest's bytes.
    fn flush(&mut self, id: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let (flushed, ports) = (stream.flush(), stream.ports);
        if flushed.is_err() || stream.finished() {
            return self.reset(id);
        }
        if stream.flow.update_due() {
            // Counted as told, so that it is told once.
            stream.flow.tell(&mut Header::default());
            self.tell(ports, op::CREDIT_UPDATE);
        }
    }

    /// A packet of what a stream's socket has, if it has anything and the guest takes it.
    fn read(&mut self, id: u64, buffer: &mut [u8]) -> Option<Header> {
        let stream = self.streams.get_mut(&id)?;
        stream.in_line = false;
        let most = buffer.len().min(stream.flow.credit() as usize);
        let closed = !matches!(stream.phase, Phase::Open) || !stream.host_sends;
        if closed || most == 0 {
            // Back in line when the guest gives credit.
            return None;
        }
        let ports = stream.ports;
        match stream.read(&mut buffer[..most]) {
            Ok(Looked::Bytes(length)) => {
                stream.flow.send(length as u32);
                let mut header = outgoing(self.cid, ports, op::RW);
                header.len = length as u32;
                stream.flow.tell(&mut header);
                self.line_up(id);
                Some(header)
            }
            Ok(Looked::Nothing) => None,
            Ok(Looked::End) => {
                stream.host_sends = false;
                let mut header = outgoing(self.cid, ports, op::SHUTDOWN);
                header.flags = NO_SEND;
                stream.flow.tell(&mut header);
                Some(header)
            }
            Err(_) => {
                self.forget(id);
                Some(outgoing(self.cid, ports, op::RST))
            }
        }
    }

    fn line_up(&mut self, id: u64) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.in_line
        {
            stream.in_line = true;
            self.line.push_back(id);
        }
    }

    /// Ends a stream and says so to the guest.
    fn reset(&mut self, id: u64) {
        if let Some(ports) = self.streams.get(&id).map(|stream| stream.ports) {
            self.tell(ports, op::RST);
        }
        self.forget(id);
    }

    fn forget(&mut self, id: u64) {
        if let Some(stream) = self.streams.remove(&id)
            && self.known.get(&stream.ports) == Some(&id)
        {
            self.known.remove(&stream.ports);
        }
    }

    fn tell(&mut self, ports: Ports, op: u16) {
        self.control.push_back(outgoing(self.cid, ports, op));
    }

    /// The answer to what is no packet of a stream's.
    fn reply(&self, header: &Header) -> Header {
        let ports = Ports { guest: header.src_port, host: header.dst_port };
        Header { kind: header.kind, src_cid: header.dst_cid, ..outgoing(self.cid, ports, op::RST) }
    }

    fn add(&mut self, stream: Stream) -> io::Result<u64> {
        let id = self.next_id;
        self.watch.add(stream.socket(), id)?;
        self.next_id += 1;
        self.streams.insert(id, stream);
        Ok(id)
    }
}

fn outgoing(cid: u64, ports: Ports, op: u16) -> Header {
    Header {
        src_cid: HOST_CID,
        dst_cid: cid,
        src_port: ports.host,
        dst_port: ports.guest,
        kind: STREAM,
        op,
        ..Header::default()
    }
}
