//! `ravelin-agent`. Everything is in [`ravelin_agent::cli`].

fn main() -> std::process::ExitCode {
    ravelin_agent::cli::main(std::env::args_os()).into()
}
