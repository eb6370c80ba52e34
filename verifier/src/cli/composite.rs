//! `ravelin verify composite DIR`: a directory of `ravelin run --save-evidence DIR` as a whole.

use std::path::{Path, PathBuf};

use clap::Args;
use p384::ecdsa::VerifyingKey;
use sha2::{Digest, Sha384};

use super::input::{self, Error, Setting};
use super::{Common, evidence};
use crate::composite::statement::{self, Statement};
use crate::composite::{self, Evidence};
use crate::model::development;
use crate::result::Verdict;
use crate::{model, snp};

/// Name of the report in the directory.
const REPORT: &str = "report.bin";

#[derive(Args)]
pub(super) struct CompositeArguments {
    /// The directory: report.bin, certificates, guest.json and evidence.json
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Accept reports of the emulated AMD-SP, which protects nothing and whose root's key is public
    #[arg(long)]
    accept_emulated: bool,
    /// The nonce that the guest was told to use, 64 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    pub(super) nonce: Option<String>,
    /// The guest key that the report must be for: P-384, SEC1, uncompressed, 194 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    guest_key: Option<String>,
    /// Pin this root (ARK) for the guest's report instead of AMD's
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Pin this maker's root (DER) for GPUs instead of the development maker's
    #[arg(long, value_name = "FILE", requires = "gpu_reference_values")]
    gpu_root: Option<PathBuf>,
    /// The GPU maker's reference values (signed CoRIM)
    #[arg(long, value_name = "FILE")]
    gpu_reference_values: Option<PathBuf>,
    /// The GPU maker's revocation list; those of --crl are for the guest's report
    #[arg(long, value_name = "FILE")]
    gpu_crl: Option<PathBuf>,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn judge(arguments: &CompositeArguments) -> Result<Verdict, Error> {
    let setting = Setting::read(&arguments.common)?;
    let evidence = read(&arguments.directory)?;
    let document = |path: Option<&PathBuf>, built_in: &[u8]| match path {
        Some(path) => input::read(path),
        None => Ok(built_in.to_vec()),
    };
    let gpus = model::References::verify(
        &document(arguments.gpu_root.as_ref(), development::ROOT)?,
        &document(arguments.gpu_reference_values.as_ref(), development::REFERENCE_VALUES)?,
        &document(arguments.gpu_crl.as_ref(), development::REVOCATION_LIST)?,
        arguments.nonce.as_deref().map(evidence::nonce).transpose().map_err(Error::Value)?,
        setting.at,
    )
    .map_err(|error| Error::Value(error.to_string()))?;
    let policy = arguments.common.policy.as_deref().map(input::read).transpose()?;
    let references = composite::References {
        guest: snp::References {
            root: arguments.root.as_deref().map(input::root).transpose()?,
            revocation_lists: input::revocation_lists(&arguments.common)?,
            report_data: None,
            accept_emulated: arguments.accept_emulated,
            at: setting.at,
        },
        gpus,
        guest_key: arguments.guest_key.as_deref().map(guest_key).transpose()?,
        policy_digest: policy.map(|file| Sha384::digest(file).into()),
    };
    Ok(composite::judge(&evidence, references, &setting.policy))
}

fn read(directory: &Path) -> Result<Evidence, Error> {
    let path = directory.join(statement::FILE);
    let statement =
        Statement::from_json(&input::read(&path)?).map_err(|error| Error::content(&path, error))?;
    let path = directory.join(model::evidence::FILE);
    let gpus = model::evidence::from_json(&input::read(&path)?)
        .map_err(|error| Error::content(&path, error))?;
    let guest = snp::Evidence {
        report: input::read(&directory.join(REPORT))?,
        certificates: input::directory(directory)?,
    };
    Ok(Evidence { guest, statement, gpus })
}

/// A key that is none would only ever be refused for not being the report's.
fn guest_key(text: &str) -> Result<Vec<u8>, Error> {
    let key =
        hex::decode(text.trim()).ok().filter(|key| VerifyingKey::from_sec1_bytes(key).is_ok());
    key.ok_or_else(|| Error::Value("--guest-key is no public key of P-384 in SEC1's form".into()))
}
