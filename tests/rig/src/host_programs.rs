//! The programs that the host needs, and how to get those that it does not have.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program that the rig runs or packs, and the Debian package that brings it.
struct Program {
    name: &'static str,
    package: &'static str,
}

const NEEDED: &[Program] = &[
    Program { name: "qemu-system-x86_64", package: "qemu-system-x86" },
    Program { name: "busybox", package: "busybox-static" },
    Program { name: "setpriv", package: "util-linux" },
    Program { name: "mke2fs", package: "e2fsprogs" },
    Program { name: "socat", package: "socat" },
];

/// Why the host's programs cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// They are absent, and this user cannot install them.
    #[error("not installed: {0}. Run: sudo apt-get install --no-install-recommends {0}")]
    Missing(String),
    /// The package manager refused.
    #[error("apt-get could not install {0}")]
    NotInstalled(String),
}

/// Makes sure that all needed programs are there: installs them as root, else says what to do.
pub(crate) fn ensure(say: &dyn Fn(&str)) -> Result<(), Error> {
    let missing: Vec<&str> =
        NEEDED.iter().filter(|p| find(p.name).is_none()).map(|p| p.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !rustix::process::geteuid().is_root() || find("apt-get").is_none() {
        return Err(Error::Missing(list));
    }
    say(&format!("installing {list}"));
    let installed = apt(&["update"])
        && apt(&[&["install", "--yes", "--no-install-recommends"], missing.as_slice()].concat());
    if installed { Ok(()) } else { Err(Error::NotInstalled(list)) }
}

fn apt(arguments: &[&str]) -> bool {
    Command::new("apt-get")
        .arg("-qq")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The path of a program that `PATH` reaches.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(name)).find(|p| is_executable(p))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}
