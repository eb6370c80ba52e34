//! The guest's console: to standard error for the launcher's user, and to whoever connects to the
//! VM's serial socket.
//!
//! The text is a stranger's. On standard error it comes line by line with what could move a cursor
//! made visible; on the socket it comes as it is, since a terminal of one's own is asked for there.

use crate::cli::foreign::printable;
use ravelin_devices::serial::{Line, LineSink, SerialPort};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Most clients of the serial socket.
const MAX_CLIENTS: usize = 4;
/// Longest line on standard error.
const MAX_LINE: usize = 1 << 10;
/// How long a read waits before it looks whether the console has ended.
const READ_TIME: Duration = Duration::from_millis(200);

/// The guest's console port, and everyone who listens to it.
pub struct Console {
    port: Arc<SerialPort<Output>>,
    clients: Arc<Clients>,
}

/// What the port writes to.
pub struct Output {
    lines: LineSink<fn(Line<'_>)>,
    clients: Arc<Clients>,
}

#[derive(Default)]
struct Clients {
    streams: Mutex<Vec<UnixStream>>,
    ended: AtomicBool,
}

impl Console {
    /// A console whose lines go to standard error.
    pub fn new() -> Self {
        let clients = Arc::new(Clients::default());
        let lines = LineSink::new(MAX_LINE, show as fn(Line<'_>));
        let output = Output { lines, clients: clients.clone() };
        Self { port: Arc::new(SerialPort::new(output)), clients }
    }

    /// The port, for the bus.
    pub fn port(&self) -> Arc<SerialPort<Output>> {
        self.port.clone()
    }

    /// Lets clients listen and type at `socket`, mode 0600, until the result is dropped.
    ///
    /// # Errors
    /// The socket or the thread cannot be made.
    pub fn listen(&self, socket: &Path) -> io::Result<ConsoleServer> {
        let listener = UnixListener::bind(socket)?;
        fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
        let (port, clients) = (self.port.clone(), self.clients.clone());
        let serve = move || accept(&listener, &port, &clients);
        let thread = thread::Builder::new().name("console".into()).spawn(serve)?;
        let clients = self.clients.clone();
        Ok(ConsoleServer { clients, socket: socket.into(), thread: Some(thread) })
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A client that does not keep up, or is gone, is dropped: the guest never waits for one.
        self.clients.lock().retain_mut(|client| client.write_all(bytes).is_ok());
        self.lines.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The serial socket. Dropping it ends every connection.
pub struct ConsoleServer {
    clients: Arc<Clients>,
    socket: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Drop for ConsoleServer {
    fn drop(&mut self) {
        self.clients.ended.store(true, Ordering::SeqCst);
        // Wakes the thread; should that fail it stays asleep, and ends with the process.
        let woken = UnixStream::connect(&self.socket).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            // A panic of its own has been reported already.
            let _ = thread.join();
        }
        self.clients.lock().clear();
    }
}

impl Clients {
    fn lock(&self) -> MutexGuard<'_, Vec<UnixStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &UnixListener, port: &Arc<SerialPort<Output>>, clients: &Arc<Clients>) {
    for stream in listener.incoming() {
        if clients.ended.load(Ordering::SeqCst) {
            return;
        }
        let joined = stream.and_then(|stream| join(stream, port, clients));
        if let Err(error) = joined {
            tracing::warn!(%error, "serial socket");
            thread::sleep(READ_TIME);
        }
    }
}

/// Adds a client and a thread that hands what it types to the guest.
fn join(
    mut stream: UnixStream,
    port: &Arc<SerialPort<Output>>,
    clients: &Arc<Clients>,
) -> io::Result<()> {
    let mut streams = clients.lock();
    if streams.len() >= MAX_CLIENTS {
        // Dropped, which the client sees at once.
        return Ok(());
    }
    let output = stream.try_clone()?;
    // Both are one socket: a write times out rather than letting a vCPU wait, and so does a read.
    output.set_write_timeout(Some(Duration::from_millis(1)))?;
    stream.set_read_timeout(Some(READ_TIME))?;
    let (port, clients) = (port.clone(), clients.clone());
    thread::Builder::new().name("console-client".into()).spawn(move || {
        let mut input = [0; 16];
        while !clients.ended.load(Ordering::SeqCst) {
            match stream.read(&mut input) {
                Ok(0) => return,
                // What does not fit is lost, as on a wire without flow control.
                Ok(length) => drop(port.receive(input.get(..length).unwrap_or_default())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    })?;
    streams.push(output);
    Ok(())
}

fn show(line: Line<'_>) {
    let text = match line {
        Line::Whole(bytes) => printable(&String::from_utf8_lossy(bytes), MAX_LINE),
        Line::TooLong => "(a line too long to show)".into(),
    };
    // Standard error may be closed; the guest goes on.
    let _ = writeln!(io::stderr(), "guest| {text}");
}
