//! The agent for Linux guests: attests the guest's GPUs, and works on them through the encrypted
//! path.
//!
//! It is one static program on the same driver and the same workloads as the built-in guest. Its
//! rooms:
//!
//! | room | what |
//! | --- | --- |
//! | [`sysfs`] | the GPUs that Linux has found, their configuration space and their BARs |
//! | [`mapping`] | mapped BARs; the only `unsafe` here |
//! | [`function`], [`window`] | a GPU's bus and shared memory, as the driver wants them |
//! | [`machine`] | all of it as one thing that tests can replace |
//! | [`work`] | what is done with the GPUs |
//! | [`account`] | what came of it, told to people, scripts and the launcher |
//! | [`report`] | the line to the launcher |
//! | [`platform`] | what protects this guest, as far as its processor says |
//! | [`init`] | the agent as process 1 of an initramfs |
//! | [`cli`] | the command line |
//!
//! No kernel module is needed: a GPU whose launcher gives it a shared window brings memory that guest
//! and GPU share, and Linux lets a privileged program map it.

pub mod account;
pub mod cli;
pub mod clock;
pub mod function;
pub mod init;
pub mod machine;
pub mod mapping;
pub mod platform;
pub mod report;
pub mod sysfs;
pub mod window;
pub mod work;
