//! `ravelin-verify`: the offline verifier, which `ravelin verify` runs. All of it is the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ravelin_verifier::cli::main(std::env::args_os())
}
