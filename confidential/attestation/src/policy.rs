//! Policy: what the relying party decides for itself. Everything that is not a matter of taste (is
//! it genuine, fresh, known, not revoked) is no part of it and cannot be switched off.

/// What a relying party asks of a GPU. [`Policy::strict`] is the starting point; every field that
/// is changed from there lowers a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Lowest security version number that is good enough.
    pub svn_floor: u32,
    /// Whether a GPU that is not in confidential mode is accepted, knowing that it protects
    /// nothing.
    pub mode_off_allowed: bool,
    /// Whether a GPU whose debug is open is accepted, devtools mode included.
    pub debug_allowed: bool,
    /// Whether a verifier without a clock may judge. It cannot tell that a certificate or a
    /// document has expired since its image was made; see [`Clock`](ravelin_dice::Clock).
    pub clock_optional: bool,
    /// Whether a revocation list whose successor is overdue still counts.
    pub stale_revocation_allowed: bool,
}

impl Policy {
    /// Confidential mode, no debug, a clock, a revocation list in date.
    pub const fn strict(svn_floor: u32) -> Policy {
        Policy {
            svn_floor,
            mode_off_allowed: false,
            debug_allowed: false,
            clock_optional: false,
            stale_revocation_allowed: false,
        }
    }

    /// What a guest can ask for: strict, but for the clock that it does not have. A relying party
    /// judges the same evidence once more, with one.
    pub const fn guest(svn_floor: u32) -> Policy {
        Policy { clock_optional: true, ..Policy::strict(svn_floor) }
    }
}
