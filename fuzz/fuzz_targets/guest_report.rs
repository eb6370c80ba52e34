//! What a guest reports to its launcher: lines of JSON from a stranger, through the sink that cuts its
//! bytes into lines and holds no more than one.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use ravelin_devices::serial::{Line, LineSink};
use ravelin_report::Event;

/// Longest line.
const LONGEST: usize = 4096;

fn event(line: &[u8]) {
    if let Ok(event) = serde_json::from_slice::<Event>(line) {
        let line = serde_json::to_vec(&event).unwrap();
        let again: Event = serde_json::from_slice(&line).unwrap();
        assert_eq!(serde_json::to_vec(&again).unwrap(), line);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut lines = 0;
    let mut sink = LineSink::new(LONGEST, |line| {
        lines += 1;
        if let Line::Whole(line) = line {
            assert!(line.len() <= LONGEST);
            event(line);
        }
    });
    // A serial port gives a byte at a time, a buffer more.
    for piece in data.chunks(1 + data.len() % 7) {
        sink.write_all(piece).unwrap();
    }
    drop(sink);
    assert_eq!(lines, data.iter().filter(|byte| **byte == b'\n').count());
    event(data);
});
