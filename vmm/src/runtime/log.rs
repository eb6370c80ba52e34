//! A VM's event log: one JSON object a line, bounded, since a guest can cause events without end.

use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Most bytes of a log. Then a last line says that it is full.
pub(super) const CAPACITY: u64 = 4 << 20;

/// An event log. Events name what happened; none carries content of the guest's memory.
pub struct EventLog(Mutex<State>);

struct State {
    file: File,
    room: u64,
}

#[derive(Serialize)]
struct Entry<'a, T> {
    /// Microseconds since 1970.
    time_us: u64,
    #[serde(flatten)]
    event: &'a T,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Own {
    /// No event is written after this one.
    LogFull,
}

impl EventLog {
    /// Makes a log that only its owner can read.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self(Mutex::new(State { file, room: CAPACITY })))
    }

    /// Appends an event: a structure or a tagged enum. A log that cannot be written loses it.
    pub fn append(&self, event: &impl Serialize) {
        let time_us = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let entry = |event| serde_json::to_vec(&Entry { time_us: time_us as u64, event });
        let Ok(line) = entry(event) else { return };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.room == 0 {
            return;
        }
        let length = line.len() as u64 + 1;
        let line = match state.room.checked_sub(length) {
            Some(room) => {
                state.room = room;
                line
            }
            None => {
                state.room = 0;
                let full = Entry { time_us: time_us as u64, event: &Own::LogFull };
                serde_json::to_vec(&full).unwrap_or_default()
            }
        };
        if let Err(error) = state.file.write_all(&[&line[..], b"\n"].concat()) {
            tracing::warn!(%error, "event not logged");
        }
    }
}
