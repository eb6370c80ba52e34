//! NVIDIA's two root certificates, built in; `roots/README.md` says where they come from. AMD's
//! come with the `sev` crate. Either can be replaced on the command line.
//!
//! The root of the emulated AMD-SP is here to be known, not to be trusted: see
//! `resources/emulated-sp`.

use crate::x509::crl::RevocationList;
use crate::x509::{Certificate, Error};

const NVIDIA_DEVICE: &[u8] = include_bytes!("../roots/nvidia-device-root.pem");
const NVIDIA_MANIFEST: &[u8] = include_bytes!("../roots/nvidia-manifest-root.pem");

/// "NVIDIA Device Identity CA": the root above every GPU.
pub fn nvidia_device() -> Result<Certificate, Error> {
    single(NVIDIA_DEVICE)
}

/// "NVIDIA CoRIM signing Root CA": the root above the signers of reference manifests.
pub fn nvidia_manifest() -> Result<Certificate, Error> {
    single(NVIDIA_MANIFEST)
}

/// The root of the emulated AMD-SP. Its key is public.
pub fn emulated() -> Result<Certificate, Error> {
    single(include_bytes!("../../resources/emulated-sp/ark.der"))
}

/// That root's revocation list.
pub fn emulated_list() -> Result<RevocationList, Error> {
    RevocationList::from_file_bytes(include_bytes!("../../resources/emulated-sp/ark.crl"))
}

/// The only certificate of a file.
pub fn single(file: &[u8]) -> Result<Certificate, Error> {
    let mut certificates = Certificate::from_file_bytes(file)?;
    match (certificates.pop(), certificates.is_empty()) {
        (Some(only), true) => Ok(only),
        _ => Err(Error::Empty),
    }
}
