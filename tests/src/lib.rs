//! What the end-to-end tests have in common.

#![allow(clippy::unwrap_used, reason = "tests only")]

pub mod stage;
