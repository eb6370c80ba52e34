//! The shared libraries that a program needs, as the dynamic loader itself finds them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use ravelin_initramfs::program::Program;

/// Why a program's libraries are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its loader does not run, or does not find a library.
    #[error("the libraries of {program} cannot be listed: {said}")]
    Loader {
        /// Which program.
        program: PathBuf,
        /// What its loader said.
        said: String,
    },
}

/// The loader and the libraries of a program; none for a static one.
pub(crate) fn of(program: &Path) -> Result<BTreeSet<PathBuf>, Error> {
    let bytes = std::fs::read(program)
        .map_err(|source| Error::Read { path: program.to_owned(), source })?;
    let Some(Program::Dynamic { loader }) = Program::of(&bytes) else {
        return Ok(BTreeSet::new());
    };
    let failed = |said: String| Error::Loader { program: program.to_owned(), said };
    let output = Command::new(&loader)
        .arg("--list")
        .arg(program)
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let mut files = paths(&String::from_utf8_lossy(&output.stdout));
    files.insert(loader);
    Ok(files)
}

/// The paths in what the loader lists: `libc.so.6 => /lib/libc.so.6 (0x...)`. Lines without a
/// path are libraries that the kernel provides.
fn paths(listing: &str) -> BTreeSet<PathBuf> {
    listing
        .lines()
        .filter_map(|line| {
            let place = line.split_once("=>").map_or(line, |(_, place)| place);
            let path = place.split(" (").next().unwrap_or_default().trim();
            path.starts_with('/').then(|| PathBuf::from(path))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_listing_gives_paths_and_passes_over_what_has_none() {
        let listing = "\tlinux-vdso.so.1 (0x00007ffc)\n\
                       \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(paths(listing), expected.map(PathBuf::from).into());
    }

    #[test]
    fn this_very_program_has_a_c_library() {
        let libraries = of(&std::env::current_exe().unwrap()).unwrap();
        assert!(libraries.iter().any(|path| path.ends_with("libc.so.6")), "{libraries:?}");
    }
}
