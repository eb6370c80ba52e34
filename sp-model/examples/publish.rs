//! Writes the root's certificate and revocation list to a directory: what verifiers pin.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = PathBuf::from(std::env::args_os().nth(1).ok_or("say to which directory")?);
    let certificates = ravelin_sp_model::certificates::certificates()?;
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("ark.der"), certificates.ark)?;
    std::fs::write(directory.join("ark.crl"), ravelin_sp_model::certificates::revocation_list()?)?;
    Ok(())
}
