//! One boot of Linux by the launcher: an initramfs with busybox and a script, and what came of it.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

pub mod guest;
mod initramfs;

use serde_json::Value;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the rig has kernels: `SERIES/vmlinuz`, `SERIES/vmlinux` and `SERIES/modules`.
const KERNELS: &str = "/rig/guests";
/// A static busybox, which the rig has too.
const BUSYBOX: &str = "/bin/busybox";
/// The end of a script: powers off.
pub const OFF: &str = "/bin/busybox poweroff -f";

/// Kinds of kernel image.
#[derive(Clone, Copy, Debug)]
pub enum Image {
    BzImage,
    Elf,
}

/// What to boot.
#[derive(Clone, Debug)]
pub struct Boot<'a> {
    pub kernel: PathBuf,
    pub platform: &'a str,
    pub cpus: u8,
    pub memory: &'a str,
    pub gpus: &'a [&'a str],
    /// More words on the kernel's command line.
    pub words: &'a str,
}

/// What came of it.
pub struct Run {
    pub code: i32,
    pub object: Value,
    pub console: String,
    errors: String,
}

impl Boot<'static> {
    /// A kernel in 256 MiB with one processor, without a GPU, on platform `none`.
    pub fn of(series: &str, image: Image) -> Self {
        let file = match image {
            Image::BzImage => "vmlinuz",
            Image::Elf => "vmlinux",
        };
        let kernel = Path::new(KERNELS).join(series).join(file);
        Self { kernel, platform: "none", cpus: 1, memory: "256MiB", gpus: &["none"], words: "" }
    }
}

impl Boot<'_> {
    /// Boots, with `script` as all that user space does.
    pub fn run(&self, script: &str) -> Run {
        self.run_initrd(&initramfs::of(script, &[]))
    }

    /// The same with a program of the rig's, which the script finds at its path.
    pub fn run_with(&self, program: &str, script: &str) -> Run {
        self.run_initrd(&initramfs::of(script, &initramfs::program(program)))
    }

    /// Boots this initramfs.
    pub fn run_initrd(&self, initrd: &[u8]) -> Run {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(path("initrd"), initrd).unwrap();
        let words = format!("console=ttyS0 panic=-1 random.trust_cpu=on {}", self.words);
        let mut command = Command::new(env!("CARGO_BIN_EXE_ravelin"));
        command
            .args(["run", "--json", "--platform", self.platform, "--memory", self.memory])
            .args(["--cpus", &self.cpus.to_string()])
            .args(["--kernel", self.kernel.to_str().unwrap(), "--initrd", &path("initrd")])
            .args(["--cmdline", &words])
            .args(["--serial", &format!("file={}", path("console"))])
            .env("RAVELIN_RUNTIME_DIR", path("r"));
        for gpu in self.gpus {
            command.args(["--gpu", gpu]);
        }
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let console = fs::read(path("console")).unwrap_or_default();
        Run {
            code: output.status.code().unwrap_or(-1),
            object: serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|error| panic!("no JSON ({error}): {errors}")),
            console: String::from_utf8_lossy(&console).into_owned(),
            errors,
        }
    }
}

impl Run {
    /// The guest's console has this text.
    pub fn assert_console(&self, text: &str) {
        assert!(self.console.contains(text), "no {text:?}: {self}");
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, object, console, errors } = self;
        write!(f, "exit code {code}\n{object:#}\n{errors}\nconsole:\n{console}")
    }
}
