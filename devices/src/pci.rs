//! PCI Express as far as a flat bus of integrated endpoints needs it.
//!
//! [`bus`] decodes the vCPUs' accesses to configuration space (ECAM) and to BARs and hands them to a
//! [`bus::Function`]. [`config`] is a function's 4 KiB of configuration space, [`capability`] the
//! structures in it, [`msix`] interrupts and [`doe`] the data object mailbox. None of them knows what
//! a function is for.

pub mod bus;
pub mod capability;
pub mod config;
pub mod doe;
pub mod msix;
