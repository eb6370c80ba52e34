//! Kernels for the machine. The scripts in `resources/kernel` fetch, build, check and keep them;
//! this asks a script for one and knows what is in the directory that it names.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::workspace;

/// Which kernel the machine boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kernel {
    /// Debian 12's stock cloud kernel.
    #[value(name = "6.1")]
    Stock6_1,
    /// Debian 13's.
    #[value(name = "6.12")]
    Stock6_12,
    /// That of Debian's unstable suite.
    #[value(name = "7.2")]
    Stock7_2,
    /// A small one built from source (ten minutes), with software-protected VMs, guest_memfd,
    /// iommufd and VFIO's character devices.
    #[value(name = "small-7.2")]
    Small7_2,
}

impl Kernel {
    /// Its series, as on the command line and in the cache.
    pub(crate) fn name(self) -> String {
        match self.source() {
            ("build", series) => format!("small-{series}"),
            (_, series) => series.to_owned(),
        }
    }

    /// The script in `resources/kernel` that gets it, and the series that the script is asked for.
    fn source(self) -> (&'static str, &'static str) {
        match self {
            Self::Stock6_1 => ("fetch", "6.1"),
            Self::Stock6_12 => ("fetch", "6.12"),
            Self::Stock7_2 => ("fetch", "7.2"),
            Self::Small7_2 => ("build", "7.2"),
        }
    }
}

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The script could not be run.
    #[error("cannot run {script}")]
    Script {
        /// Which.
        script: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The script failed, and has said why.
    #[error("no kernel from {0}: see its message above")]
    Refused(String),
}

/// A kernel in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Unpacked {
    directory: PathBuf,
}

impl Unpacked {
    /// The bzImage.
    pub(crate) fn image(&self) -> PathBuf {
        self.directory.join("vmlinuz")
    }

    /// The ELF image that the bzImage holds.
    pub(crate) fn elf(&self) -> PathBuf {
        self.directory.join("vmlinux")
    }

    /// The root of the tree of modules.
    pub(crate) fn modules(&self) -> PathBuf {
        self.directory.join("modules")
    }
}

/// Gets the kernel, from the cache if it is there and as it was.
pub(crate) fn get(kernel: Kernel) -> Result<Unpacked, Error> {
    let (script, series) = kernel.source();
    let script = workspace::root().join("resources/kernel").join(script);
    let output = Command::new(&script)
        .arg(series)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Error::Script { script: script.clone(), source })?;
    let directory = String::from_utf8_lossy(&output.stdout);
    match directory.trim() {
        path if output.status.success() && !path.is_empty() => {
            Ok(Unpacked { directory: path.into() })
        }
        _ => Err(Error::Refused(format!("{} {series}", script.display()))),
    }
}
