//! The TCP side of `gpu-server`: connections one after another, until a signal.
//!
//! One at a time, as there is one wire: who comes while another is spoken to waits. So that nobody
//! waits for ever, a connection on which nothing comes for [`PATIENCE`] is closed.

use super::capture::Capture;
use crate::cli::Error;
use crate::cli::exit::ExitCode;
use crate::cli::output::Progress;
use ravelin_gpu_model::{SpdmPort, SpdmSocket};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

/// How long a connection may be silent: long enough to step through a requester in a debugger.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long one who has said that it goes may take for it.
const FAREWELL: Duration = Duration::from_secs(2);

/// Bytes taken from a connection at once.
const PIECE: usize = 8 << 10;

/// A socket that connections come to.
pub(super) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

/// The signals that end the server.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Listener {
    /// Listens on this address; port 0 takes a free one.
    pub(super) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves each connection with a port of its own, until a signal comes, whose exit code it
    /// gives.
    pub(super) async fn serve(
        self,
        port: impl Fn() -> SpdmPort,
        mut capture: Option<Capture>,
    ) -> Result<ExitCode, Error> {
        let mut signals =
            Signals::new().map_err(|error| Error::System("a signal handler", error))?;
        tokio::select! {
            signal = signals.next() => Ok(signal),
            error = self.accept(port, &mut capture) => {
                Err(Error::System("connections", error))
            }
        }
    }

    /// Serves until no more connections can be taken, and says why.
    async fn accept(
        &self,
        port: impl Fn() -> SpdmPort,
        capture: &mut Option<Capture>,
    ) -> io::Error {
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return error,
            };
            tracing::debug!(%peer, "connected");
            match converse(stream, SpdmSocket::new(port()), capture).await {
                Ok(()) => tracing::debug!(%peer, "gone"),
                Err(error) => Progress::new().warn(&format!("lost {peer}: {error}")),
            }
        }
    }
}

/// Answers what comes until the peer goes.
async fn converse(
    mut stream: TcpStream,
    mut socket: SpdmSocket,
    capture: &mut Option<Capture>,
) -> io::Result<()> {
    // Every frame is awaited by the other side: to hold one back for company costs 40 ms.
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; PIECE];
    loop {
        let length = timeout(PATIENCE, stream.read(&mut buffer)).await??;
        if length == 0 {
            return Ok(());
        }
        let mut input = buffer.get(..length).unwrap_or_default();
        while let Some(served) = socket.receive(&mut input) {
            if let (Some(capture), Some(carried)) = (capture.as_mut(), &served.carried) {
                capture.add(carried);
            }
            timeout(PATIENCE, stream.write_all(&served.frame)).await??;
            if served.last {
                return part(stream, &mut buffer).await;
            }
        }
    }
}

/// Closes a connection so that what was written last arrives: with bytes unread it might not.
async fn part(mut stream: TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    stream.shutdown().await?;
    let drained = timeout(FAREWELL, async {
        while stream.read(buffer).await? > 0 {}
        io::Result::Ok(())
    });
    // Whoever is still there has been told.
    drained.await.unwrap_or(Ok(()))
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> ExitCode {
        tokio::select! {
            _ = self.interrupt.recv() => ExitCode::Interrupted,
            _ = self.terminate.recv() => ExitCode::Terminated,
            _ = self.hang_up.recv() => ExitCode::Terminated,
        }
    }
}
