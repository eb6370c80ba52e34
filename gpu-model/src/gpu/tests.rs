//! The attacks of `threats.md` on the GPU, mounted over the bus and through shared memory.

mod admin;
mod plain;
mod race;
mod records;
mod reset;
mod rings;
mod sec2;
mod throughput;
mod window;
