//! An SPDM requester for the command line: it speaks to any responder behind the socket framing of
//! the DMTF's emulators, and says whether a pinned root vouches for it.
//!
//! | module | what |
//! | --- | --- |
//! | [`cli`] | arguments in; text, JSON and an exit code out |
//! | [`connection`] | frames over a TCP connection, and what they carry |
//! | [`conversation`] | from the first request to the end of the session |
//! | [`question`] | what may be asked besides |
//! | [`trust`] | whether the pinned root vouches for a certificate chain |
//! | [`explain`] | a message field by field |
//! | [`outcome`] | what came of it, with a stable code |
//!
//! What is said, and what is not accepted, is `ravelin-spdm`'s to decide; what measurements ought to
//! be, the verifier's.

pub mod cli;
pub mod connection;
pub mod conversation;
pub mod explain;
pub mod outcome;
pub mod question;
pub mod trust;
