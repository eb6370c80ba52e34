//! What each request of the control API does.
//!
//! Every answer is JSON, every refusal a [`Refusal`] with a stable code. Requests touch the admin
//! port and nothing else of the VM; a request that makes no sense changes nothing.

use super::administered::{self, Administered};
use super::api::{
    GpuEvents, GpuInfo, GpuTelemetry, Gpus, ModeChosen, ModeRequest, Refusal, ResetDone,
    ResetRequest, VmInfo,
};
use crate::runtime::EventLog;
use axum::Router;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Json, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Instant;

/// Most bytes of a request's body.
pub const MAX_BODY: usize = 4 << 10;
/// The document that describes the API.
pub const OPENAPI: &str = include_str!("openapi.json");

/// What the API is about.
pub struct Subject {
    /// The VM; its uptime is filled in at each request.
    pub vm: VmInfo,
    /// When it was made.
    pub since: Instant,
    /// Its GPUs.
    pub gpus: Vec<Arc<dyn Administered>>,
    /// Where what the operator does is written down.
    pub log: Option<Arc<EventLog>>,
}

/// The API.
pub fn router(subject: Arc<Subject>) -> Router {
    Router::new()
        .route("/v1/openapi.json", get(openapi))
        .route("/v1/vm", get(vm))
        .route("/v1/gpus", get(gpus))
        .route("/v1/gpus/{gpu}", get(gpu))
        .route("/v1/gpus/{gpu}/telemetry", get(telemetry))
        .route("/v1/gpus/{gpu}/events", get(events))
        .route("/v1/gpus/{gpu}/reset", post(reset))
        .route("/v1/gpus/{gpu}/mode", post(mode))
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(subject)
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn vm(State(subject): State<Arc<Subject>>) -> Json<VmInfo> {
    let uptime_us = subject.since.elapsed().as_micros() as u64;
    Json(VmInfo { uptime_us, ..subject.vm.clone() })
}

async fn gpus(State(subject): State<Arc<Subject>>) -> Json<Gpus> {
    let gpus = subject.gpus.iter().enumerate();
    Json(Gpus { gpus: gpus.map(|(index, gpu)| gpu.info(index)).collect() })
}

async fn gpu(State(subject): State<Arc<Subject>>, Path(gpu): Path<String>) -> Answer<GpuInfo> {
    let (index, gpu) = subject.gpu(&gpu)?;
    Ok(Json(gpu.info(index)))
}

async fn telemetry(
    State(subject): State<Arc<Subject>>,
    Path(gpu): Path<String>,
) -> Answer<GpuTelemetry> {
    let (index, gpu) = subject.gpu(&gpu)?;
    Ok(Json(gpu.telemetry(index)))
}

/// Which events are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    /// Number of the last event that the client has.
    #[serde(default)]
    after: u64,
}

async fn events(
    State(subject): State<Arc<Subject>>,
    Path(gpu): Path<String>,
    query: Result<Query<Events>, QueryRejection>,
) -> Answer<GpuEvents> {
    let (_, gpu) = subject.gpu(&gpu)?;
    let Query(Events { after }) =
        query.map_err(|error| Refused::malformed(error.status(), error.body_text()))?;
    Ok(Json(GpuEvents { events: gpu.events_after(after) }))
}

async fn reset(
    State(subject): State<Arc<Subject>>,
    Path(gpu): Path<String>,
    request: Result<Json<ResetRequest>, JsonRejection>,
) -> Answer<ResetDone> {
    let (index, gpu) = subject.gpu(&gpu)?;
    let Json(ResetRequest { kind }) =
        request.map_err(|error| Refused::malformed(error.status(), error.body_text()))?;
    let gpu = gpu.clone();
    let begin = Instant::now();
    // A reset scrubs memory: it takes its time, and others may ask meanwhile.
    let resetting = tokio::task::spawn_blocking(move || gpu.reset(kind));
    let done = match resetting.await {
        Ok(Ok(resets)) => {
            let duration_us = begin.elapsed().as_micros() as u64;
            ResetDone { kind, resets, duration_us }
        }
        Ok(Err(refusal)) => return Err(refusal.into()),
        Err(error) => return Err(Refused::reset(error.to_string())),
    };
    if let Some(log) = &subject.log {
        log.append(&serde_json::json!({
            "event": "operator_reset", "gpu": index, "kind": kind, "resets": done.resets,
        }));
    }
    Ok(Json(done))
}

async fn mode(
    State(subject): State<Arc<Subject>>,
    Path(gpu): Path<String>,
    request: Result<Json<ModeRequest>, JsonRejection>,
) -> Answer<ModeChosen> {
    let (index, gpu) = subject.gpu(&gpu)?;
    let Json(ModeRequest { mode }) =
        request.map_err(|error| Refused::malformed(error.status(), error.body_text()))?;
    let chosen = gpu.set_mode(mode)?;
    if let Some(log) = &subject.log {
        log.append(&serde_json::json!({ "event": "operator_mode", "gpu": index, "mode": mode }));
    }
    Ok(Json(chosen))
}

async fn no_such_path() -> Refused {
    Refused::new(
        StatusCode::NOT_FOUND,
        "no-such-path",
        "no such path: GET /v1/openapi.json describes them",
    )
}

async fn wrong_method() -> Refused {
    Refused::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method",
        "this path does not take that method: GET /v1/openapi.json says which",
    )
}

impl Subject {
    fn gpu(&self, number: &str) -> Result<(usize, &Arc<dyn Administered>), Refused> {
        let index = number.parse::<usize>().ok();
        index.and_then(|index| Some((index, self.gpus.get(index)?))).ok_or_else(|| {
            Refused::new(
                StatusCode::NOT_FOUND,
                "no-such-gpu",
                format!("no such GPU: this VM has {}, numbered from 0", self.gpus.len()),
            )
        })
    }
}

type Answer<T> = Result<Json<T>, Refused>;

/// A refusal on its way out.
struct Refused(StatusCode, Refusal);

impl Refused {
    fn new(status: StatusCode, error: &str, message: impl Into<String>) -> Self {
        Self(status, Refusal { error: error.into(), message: message.into() })
    }

    /// A body or a query that is not understood, in axum's words.
    fn malformed(status: StatusCode, message: String) -> Self {
        let error = if status == StatusCode::PAYLOAD_TOO_LARGE { "too-large" } else { "malformed" };
        Self::new(status, error, message)
    }

    fn reset(message: String) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "reset-failed", message)
    }
}

impl From<administered::Refusal> for Refused {
    fn from(refusal: administered::Refusal) -> Self {
        match refusal {
            administered::Refusal::Reset(message) => Self::reset(message),
            refusal @ administered::Refusal::NoModes => {
                Self::new(StatusCode::CONFLICT, "no-modes", refusal.to_string())
            }
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}
