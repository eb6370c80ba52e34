//! The command line: arguments and files into a judgement, the verdict into text, JSON and an exit
//! code.
//!
//! [`input`] reads the files and says what is wrong with one; [`render`] writes the verdict for a
//! person, [`explain`] knows what each code means; [`attestation_result`] writes it for others;
//! [`rules`] asks the relying party's own.

mod attestation_result;
mod composite;
mod explain;
mod input;
mod render;
mod rules;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::model::development;
use crate::nvidia::evidence::{self, Evidence};
use crate::result::{SCHEMA, Verdict};
use crate::{model, nvidia, roots, snp};
use input::{Error, Setting};

/// Judges evidence of confidential devices, offline.
///
/// Exit status: 0 trusted, 2 not trusted, 3 could not judge.
#[derive(Parser)]
#[command(
    name = "ravelin-verify",
    bin_name = "ravelin verify",
    version,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Subcommand)]
enum Kind {
    /// Ravelin's GPU model, from evidence that was saved
    Apm(ApmArguments),
    /// One NVIDIA GPU, or an array of them
    Nvidia(NvidiaArguments),
    /// An AMD SEV-SNP guest
    Snp(SnpArguments),
    /// A guest and all its GPUs as one, from evidence that was saved
    Composite(composite::CompositeArguments),
}

/// What every kind of evidence takes.
#[derive(Args)]
struct Common {
    /// What is accepted and which checks may be left unmade (TOML); by default none may
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Judge at this time, such as 2024-12-01T00:00:00Z, instead of now
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// A revocation list (X.509 CRL, DER or PEM); may be repeated
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// Ask these rules too (Rego, package ravelin.verify): they can only refuse further; may be
    /// repeated
    #[arg(long, value_name = "FILE")]
    rego: Vec<PathBuf>,
    /// Data for the rules (JSON); may be repeated
    #[arg(long, value_name = "FILE", requires = "rego")]
    rego_data: Vec<PathBuf>,
    /// Write a signed attestation result (EAT, draft-ietf-rats-ear, as COSE_Sign1) to this file
    #[arg(long, value_name = "FILE", requires = "ear_key")]
    ear: Option<PathBuf>,
    /// The key to sign the result with: P-384, PKCS #8 in PEM
    #[arg(long, value_name = "FILE", requires = "ear")]
    ear_key: Option<PathBuf>,
    /// Write the verdict as JSON
    #[arg(long)]
    json: bool,
    /// Say what each check means
    #[arg(long, conflicts_with = "json")]
    explain: bool,
}

#[derive(Args)]
struct ApmArguments {
    /// The directory with evidence.json
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Pin this maker's root (DER) instead of the development maker's
    #[arg(long, value_name = "FILE", requires = "reference_values")]
    root: Option<PathBuf>,
    /// The maker's reference values (signed CoRIM); its revocation list is given by --crl
    #[arg(long, value_name = "FILE")]
    reference_values: Option<PathBuf>,
    /// The nonce that the guest was told to use, 64 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    nonce: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct NvidiaArguments {
    /// The report: GET_MEASUREMENTS request and response, bytes or hexadecimal text
    #[arg(long, value_name = "FILE", requires = "chain")]
    report: Option<PathBuf>,
    /// The certificate chain, PEM, attestation key first
    #[arg(long, value_name = "FILE", requires = "report")]
    chain: Option<PathBuf>,
    /// Evidence of one or more GPUs, JSON as NVIDIA's tools write it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["report", "chain"])]
    evidence: Option<PathBuf>,
    /// A reference manifest (signed SWID tag) of a driver or a VBIOS; may be repeated
    #[arg(long, value_name = "FILE", visible_alias = "manifest")]
    rim: Vec<PathBuf>,
    /// Pin this root for devices instead of NVIDIA's
    #[arg(long, value_name = "FILE", visible_alias = "root")]
    device_root: Option<PathBuf>,
    /// Pin this root for manifests instead of NVIDIA's
    #[arg(long, value_name = "FILE")]
    rim_root: Option<PathBuf>,
    /// The nonce that the report was asked for with, 64 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    nonce: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct SnpArguments {
    /// The attestation report, bytes or hexadecimal text
    #[arg(long, value_name = "FILE")]
    report: PathBuf,
    /// A directory with the VCEK or VLEK certificate (and the ASVK for a VLEK), DER or PEM
    #[arg(long, value_name = "DIR")]
    certs: PathBuf,
    /// Pin this root (ARK) instead of AMD's
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// What REPORT_DATA must be, 128 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    report_data: Option<String>,
    /// Accept reports of the emulated AMD-SP, which protects nothing and whose root's key is public
    #[arg(long)]
    accept_emulated: bool,
    #[command(flatten)]
    common: Common,
}

const TRUSTED: u8 = 0;
const NOT_TRUSTED: u8 = 2;
const NOT_JUDGED: u8 = 3;

/// Runs the verifier with these arguments (the program's name first).
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no failure; a wrong argument is bad input, not "not trusted".
            let code = if error.use_stderr() { NOT_JUDGED } else { TRUSTED };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let common = arguments.kind.common();
    let done = arguments.kind.judge().and_then(|verdict| {
        let verdict = rules::apply(verdict, common)?;
        attestation_result::write(&verdict, common, arguments.kind.nonce())?;
        Ok(verdict)
    });
    match done {
        Ok(verdict) => show(&verdict, common),
        Err(error) => refuse(&error, common),
    }
}

impl Kind {
    fn common(&self) -> &Common {
        match self {
            Kind::Apm(arguments) => &arguments.common,
            Kind::Nvidia(arguments) => &arguments.common,
            Kind::Snp(arguments) => &arguments.common,
            Kind::Composite(arguments) => &arguments.common,
        }
    }

    fn judge(&self) -> Result<Verdict, Error> {
        match self {
            Kind::Apm(arguments) => judge_apm(arguments),
            Kind::Nvidia(arguments) => judge_nvidia(arguments),
            Kind::Snp(arguments) => judge_snp(arguments),
            Kind::Composite(arguments) => composite::judge(arguments),
        }
    }

    /// What the relying party chose against replay.
    fn nonce(&self) -> Option<&String> {
        match self {
            Kind::Apm(arguments) => arguments.nonce.as_ref(),
            Kind::Nvidia(arguments) => arguments.nonce.as_ref(),
            Kind::Snp(arguments) => arguments.report_data.as_ref(),
            Kind::Composite(arguments) => arguments.nonce.as_ref(),
        }
    }
}

fn judge_apm(arguments: &ApmArguments) -> Result<Verdict, Error> {
    let setting = Setting::read(&arguments.common)?;
    let path = arguments.directory.join(model::evidence::FILE);
    let gpus = model::evidence::from_json(&input::read(&path)?)
        .map_err(|error| Error::content(&path, error))?;
    let document = |path: Option<&PathBuf>, built_in: &[u8]| match path {
        Some(path) => input::read(path),
        None => Ok(built_in.to_vec()),
    };
    if arguments.common.crl.len() > 1 {
        return Err(Error::Value("a maker has one revocation list: give --crl once".into()));
    }
    let references = model::References::verify(
        &document(arguments.root.as_ref(), development::ROOT)?,
        &document(arguments.reference_values.as_ref(), development::REFERENCE_VALUES)?,
        &document(arguments.common.crl.first(), development::REVOCATION_LIST)?,
        arguments.nonce.as_deref().map(evidence::nonce).transpose().map_err(Error::Value)?,
        setting.at,
    )
    .map_err(|error| Error::Value(error.to_string()))?;
    Ok(model::judge_all(&gpus, &references, &setting.policy))
}

fn judge_nvidia(arguments: &NvidiaArguments) -> Result<Verdict, Error> {
    let setting = Setting::read(&arguments.common)?;
    let evidence = read_nvidia(arguments)?;
    let references = nvidia::References {
        device_root: match &arguments.device_root {
            Some(path) => input::root(path)?,
            None => roots::nvidia_device().map_err(Error::BuiltIn)?,
        },
        manifest_root: match &arguments.rim_root {
            Some(path) => input::root(path)?,
            None => roots::nvidia_manifest().map_err(Error::BuiltIn)?,
        },
        manifests: arguments.rim.iter().map(|p| input::manifest(p)).collect::<Result<_, _>>()?,
        revocation_lists: input::revocation_lists(&arguments.common)?,
        nonce: arguments.nonce.as_deref().map(evidence::nonce).transpose().map_err(Error::Value)?,
        at: setting.at,
    };
    Ok(nvidia::judge_all(&evidence, &references, &setting.policy))
}

fn read_nvidia(arguments: &NvidiaArguments) -> Result<Vec<Result<Evidence, String>>, Error> {
    match (&arguments.evidence, &arguments.report, &arguments.chain) {
        (Some(path), ..) => {
            evidence::from_json(&input::read(path)?).map_err(|e| Error::content(path, e))
        }
        (None, Some(report), Some(chain)) => {
            Ok(vec![evidence::from_files(&input::read(report)?, &input::read(chain)?)])
        }
        _ => Err(Error::Value("give --evidence, or --report and --chain".into())),
    }
}

fn judge_snp(arguments: &SnpArguments) -> Result<Verdict, Error> {
    let setting = Setting::read(&arguments.common)?;
    let report = evidence::bytes_or_hex(&input::read(&arguments.report)?)
        .map_err(|why| Error::Content { path: arguments.report.clone(), why })?;
    let evidence = snp::Evidence { report, certificates: input::directory(&arguments.certs)? };
    let references = snp::References {
        root: arguments.root.as_deref().map(input::root).transpose()?,
        revocation_lists: input::revocation_lists(&arguments.common)?,
        report_data: arguments.report_data.as_deref().map(input::report_data).transpose()?,
        accept_emulated: arguments.accept_emulated,
        at: setting.at,
    };
    Ok(Verdict::new(vec![snp::judge(&evidence, &references, &setting.policy)]))
}

fn show(verdict: &Verdict, common: &Common) -> ExitCode {
    let text = if common.json {
        serde_json::to_string_pretty(verdict).unwrap_or_default() + "\n"
    } else {
        render::verdict(verdict, common.explain)
    };
    let written = std::io::stdout().write_all(text.as_bytes());
    match written {
        // A verdict that nobody could read was not given.
        Err(_) => ExitCode::from(NOT_JUDGED),
        Ok(()) if verdict.trusted => ExitCode::from(TRUSTED),
        Ok(()) if verdict.judged() => ExitCode::from(NOT_TRUSTED),
        Ok(()) => ExitCode::from(NOT_JUDGED),
    }
}

fn refuse(error: &Error, common: &Common) -> ExitCode {
    eprintln!("ravelin verify: {error}");
    if common.json {
        let json = serde_json::json!({
            "schema": SCHEMA, "trusted": false, "devices": [],
            "error": { "code": error.code(), "message": error.to_string() },
        });
        println!("{json:#}");
    }
    ExitCode::from(NOT_JUDGED)
}
