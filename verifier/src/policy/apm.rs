//! The `[apm]` table of a policy.

use serde::Deserialize;

/// What is accepted of Ravelin's GPU model.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Apm {
    /// Floor of the firmware's security version number.
    pub minimum_svn: u32,
    /// Whether a GPU that is not in confidential mode is accepted.
    pub mode_off_allowed: bool,
    /// Whether open debug (devtools mode) is accepted.
    pub debug_allowed: bool,
}
