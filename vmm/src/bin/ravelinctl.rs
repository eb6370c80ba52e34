//! `ravelinctl`, the operator's tool. Everything is in [`ravelin::cli::operator`].

fn main() -> std::process::ExitCode {
    ravelin::cli::operator::main(std::env::args_os()).into()
}
