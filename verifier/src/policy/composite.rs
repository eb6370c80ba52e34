//! The `[composite]` table of a policy.

use serde::Deserialize;

use super::{Hex, Presence};

/// What is asked of a guest and its GPUs together.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Composite {
    /// Whether the guest's report must be for the very policy by which it is judged. A report that is
    /// for another policy never passes.
    pub policy_binding: Presence,
    /// Identities of the GPUs (SHA-384 of the identity key), in the order of their places: these, and
    /// no others. Any where absent.
    pub gpus: Option<Vec<Hex<48>>>,
}
