//! `ravelin-maker`: the development maker's desk. Writes what verifiers need.

use clap::{Parser, Subcommand};
use ravelin_maker::Maker;
use ravelin_maker::publication::publication;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// The GPU maker, for development: its root is public and worth nothing outside tests.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the root's certificate, the signed reference values and the revocation list.
    ReferenceValues {
        /// The directory to write to; made if it is not there.
        #[arg(long)]
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("ravelin-maker: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprint!(": {error}");
                cause = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let Command::ReferenceValues { out } = arguments.command;
    fs::create_dir_all(&out)?;
    for file in publication(&Maker::development()?)? {
        let path = out.join(file.name);
        fs::write(&path, &file.bytes)?;
        println!("{}: {} bytes", path.display(), file.bytes.len());
    }
    Ok(())
}
