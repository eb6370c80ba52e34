//! Events for the launcher, one JSON object a line, on the report port.

use crate::ports::Serial;
use alloc::string::String;
use ravelin_report::{Event, MAX_LINE};

/// Sends an event. One that would be no line is left out: the launcher would not take it.
pub fn send(event: &Event) {
    if let Ok(mut line) = serde_json::to_vec(event)
        && line.len() < MAX_LINE
    {
        line.push(b'\n');
        Serial::REPORT.write_bytes(&line);
    }
}

/// Says that the guest is done.
pub fn finished(result: &str, message: String) {
    send(&Event::Finished { result: result.into(), message });
}
