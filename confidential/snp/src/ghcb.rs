//! The two ways in which a guest speaks to its hypervisor under SEV-ES and SEV-SNP.
//!
//! [`protocol`]: values of the GHCB MSR, enough to get started and to change one page's state.
//! [`page`]: the GHCB page, which carries everything else; here, [`page_state`] changes of ranges, and
//! [`guest_request`]s to the AMD-SP, with a [`certificate_table`] back. [`guest`] is the guest's end of it
//! all, [`termination`] why a guest gives up.

pub mod certificate_table;
pub mod guest;
pub mod guest_request;
pub mod page;
pub mod page_state;
pub mod protocol;
pub mod termination;

/// Bytes of a page, and of the GHCB.
pub const PAGE_SIZE: usize = 4096;
/// Version of the protocol that this crate speaks (GHCB standard, 2.3.2): the first with SEV-SNP.
pub const VERSION: u16 = 2;
