//! `ravelin-spdm`: the requester, which `ravelin spdm` runs. All of it is the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ravelin_spdm_tool::cli::main(std::env::args_os())
}
