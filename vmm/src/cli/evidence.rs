//! `--save-evidence`: what the GPUs have presented to the guest, and the guest's own report that binds it,
//! in files for a verifier.
//!
//! [`guest`] has the report's. The GPUs' file has schema "ravelin.evidence/1", which docs/verify.md describes. It is written as soon as
//! every GPU of the VM has presented something, and again after each new attestation; never with
//! fewer GPUs, since a verdict on some of them would pass for one on all. Nothing in it is believed
//! here: it only has to have the form.

pub(super) mod bound;
mod guest;

use base64ct::{Base64, Encoding};
use ravelin_report::{Evidence, GuestReport};
use serde::Serialize;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Name of the file in the directory.
const FILE: &str = "evidence.json";
/// Where it is written before it takes its place.
const NEW_FILE: &str = "evidence.json.new";
/// Version of the format.
const SCHEMA: &str = "ravelin.evidence/1";
/// Bytes of a nonce.
const NONCE: usize = 32;
/// Bytes of a share in KEY_EXCHANGE.
const EXCHANGE_KEY: usize = 96;

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory or the file cannot be written.
    #[error("cannot write {0}: give --save-evidence a directory that you can write")]
    System(PathBuf, #[source] io::Error),
    /// GPUs without protection have nothing to present.
    #[error("no evidence is saved: GPU {0} has presented none, as one in mode off does not")]
    Missing(usize),
    /// The guest has not shown a report.
    #[error(
        "the guest has shown no report of its own; `ravelin verify apm` can still judge the GPUs"
    )]
    NoReport,
}

/// A relying party's nonce, in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nonce(String);

/// A text is no nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a nonce is 64 hexadecimal digits, fresh for each run")]
pub(super) struct NoNonce;

impl FromStr for Nonce {
    type Err = NoNonce;

    fn from_str(text: &str) -> Result<Self, NoNonce> {
        let sound = text.len() == 2 * NONCE && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        if sound { Ok(Self(text.to_ascii_lowercase())) } else { Err(NoNonce) }
    }
}

impl std::fmt::Display for Nonce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The file, and what is to stand in it.
pub(super) struct EvidenceFile {
    directory: PathBuf,
    /// By the places of the GPUs.
    gpus: Vec<Option<Evidence>>,
    /// Whether the guest must show a report of its own, and whether it has.
    report: Expected,
    /// How it went the last time that it was written.
    written: Option<io::Result<()>>,
}

/// The guest's report, by what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Nobody signs reports on this platform.
    No,
    Yes,
    Shown,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    gpus: Vec<&'a Evidence>,
}

impl EvidenceFile {
    /// The file in this directory, which is made if it is not there, for so many GPUs; `report`:
    /// together with a report of the guest's. Evidence of an earlier run is removed.
    ///
    /// # Errors
    /// The directory cannot be made or written.
    pub(super) fn new(directory: &Path, gpus: usize, report: bool) -> Result<Self, Error> {
        let failed = |error| Error::System(directory.into(), error);
        fs::create_dir_all(directory).map_err(failed)?;
        match fs::remove_file(directory.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        guest::remove(directory).map_err(failed)?;
        // What cannot be written in the end had better be known now.
        let probe = directory.join(NEW_FILE);
        fs::write(&probe, "").and_then(|()| fs::remove_file(probe)).map_err(failed)?;
        let report = if report { Expected::Yes } else { Expected::No };
        let gpus = vec![None; gpus];
        Ok(Self { directory: directory.into(), gpus, report, written: None })
    }

    /// Takes the guest's report. `None` for what is none, or comes on a platform without.
    pub(super) fn take_report(&mut self, report: &GuestReport) -> Option<()> {
        (self.report != Expected::No).then_some(())?;
        let written = guest::write(&self.directory, report)?;
        match written {
            Ok(()) => self.report = Expected::Shown,
            Err(error) => self.written = Some(Err(error)),
        }
        Some(())
    }

    /// Takes what the GPU at this place has presented. Whether the file was written; `None` for what
    /// is no evidence.
    pub(super) fn take(&mut self, index: u32, evidence: Evidence) -> Option<bool> {
        let place = self.gpus.get_mut(usize::try_from(index).ok()?)?;
        has_the_form(&evidence).then_some(())?;
        *place = Some(evidence);
        let Some(gpus) = self.gpus.iter().map(Option::as_ref).collect() else { return Some(false) };
        let written = self.write(&Document { schema: SCHEMA, gpus });
        let done = written.is_ok();
        self.written = Some(written);
        Some(done)
    }

    /// The file's path.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// Whether the file stands, with the latest evidence of every GPU.
    pub(super) fn finish(self) -> Result<PathBuf, Error> {
        let path = self.path();
        match (self.written, self.gpus.iter().position(Option::is_none)) {
            (Some(Ok(())), _) if self.report == Expected::Yes => Err(Error::NoReport),
            (Some(Ok(())), _) => Ok(path),
            (Some(Err(error)), _) => Err(Error::System(path, error)),
            (None, missing) => Err(Error::Missing(missing.unwrap_or_default())),
        }
    }

    /// Writes it beside its place first: a reader finds a whole file or none.
    fn write(&self, document: &Document<'_>) -> io::Result<()> {
        let new = self.directory.join(NEW_FILE);
        let mut text = serde_json::to_vec_pretty(document)?;
        text.push(b'\n');
        fs::write(&new, text)?;
        fs::rename(new, self.path())
    }
}

/// Whether every field is base64, of the length that the format gives.
fn has_the_form(evidence: &Evidence) -> bool {
    let Evidence { certificates, vca, request, response, nonce, exchange_key } = evidence;
    let length = |text: &String| Base64::decode_vec(text).ok().map(|bytes| bytes.len());
    let texts = certificates.iter().chain([vca, request, response]);
    texts.into_iter().all(|text| length(text) > Some(0))
        && length(nonce) == Some(NONCE)
        && length(exchange_key) == Some(EXCHANGE_KEY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(byte: u8) -> Evidence {
        let text = |length| Base64::encode_string(&vec![byte; length]);
        Evidence {
            certificates: vec![text(3), text(4)],
            vca: text(5),
            request: text(6),
            response: text(7),
            nonce: text(NONCE),
            exchange_key: text(EXCHANGE_KEY),
        }
    }

    #[test]
    fn the_file_stands_when_every_gpu_has_presented_and_not_before() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("made/for/it");
        let mut file = EvidenceFile::new(&directory, 2, false).unwrap();
        let path = file.path();
        assert_eq!(file.take(1, evidence(1)), Some(false));
        assert!(!path.exists());
        assert_eq!(file.take(0, evidence(0)), Some(true));
        let read =
            || -> serde_json::Value { serde_json::from_slice(&fs::read(&path).unwrap()).unwrap() };
        assert_eq!(read()["schema"], SCHEMA);
        assert_eq!(read()["gpus"][1], serde_json::to_value(evidence(1)).unwrap());
        assert_eq!(file.take(1, evidence(2)), Some(true), "after an attestation anew");
        assert_eq!(read()["gpus"][1], serde_json::to_value(evidence(2)).unwrap());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        assert_eq!(file.finish().unwrap(), path);

        let file = EvidenceFile::new(&directory, 1, false).unwrap();
        assert!(!path.exists(), "an earlier run's");
        assert!(matches!(file.finish(), Err(Error::Missing(0))));
    }

    #[test]
    fn what_has_not_the_form_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = EvidenceFile::new(directory.path(), 1, false).unwrap();
        let long_nonce = Evidence { nonce: Base64::encode_string(&[0; 33]), ..evidence(0) };
        let no_base64 = Evidence { response: "\u{1b}[2J".into(), ..evidence(0) };
        let nothing = Evidence { certificates: vec![String::new()], ..evidence(0) };
        for wrong in [long_nonce, no_base64, nothing] {
            assert_eq!(file.take(0, wrong), None);
        }
        assert_eq!(file.take(1, evidence(0)), None, "there is no such GPU");
        assert!(!file.path().exists());
    }

    #[test]
    fn where_a_report_is_expected_evidence_is_not_complete_without() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let mut file = EvidenceFile::new(directory, 1, true).unwrap();
        file.take(0, evidence(0)).unwrap();
        assert!(matches!(file.finish(), Err(Error::NoReport)));
        let mut file = EvidenceFile::new(directory, 1, true).unwrap();
        file.take(0, evidence(0)).unwrap();
        assert_eq!(file.take_report(&guest::tests::report(1)), Some(()));
        assert!(file.finish().is_ok());
        assert!(directory.join("report.bin").exists());

        let mut file = EvidenceFile::new(directory, 1, false).unwrap();
        assert!(!directory.join("report.bin").exists(), "an earlier run's");
        assert_eq!(file.take_report(&guest::tests::report(1)), None, "nobody signs reports here");
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_told_before_the_run() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(EvidenceFile::new(&file, 1, false), Err(Error::System(..))));
    }

    #[test]
    fn a_nonce_is_64_digits() {
        let nonce: Nonce = "0aF".repeat(22)[..64].parse().unwrap();
        assert_eq!(nonce.to_string().len(), 64);
        for text in ["", "00", &"g0".repeat(32), &"+0".repeat(32), &"00".repeat(33)] {
            assert_eq!(text.parse::<Nonce>(), Err(NoNonce), "{text}");
        }
    }
}
