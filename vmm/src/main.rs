//! `ravelin`, the launcher. Everything is in [`ravelin::cli`].

use std::time::Instant;

fn main() -> std::process::ExitCode {
    // First of all: boot times count from here.
    let started = Instant::now();
    ravelin::cli::main(std::env::args_os(), started).into()
}
