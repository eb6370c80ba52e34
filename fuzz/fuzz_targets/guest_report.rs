//! What a guest reports to its launcher: a line of JSON from a stranger.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_report::Event;

fuzz_target!(|data: &[u8]| {
    if let Ok(event) = serde_json::from_slice::<Event>(data) {
        let line = serde_json::to_vec(&event).unwrap();
        let again: Event = serde_json::from_slice(&line).unwrap();
        assert_eq!(serde_json::to_vec(&again).unwrap(), line);
    }
});
