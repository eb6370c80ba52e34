//! `ravelin-maker`: the maker's desk, which `ravelin maker` runs. All of it is the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ravelin_maker::tool::main(std::env::args_os())
}
