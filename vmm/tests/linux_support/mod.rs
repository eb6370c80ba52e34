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
use std::process::{Command, Output};

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
        let place = Place::new(initrd);
        place.launch(self, &self.files(&place))
    }

    /// The same from an IGVM file that is made of it, with the C-bit that this machine has. What came of
    /// it, and the digest that was told of the file.
    pub fn run_image(&self, c_bit: &str, script: &str) -> (Run, String) {
        let place = Place::new(&initramfs::of(script, &[]));
        let (image, cpus) = (place.path("image"), self.cpus.to_string());
        place.ravelin(
            &[
                &["image", "build", "--platform", self.platform, "--c-bit", c_bit],
                &["--memory", self.memory, "--vcpus", &cpus, "--output", &image][..],
                &self.files(&place).each_ref().map(String::as_str),
            ]
            .concat(),
        );
        let told = place.ravelin(&["image", "measure", "--igvm", &image]);
        let run = place.launch(self, &["--igvm".into(), image]);
        (run, String::from_utf8(told.stdout).unwrap().trim_end().to_owned())
    }

    /// What names the guest's files.
    fn files(&self, place: &Place) -> [String; 6] {
        let words = format!("console=ttyS0 panic=-1 random.trust_cpu=on {}", self.words);
        let kernel = self.kernel.to_str().unwrap();
        let (kernel, initrd) = (kernel.to_owned(), place.path("initrd"));
        ["--kernel".into(), kernel, "--initrd".into(), initrd, "--cmdline".into(), words]
    }
}

/// A directory for the files of one boot, the initrd among them.
struct Place(tempfile::TempDir);

impl Place {
    fn new(initrd: &[u8]) -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        fs::set_permissions(place.0.path(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(place.path("initrd"), initrd).unwrap();
        place
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// The launcher with these words, which must succeed.
    fn ravelin(&self, words: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_ravelin")).args(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Runs the guest that these words name.
    fn launch(&self, boot: &Boot<'_>, guest: &[String]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ravelin"));
        command
            .args(["run", "--json", "--platform", boot.platform, "--memory", boot.memory])
            .args(["--cpus", &boot.cpus.to_string()])
            .args(guest)
            .args(["--serial", &format!("file={}", self.path("console"))])
            .env("RAVELIN_RUNTIME_DIR", self.path("r"));
        for gpu in boot.gpus {
            command.args(["--gpu", gpu]);
        }
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let console = fs::read(self.path("console")).unwrap_or_default();
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
