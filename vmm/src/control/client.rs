//! The operator's end of the control API: one request, one answer.

use super::api::Refusal;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tokio::time::timeout;

/// Most bytes of an answer.
const MAX_ANSWER: usize = 4 << 20;
/// How long to wait for one; a reset scrubs memory.
const ANSWER_TIME: Duration = Duration::from_secs(90);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens at the socket.
    #[error("nobody answers at {0}: see `ravelinctl list` for the VMs that run")]
    Connect(PathBuf, #[source] io::Error),
    /// The VM refuses, and says why.
    #[error("{message}")]
    Refused {
        /// The API's stable code.
        code: String,
        /// The API's message.
        message: String,
    },
    /// The answer takes too long.
    #[error("no answer within {} s: the VM is busy or stopped", ANSWER_TIME.as_secs())]
    TimedOut,
    /// The answer is not of this API.
    #[error("the answer is not understood: use the ravelinctl that came with this VM's ravelin")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A way to one VM's API.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// The API at this socket. Nothing is connected yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Asks for what is at `path`.
    ///
    /// # Errors
    /// No VM, a refusal, or an answer of another shape.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.request(Method::GET, path, Bytes::new())
    }

    /// Sends `body` to `path`.
    ///
    /// # Errors
    /// No VM, a refusal, or an answer of another shape.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        let body = serde_json::to_vec(body).map_err(|error| Error::Answer(error.into()))?;
        self.request(Method::POST, path, body.into())
    }

    fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Error> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::Answer(error.into()))?;
        let (status, bytes) = runtime.block_on(async {
            let answer = exchange(&self.socket, method, path, body);
            timeout(ANSWER_TIME, answer).await.unwrap_or(Err(Error::TimedOut))
        })?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|error| Error::Answer(error.into()));
        }
        let refusal: Refusal =
            serde_json::from_slice(&bytes).map_err(|error| Error::Answer(error.into()))?;
        Err(Error::Refused { code: refusal.error, message: refusal.message })
    }
}

async fn exchange(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), Error> {
    fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Answer(error.into())
    }
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|error| Error::Connect(socket.to_owned(), error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends with the answer, and its errors are the answer's.
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "ravelin")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(broken)?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(broken)?;
    Ok((status, body.to_bytes()))
}
