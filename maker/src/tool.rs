//! The program `ravelin-maker`: arguments into the maker's work, and what came of it into text or
//! JSON.
//!
//! One file a subject: [`root`] (roots, signers, intermediates), [`provision`], [`sign`] with its
//! [`description`]s, [`revoke`], [`show`], [`development`]. [`desk`] knows a root's directory,
//! [`file`] how files are written, [`time`] how times are said, [`fields`] how results are printed.

mod description;
mod desk;
mod development;
mod fields;
mod file;
mod provision;
mod revoke;
mod root;
mod show;
mod sign;
mod time;

use clap::{Args, Parser, Subcommand};
use fields::Fields;
use std::error::Error as _;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// The GPU maker, offline: roots, devices, reference values, revocation lists.
///
/// All that a verifier of Ravelin's GPU model holds evidence against comes from here. A maker's
/// root lives in a directory, with the signer of reference values and the current revocation list;
/// devices and intermediate authorities have directories of their own. Keys are P-384, in PEM,
/// readable by their owner only; they are never printed, and no command overwrites a file unless
/// --force says so.
#[derive(Parser)]
#[command(
    name = "ravelin-maker",
    bin_name = "ravelin maker",
    version,
    arg_required_else_help = true,
    after_help = "A maker from nothing, and a verifier who trusts it:
  ravelin maker root --out acme --name 'Acme GPU Root' --organization Acme
  ravelin maker provision --issuer acme --serial 0001 --out gpu-0001
  ravelin maker sign --root acme --built-in --out acme/reference-values.corim
  ravelin gpu-server --spdm-listen 127.0.0.1:2323 --identity gpu-0001
  ravelin spdm --connect 127.0.0.1:2323 --root acme/root.der
  ravelin verify apm EVIDENCE --root acme/root.der --crl acme/revocation-list.crl \\
      --reference-values acme/reference-values.corim --nonce HEX
  ravelin maker revoke --root acme --device gpu-0001

Exit codes: 0 done; 1 not done, and why; 2 the command line is not understood."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print one JSON object (schema "ravelin.maker/1")
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Make a root: its key, its certificate, a signer of reference values, an empty revocation list
    Root(root::RootArguments),
    /// Make a new signer of reference values below a root
    Signer(root::SignerArguments),
    /// Make an authority between a root and its devices, such as a factory's
    Intermediate(root::IntermediateArguments),
    /// Make a device: an identity key, and the certificates from the root to it
    Provision(provision::Arguments),
    /// Sign reference values: which firmware the maker vouches for (a CoRIM)
    Sign(sign::Arguments),
    /// Put certificates on the root's revocation list (an X.509 CRL)
    Revoke(revoke::RevokeArguments),
    /// Issue the revocation list again, with the same entries and a later next update
    Crl(revoke::RenewArguments),
    /// Show what a file or directory of the maker's says; keys stay unseen
    Show(show::Arguments),
    /// Write the firmware images of the GPU model, a file for each component
    Firmware(development::FirmwareArguments),
    /// Write the development maker's root, reference values and revocation list
    ReferenceValues(development::PublicationArguments),
}

/// Where something new is written.
#[derive(Args)]
struct Target {
    /// The directory to write to; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Overwrite what is there
    #[arg(long)]
    force: bool,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    File(#[from] file::Error),
    #[error(transparent)]
    Desk(#[from] desk::Error),
    #[error(transparent)]
    Maker(#[from] crate::Error),
    #[error(transparent)]
    Key(#[from] crate::key::Error),
    #[error(transparent)]
    Issue(#[from] ravelin_dice::issue::Error),
    #[error(transparent)]
    Time(#[from] time::Error),
    #[error(transparent)]
    Sign(#[from] sign::Error),
    #[error(transparent)]
    Revoke(#[from] revoke::Error),
    #[error(transparent)]
    Show(#[from] show::Error),
}

/// Runs the tool with these arguments (the program's name first).
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let done = match &arguments.command {
        Command::Root(arguments) => root::root(arguments),
        Command::Signer(arguments) => root::signer(arguments),
        Command::Intermediate(arguments) => root::intermediate(arguments),
        Command::Provision(arguments) => provision::run(arguments),
        Command::Sign(arguments) => sign::run(arguments),
        Command::Revoke(arguments) => revoke::revoke(arguments),
        Command::Crl(arguments) => revoke::renew(arguments),
        Command::Show(arguments) => show::run(arguments),
        Command::Firmware(arguments) => development::firmware(arguments),
        Command::ReferenceValues(arguments) => development::publication(arguments),
    };
    match done {
        Ok(fields) => print(&fields, arguments.json),
        Err(error) => complain(&error, arguments.json),
    }
}

fn print(fields: &Fields, json: bool) -> ExitCode {
    let text = if json { fields.to_json() } else { fields.to_string() };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(error: &Error, json: bool) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    eprintln!("ravelin maker: {text}");
    if json {
        println!("{}", serde_json::json!({ "schema": fields::SCHEMA, "error": text }));
    }
    ExitCode::FAILURE
}
