//! The guest's own report among what is saved: the files that any SNP verifier takes (`report.bin`,
//! `ask.der`, `vcek.der`), and `guest.json`, schema "ravelin.guest/1", with what the report binds. The
//! root is not among them: whoever verifies has pinned their own.
//!
//! A reader may find files of two reports while they are written. It will not find them trusted:
//! everything here is bound by the report's own signature.

use base64ct::{Base64, Encoding};
use ravelin_report::{GuestReport, Statement};
use serde::Serialize;
use std::path::Path;
use std::{fs, io};

const SCHEMA: &str = "ravelin.guest/1";
const STATEMENT: &str = "guest.json";
const REPORT: &str = "report.bin";
const CERTIFICATES: [&str; 2] = ["ask.der", "vcek.der"];

/// Bytes of an attestation report, a public key, a nonce, and a digest.
const REPORT_SIZE: usize = 0x4a0;
const KEY_SIZE: usize = 97;
const NONCE_SIZE: usize = 32;
const DIGEST_SIZE: usize = 48;

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    statement: &'a Statement,
}

/// Removes what an earlier run has left.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    for name in [STATEMENT, REPORT].iter().chain(&CERTIFICATES) {
        match fs::remove_file(directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Writes the files. `None` for what is no report by its form.
pub(super) fn write(directory: &Path, guest: &GuestReport) -> Option<io::Result<()>> {
    let GuestReport { report, ask, vcek, statement } = guest;
    let Statement { nonce, key, policy, gpus } = statement;
    let sized = |text: &str, size| decode(text).filter(|bytes| bytes.len() == size);
    let report = sized(report, REPORT_SIZE)?;
    (sized(nonce, NONCE_SIZE).is_some() && sized(key, KEY_SIZE).is_some()).then_some(())?;
    let digests = gpus.iter().chain(policy);
    digests.map(|digest| sized(digest, DIGEST_SIZE)).collect::<Option<Vec<_>>>()?;
    let certificates = [ask, vcek].map(|text| decode(text));

    let write = || {
        for (name, der) in CERTIFICATES.iter().zip(certificates) {
            // The host may have given none, and a verifier its own.
            if let Some(der) = der.filter(|der| !der.is_empty()) {
                fs::write(directory.join(name), der)?;
            }
        }
        fs::write(directory.join(REPORT), report)?;
        let mut text = serde_json::to_vec_pretty(&Document { schema: SCHEMA, statement })?;
        text.push(b'\n');
        fs::write(directory.join(STATEMENT), text)
    };
    Some(write())
}

fn decode(text: &str) -> Option<Vec<u8>> {
    Base64::decode_vec(text).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A report by its form.
    pub(in super::super) fn report(byte: u8) -> GuestReport {
        let text = |length| Base64::encode_string(&vec![byte; length]);
        GuestReport {
            report: text(REPORT_SIZE),
            ask: text(4),
            vcek: String::new(),
            statement: Statement {
                nonce: text(NONCE_SIZE),
                key: text(KEY_SIZE),
                policy: Some(text(DIGEST_SIZE)),
                gpus: vec![text(DIGEST_SIZE)],
            },
        }
    }

    #[test]
    fn files_are_written_as_they_came_and_removed_together() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        write(directory, &report(7)).unwrap().unwrap();
        assert_eq!(fs::read(directory.join("report.bin")).unwrap(), [7; REPORT_SIZE]);
        assert_eq!(fs::read(directory.join("ask.der")).unwrap(), [7; 4]);
        assert!(!directory.join("vcek.der").exists(), "the host gave none");
        let text = fs::read(directory.join("guest.json")).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["schema"], SCHEMA);
        assert_eq!(value["gpus"][0], Base64::encode_string(&[7; DIGEST_SIZE]));
        remove(directory).unwrap();
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
    }

    #[test]
    fn what_has_not_the_form_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let short = Base64::encode_string(&[1; 5]);
        let statement = || report(1).statement;
        let with = |statement| GuestReport { statement, ..report(1) };
        for wrong in [
            GuestReport { report: short.clone(), ..report(1) },
            with(Statement { nonce: short.clone(), ..statement() }),
            with(Statement { key: "\u{1b}[2J".into(), ..statement() }),
            with(Statement { policy: Some(short.clone()), ..statement() }),
            with(Statement { gpus: vec![short], ..statement() }),
        ] {
            assert!(write(directory.path(), &wrong).is_none());
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
