//! A root's directory: which files are in it, and how they are read back.

use super::file;
use crate::authority::Authority;
use crate::key;
use crate::provision::{CHAIN, KEY};
use crate::publication::{REVOCATION_LIST, ROOT};
use p384::ecdsa::SigningKey;
use ravelin_attestation::{RevocationList, TrustAnchor};
use ravelin_dice::CertificateId;
use std::path::{Path, PathBuf};

/// Name of the file with the key of the signer of reference values.
pub(super) const SIGNER_KEY: &str = "signer-key.pem";
/// Name of the file with its certificate, DER.
pub(super) const SIGNER: &str = "signer.der";

/// Why a directory is none of the maker's.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    File(#[from] file::Error),
    #[error(transparent)]
    Key(#[from] key::Error),
    #[error("{} has neither {ROOT} nor {CHAIN}: make it with `ravelin maker root` or \
             `ravelin maker intermediate`", .0.display())]
    NoAuthority(PathBuf),
    #[error("{} has no {ROOT}: give a directory that `ravelin maker root` has made", .0.display())]
    NoRoot(PathBuf),
    #[error("{} is no authority's", .0.display())]
    Authority(PathBuf, #[source] crate::Error),
    #[error("{} is a device's: a device issues nothing but its attestation keys", .0.display())]
    Device(PathBuf),
    #[error("{} is no root's certificate", .0.display())]
    Root(PathBuf, #[source] ravelin_dice::Error),
    #[error("{} is no signer's certificate", .0.display())]
    Signer(PathBuf, #[source] ravelin_dice::Error),
    #[error("{} is no revocation list of this root's", .0.display())]
    List(PathBuf, #[source] ravelin_attestation::revocation::Error),
}

/// The authority in a directory: a root or an intermediate.
pub(super) fn authority(directory: &Path) -> Result<Authority, Error> {
    let names = [ROOT, CHAIN].map(|name| directory.join(name));
    let Some(path) = names.iter().find(|path| path.is_file()) else {
        return Err(Error::NoAuthority(directory.to_path_buf()));
    };
    let chain = file::read(path)?;
    let key = key::read(&directory.join(KEY))?;
    let authority = Authority::of_chain(key, &chain)
        .map_err(|error| Error::Authority(directory.to_path_buf(), error))?;
    match authority.issuer().device() {
        Some(_) => Err(Error::Device(directory.to_path_buf())),
        None => Ok(authority),
    }
}

/// The root in a directory.
pub(super) fn root(directory: &Path) -> Result<Authority, Error> {
    anchor(directory)?;
    authority(directory)
}

/// The root's certificate in a directory, without its key.
pub(super) fn anchor(directory: &Path) -> Result<TrustAnchor, Error> {
    let path = directory.join(ROOT);
    if !path.is_file() {
        return Err(Error::NoRoot(directory.to_path_buf()));
    }
    TrustAnchor::new(&file::read(&path)?).map_err(|error| Error::Root(path, error))
}

/// The current revocation list in a root's directory; `None` before the first.
pub(super) fn revocation_list(
    directory: &Path,
    anchor: &TrustAnchor,
) -> Result<Option<RevocationList>, Error> {
    let path = directory.join(REVOCATION_LIST);
    if !path.exists() {
        return Ok(None);
    }
    let list = RevocationList::verify(&file::read(&path)?, anchor);
    list.map(Some).map_err(|error| Error::List(path, error))
}

/// The signer's certificate in a root's directory.
pub(super) fn signer_certificate(directory: &Path) -> Result<(Vec<u8>, CertificateId), Error> {
    let path = directory.join(SIGNER);
    let certificate = file::read(&path)?;
    let id = CertificateId::of(&certificate).map_err(|error| Error::Signer(path, error))?;
    Ok((certificate, id))
}

/// The signer's key in a root's directory.
pub(super) fn signer_key(directory: &Path) -> Result<SigningKey, Error> {
    Ok(key::read(&directory.join(SIGNER_KEY))?)
}
