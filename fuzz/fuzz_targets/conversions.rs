//! What a guest asks of its pages, by hypercall and by the GHCB protocol, as the VMM serves it: a
//! request is granted where a model that counts page by page grants it, the log replayed is the map,
//! and nothing private comes to the shared side.
//!
//! The first byte chooses the way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin::platform::drive;

fuzz_target!(|data: &[u8]| match data.split_first() {
    Some((way, script)) if way & 1 == 0 => drive::hypercalls(script),
    Some((_, script)) => drive::ghcb(script),
    None => {}
});
