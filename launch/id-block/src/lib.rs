//! The id blocks of an SNP guest, for the guest's owner: what makes and signs them, and what checks them as
//! firmware would.
//!
//! A program of its own (`ravelin image sign` and `ravelin image check` run it): the launcher is the
//! host's, and no host has an owner's keys. The structures are [`ravelin_launch::id_block`]'s.

pub mod cli;
pub mod signing;
