//! The guest's console: to where the launcher's user wants it, and to whoever connects to the VM's
//! serial socket.
//!
//! The text is a stranger's. On standard error it comes line by line with what could move a cursor
//! made visible; elsewhere it comes as it is, since that is asked for: a file, the socket, or
//! standard output with [`terminal`] for the way back.

mod terminal;

use crate::cli::foreign::printable;
use crate::config::SerialSpec;
use crate::machine::{SerialLine, interrupt_line};
use ravelin_devices::serial::{Line, LineSink, SerialPort};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use terminal::Terminal;
use vmm_sys_util::eventfd::EventFd;

/// Most clients of the serial socket.
const MAX_CLIENTS: usize = 4;
/// Longest line on standard error.
const MAX_LINE: usize = 1 << 10;
/// How long a read waits before it looks whether the console has ended.
const READ_TIME: Duration = Duration::from_millis(200);

/// The guest's console port, and everyone who listens to it.
pub struct Console {
    port: Arc<SerialPort<Output>>,
    interrupt: EventFd,
    clients: Arc<Clients>,
    _terminal: Option<Terminal>,
}

/// What the port writes to.
pub struct Output {
    /// Nothing where only clients listen.
    shown: Option<Box<dyn Write + Send>>,
    clients: Arc<Clients>,
}

#[derive(Default)]
struct Clients {
    streams: Mutex<Vec<UnixStream>>,
    ended: AtomicBool,
}

impl Console {
    /// A console that goes where the user wants it.
    ///
    /// # Errors
    /// The file cannot be written, or the terminal not be read.
    pub fn new(spec: &SerialSpec) -> io::Result<Self> {
        let clients = Arc::new(Clients::default());
        let shown: Option<Box<dyn Write + Send>> = match spec {
            SerialSpec::Lines => Some(Box::new(LineSink::new(MAX_LINE, show as fn(Line<'_>)))),
            SerialSpec::Stdio => Some(Box::new(Unbuffered)),
            SerialSpec::Socket => None,
            SerialSpec::File(path) => {
                Some(Box::new(OpenOptions::new().append(true).create(true).open(path)?))
            }
        };
        let (interrupt, raise) = interrupt_line()?;
        let output = Output { shown, clients: clients.clone() };
        let port = Arc::new(SerialPort::with_interrupt(output, raise));
        let terminal = (*spec == SerialSpec::Stdio).then(|| Terminal::start(port.clone()));
        Ok(Self { port, interrupt, clients, _terminal: terminal.transpose()? })
    }

    /// The port and its interrupt, for the machine.
    ///
    /// # Errors
    /// There is no file descriptor left.
    pub fn line(&self) -> io::Result<SerialLine> {
        let interrupt = Some(self.interrupt.try_clone()?);
        Ok(SerialLine { port: self.port.clone(), interrupt })
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

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A client that does not keep up, or is gone, is dropped: the guest never waits for one.
        self.clients.lock().retain_mut(|client| client.write_all(bytes).is_ok());
        match &mut self.shown {
            Some(shown) => shown.write(bytes),
            None => Ok(bytes.len()),
        }
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

/// Standard output as it is: a prompt has no newline.
struct Unbuffered;

impl Write for Unbuffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut output = io::stdout().lock();
        let written = output.write(bytes)?;
        output.flush()?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn show(line: Line<'_>) {
    let text = match line {
        Line::Whole(bytes) => printable(&String::from_utf8_lossy(bytes), MAX_LINE),
        Line::TooLong => "(a line too long to show)".into(),
    };
    // Standard error may be closed; the guest goes on.
    let _ = writeln!(io::stderr(), "guest| {text}");
}
