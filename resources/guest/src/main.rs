//! The built-in guest's image: what makes a freestanding program of the library.
//!
//! Entry and everything at CPL 0 is in [`supervisor`], the first steps at CPL 3 in [`user`].

#![no_std]
#![no_main]

extern crate alloc;

mod memory_functions;
mod supervisor;
mod user;
