//! `ravelin-id-block`: signs and checks id blocks, for `ravelin image`. All of it is the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ravelin_id_block::cli::main(std::env::args_os())
}
