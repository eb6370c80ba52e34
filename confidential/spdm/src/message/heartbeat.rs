//! HEARTBEAT and HEARTBEAT_ACK: the session is still there.

use super::{code, header_only};

/// Keeps the session that it arrives in alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat;

/// It is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatAck;

header_only!(Heartbeat, code::HEARTBEAT);
header_only!(HeartbeatAck, code::HEARTBEAT_ACK);
