//! The control API's socket: one thread, bounded in every direction.
//!
//! A client gets so many bytes for a head and a body, so much time, and one request a connection;
//! so many clients are served at once and the others wait in the socket's queue. None of it reaches
//! a vCPU.

use super::router::{Subject, router};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

/// Clients served at once.
const MAX_CLIENTS: usize = 16;
/// Most bytes of a request's head.
const MAX_HEAD: usize = 16 << 10;
/// How long a client may take to send a head.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// How long a request may take in all; the longest is a reset.
const REQUEST_TIME: Duration = Duration::from_secs(60);
/// How long to wait where the system gives no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A control API that is being served. Dropping it ends the service, not the VM.
#[derive(Debug)]
pub struct ControlServer {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ControlServer {
    /// Serves the API about `subject` at `socket`, mode 0600. The socket's directory is private, so
    /// nobody connects before the mode is set.
    ///
    /// # Errors
    /// The socket or the thread cannot be made.
    pub fn start(socket: &Path, subject: Arc<Subject>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(socket)?
        };
        fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
        let (stop, stopped) = oneshot::channel();
        let serve = move || serve(runtime, listener, router(subject), stopped);
        let thread = thread::Builder::new().name("control".into()).spawn(serve)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        // Dropping the sender is the signal.
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic of its own has been reported already.
            let _ = thread.join();
        }
    }
}

fn serve(
    runtime: Runtime,
    listener: UnixListener,
    router: Router,
    mut stopped: oneshot::Receiver<()>,
) {
    runtime.block_on(async {
        tokio::select! {
            _ = &mut stopped => {}
            () = accept(&listener, router) => {}
        }
    });
    // Requests under way are not waited for: a reset in progress belongs to a VM that ends.
    runtime.shutdown_background();
}

async fn accept(listener: &UnixListener, router: Router) {
    let clients = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        // Never closed, so never an error.
        let Ok(permit) = clients.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "control socket");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let router = router.clone();
        tokio::spawn(async move {
            let _permit = permit;
            // A client that is too slow, or speaks something else, is gone; that is its loss.
            let _ = timeout(REQUEST_TIME, answer(stream, router)).await;
        });
    }
}

async fn answer(stream: UnixStream, router: Router) -> hyper::Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}

#[cfg(test)]
mod tests;
