//! A Linux guest with devices, which runs while its test talks to it.

use super::{BUSYBOX, KERNELS, initramfs};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

const SERIES: &str = "6.1";
const SOCAT: &str = "/usr/bin/socat";

/// A guest whose VMM is a process of its own.
pub struct Guest {
    child: Child,
    place: tempfile::TempDir,
}

impl Guest {
    /// Boots on platform `emulated` with these options and all drivers, and runs a script of busybox's.
    pub fn start(options: &[&str], script: &str) -> Self {
        Self::start_in(&[], options, script)
    }

    /// The same by a command in front of the launcher's.
    pub fn start_in(wrap: &[&str], options: &[&str], script: &str) -> Self {
        let (mut command, place) = launcher(wrap, script);
        let console = format!("file={}", place.path().join("console").display());
        command.args(["--json", "--serial", &console]).args(options).stdout(Stdio::null());
        Self { child: command.spawn().unwrap(), place }
    }

    /// The same with this terminal as the guest's console, and as the launcher's own.
    pub fn start_on(terminal: &OwnedFd, script: &str) -> Self {
        let end = || Stdio::from(terminal.try_clone().unwrap());
        let (mut command, place) = launcher(&[BUSYBOX, "setsid", "-c"], script);
        command.args(["--serial", "stdio"]).stdin(end()).stdout(end());
        Self { child: command.spawn().unwrap(), place }
    }

    /// A launch beside this one that is to be refused.
    pub fn second(&self, options: &[&str]) -> Output {
        let kernel = Path::new(KERNELS).join(SERIES).join("vmlinuz");
        Command::new(env!("CARGO_BIN_EXE_ravelin"))
            .args(["run", "--gpu", "none", "--kernel", kernel.to_str().unwrap()])
            .args(options)
            .env("RAVELIN_RUNTIME_DIR", self.place.path().join("r"))
            .output()
            .unwrap()
    }

    /// A socket in the VM's runtime directory.
    pub fn runtime(&self, name: &str) -> PathBuf {
        self.place.path().join("r/guest").join(name)
    }

    fn console(&self) -> String {
        let bytes = fs::read(self.place.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.place.path().join("errors")).unwrap_or_default()
    }

    /// Waits until the console has this text.
    pub fn wait_for(&self, text: &str, patience: Duration) -> String {
        let begin = Instant::now();
        loop {
            let console = self.console();
            if console.contains(text) {
                return console;
            }
            let late = begin.elapsed() > patience;
            assert!(!late, "no {text:?}: {}\n{console}", self.errors());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The VMM's process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Ends the VMM as a crash would, and returns what the console had.
    pub fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.console()
    }

    /// Waits until the VMM has ended.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            let late = begin.elapsed() > patience;
            assert!(!late, "the guest does not end: {}\n{}", self.errors(), self.console());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the guest has powered off, and returns the console.
    pub fn end(mut self, patience: Duration) -> String {
        let status = self.wait(patience);
        let console = self.console();
        assert!(status.success(), "{status}: {}\n{console}", self.errors());
        console
    }
}

/// The launcher behind a command, without a console yet, and the directory for its files.
fn launcher(wrap: &[&str], script: &str) -> (Command, tempfile::TempDir) {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let initrd = place.path().join("initrd");
    fs::write(&initrd, with_drivers(script)).unwrap();
    let errors = fs::File::create(place.path().join("errors")).unwrap();
    let kernel = Path::new(KERNELS).join(SERIES).join("vmlinuz");
    let words = wrap.iter().copied().chain([env!("CARGO_BIN_EXE_ravelin"), "run"]);
    let words: Vec<&str> = words.collect();
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .args(["--platform", "emulated", "--name", "guest", "--gpu", "none", "--cpus", "2"])
        .args([Path::new("--kernel"), &kernel, Path::new("--initrd"), &initrd])
        .args(["--cmdline", "console=ttyS0 panic=-1 quiet"])
        .env("RAVELIN_RUNTIME_DIR", place.path().join("r"))
        .stderr(Stdio::from(errors));
    (command, place)
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Drivers, programs with their libraries, and the script behind them.
fn with_drivers(script: &str) -> Vec<u8> {
    let modules = initramfs::files_in(&Path::new(KERNELS).join(SERIES).join("modules"));
    let insert: String =
        modules.iter().map(|path| format!("insmod {}\n", path.display())).collect();
    let mut files = initramfs::program(SOCAT);
    files.extend(modules.iter().map(|path| initramfs::file(path)));
    let script = format!(
        "{BUSYBOX} --install -s /bin\nexport PATH=/bin:/usr/bin\n\
         mount -t devtmpfs dev /dev\n{insert}ip link set lo up\n{script}\n"
    );
    initramfs::of(&script, &files)
}
