//! What came of the work: kept for the result, told to people as it happens, and to the launcher
//! where it listens.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use ravelin_digits::{EMBEDDED, Payload, reference};
use ravelin_report::{Bench, Event, Round, Transfer};
use ravelin_workload::task::{Host, hex};
use serde::Serialize;

use crate::report::Report;

/// A GPU as it was judged last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JudgedGpu {
    /// PCI address.
    pub address: String,
    /// Model name from the identity certificate.
    pub model: String,
    /// SHA-384 of the device identity's public key, hex.
    pub identity: String,
    /// "trusted", "unprotected", or the code of the refusal.
    pub verdict: String,
    /// Firmware id, hex.
    pub firmware: String,
    /// Number of the session on that GPU.
    pub session: u32,
    /// Rounds that it did.
    pub rounds: u64,
}

/// Everything worth keeping.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// By place.
    pub gpus: BTreeMap<u32, JudgedGpu>,
    /// From the first request to the verdict, for the first verdict on each GPU, added up.
    pub attest_us: u64,
    /// Sessions that ended without the driver wanting it.
    pub lost: u64,
    /// Rounds on all GPUs.
    pub rounds: u64,
    /// Rounds whose result is not that of the plain computation.
    pub wrong_rounds: u64,
    /// What crossed the bus in all rounds.
    pub transfer: Transfer,
    /// Of the latest round.
    pub predictions: Vec<u32>,
    /// SHA-384 of the latest round's outputs, hex.
    pub outputs_sha384: String,
    /// What was measured.
    pub bench: Option<Bench>,
}

/// An account. Its clones are the same one.
#[derive(Clone)]
pub struct Account(Rc<RefCell<State>>);

struct State {
    summary: Summary,
    places: Vec<String>,
    report: Option<Report>,
    /// Whether people are told.
    told: bool,
    expected: Option<Expected>,
}

/// What plain loops give.
struct Expected {
    predictions: Vec<u32>,
    outputs_sha384: String,
}

impl Account {
    /// An empty account. `told`: people see on standard error what happens.
    pub fn new(report: Option<Report>, told: bool) -> Self {
        let state =
            State { summary: Summary::default(), places: Vec::new(), report, told, expected: None };
        Self(Rc::new(RefCell::new(state)))
    }

    /// What has come so far.
    pub fn summary(&self) -> Summary {
        self.0.borrow().summary.clone()
    }

    /// The PCI addresses of the GPUs, by place.
    pub fn set_places(&self, places: Vec<String>) {
        self.0.borrow_mut().places = places;
    }

    /// Sends an event that is not the workload's.
    pub fn send(&self, event: &Event) {
        if let Some(report) = &mut self.0.borrow_mut().report {
            report.send(event);
        }
    }

    /// Waits until everything has gone out.
    pub fn flush(&self) {
        if let Some(report) = &self.0.borrow().report {
            report.flush();
        }
    }
}

impl Host for Account {
    fn report(&mut self, event: &Event) {
        self.send(event);
        self.0.borrow_mut().take(event);
    }

    fn pause(&mut self, microseconds: u64) {
        std::thread::sleep(Duration::from_micros(microseconds));
    }
}

impl State {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Gpu { index, model, identity, verdict, firmware, session, attest_us } => {
                let rounds = self.summary.gpus.get(index).map_or(0, |before| before.rounds);
                let gpu = JudgedGpu {
                    address: self.place(*index),
                    model: model.clone(),
                    identity: identity.clone(),
                    verdict: verdict.clone(),
                    firmware: firmware.clone(),
                    session: *session,
                    rounds,
                };
                let (address, time) = (&gpu.address, *attest_us as f64 / 1e3);
                self.tell(
                    "attest",
                    format_args!("{address}: {model} {verdict} in {time:.1} ms, session {session}"),
                );
                if self.summary.gpus.insert(*index, gpu).is_none() {
                    self.summary.attest_us += attest_us;
                }
            }
            Event::GpuLost { index, reason } => {
                self.tell("lost", format_args!("{}: {reason}", self.place(*index)));
                self.summary.lost += 1;
            }
            Event::Round(round) => self.round(round),
            Event::Bench(bench) => self.summary.bench = Some(*bench),
            Event::Ready { .. }
            | Event::Evidence { .. }
            | Event::Report(_)
            | Event::Trial { .. }
            | Event::Finished { .. } => {}
        }
    }

    fn round(&mut self, round: &Round) {
        let expected = self.expected.get_or_insert_with(Expected::of_the_plain_computation);
        let right = round.predictions == expected.predictions
            && round.outputs_sha384 == expected.outputs_sha384;
        let first = self.summary.rounds == 0;
        self.summary.rounds += 1;
        self.summary.wrong_rounds += u64::from(!right);
        self.summary.predictions.clone_from(&round.predictions);
        self.summary.outputs_sha384.clone_from(&round.outputs_sha384);
        self.summary.transfer.h2d_bytes += round.transfer.h2d_bytes;
        self.summary.transfer.d2h_bytes += round.transfer.d2h_bytes;
        self.summary.transfer.records += round.transfer.records;
        if let Some(gpu) = self.summary.gpus.get_mut(&round.gpu) {
            gpu.rounds += 1;
        }
        if first || !right {
            let (number, images) = (round.number, round.predictions.len());
            let is = if right { "equal to" } else { "NOT equal to" };
            let address = self.place(round.gpu);
            self.tell(
                "round",
                format_args!("{number} on {address}: {images} images, {is} the plain computation"),
            );
        }
    }

    fn place(&self, index: u32) -> String {
        self.places.get(index as usize).cloned().unwrap_or_else(|| index.to_string())
    }

    fn tell(&self, word: &str, text: std::fmt::Arguments<'_>) {
        if self.told {
            let _ = writeln!(std::io::stderr(), "{word:>9}  {text}");
        }
    }
}

impl Expected {
    /// Of the digits that the agent brings along; they are no payload of a stranger's.
    fn of_the_plain_computation() -> Self {
        match Payload::parse(EMBEDDED) {
            Ok(payload) => {
                let outputs = reference::forward(payload.network(), payload.images());
                Self {
                    predictions: reference::predictions(&outputs),
                    outputs_sha384: hex(&reference::outputs_sha384(&outputs)),
                }
            }
            // Then nothing equals it, which is what is said of it.
            Err(_) => Self { predictions: Vec::new(), outputs_sha384: String::new() },
        }
    }
}
