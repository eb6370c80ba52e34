//! What the fuzz targets share: a genuine device and those who trust it.
//!
//! A target is a file in `fuzz_targets`; it takes bytes and says by a panic that something is
//! wrong. [`device`] is a GPU as the development maker provisions it, [`evidence`] what it presents,
//! [`peer`] a requester that goes through all that a session has, [`script`] the attacker's moves
//! in a conversation, [`rng`] the same randomness in each run, so that a finding can be repeated,
//! [`folder`] where files may be.

pub mod device;
pub mod evidence;
pub mod folder;
pub mod peer;
pub mod rng;
pub mod script;
