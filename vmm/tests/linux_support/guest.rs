//! A Linux guest with devices, which runs while its test talks to it.

use super::{BUSYBOX, KERNELS, initramfs};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const SERIES: &str = "6.1";
/// Libraries of the programs that a guest is given: the rig has no others.
const LIBRARIES: [&str; 2] = ["/lib/x86_64-linux-gnu", "/lib64"];
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
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let initrd = place.path().join("initrd");
        fs::write(&initrd, with_drivers(script)).unwrap();
        let kernel = Path::new(KERNELS).join(SERIES).join("vmlinuz");
        let console = format!("file={}", place.path().join("console").display());
        let mut words: Vec<&str> = wrap.to_vec();
        words.extend([env!("CARGO_BIN_EXE_ravelin"), "run", "--json", "--platform", "emulated"]);
        words.extend(["--name", "guest", "--gpu", "none", "--memory", "512MiB", "--cpus", "2"]);
        words.extend(["--kernel", kernel.to_str().unwrap(), "--initrd", initrd.to_str().unwrap()]);
        words.extend(["--cmdline", "console=ttyS0 panic=-1 quiet", "--serial", &console]);
        words.extend(options);
        let child = Command::new(words[0])
            .args(&words[1..])
            .env("RAVELIN_RUNTIME_DIR", place.path().join("r"))
            .stdout(Stdio::null())
            .stderr(Stdio::from(fs::File::create(place.path().join("errors")).unwrap()))
            .spawn()
            .unwrap();
        Self { child, place }
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

    /// Ends the VMM as a crash would, and returns what the console had.
    pub fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.console()
    }

    /// Waits until the guest has powered off, and returns the console.
    pub fn end(mut self, patience: Duration) -> String {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            let late = begin.elapsed() > patience;
            assert!(!late, "the guest does not end: {}\n{}", self.errors(), self.console());
            std::thread::sleep(Duration::from_millis(20));
        };
        let console = self.console();
        assert!(status.success(), "{status}: {}\n{console}", self.errors());
        console
    }
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
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |path: &Path| {
        let name = path.strip_prefix("/").unwrap().to_str().unwrap();
        files.push((name.into(), fs::read(path).unwrap()));
    };
    add(Path::new(SOCAT));
    let mut modules = Vec::new();
    let drivers = format!("{KERNELS}/{SERIES}/modules");
    for directory in LIBRARIES.into_iter().chain([drivers.as_str()]) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                add(&path);
                if path.extension().is_some_and(|extension| extension == "ko") {
                    modules.push(path.to_str().unwrap().to_owned());
                }
            }
        }
    }
    modules.sort();
    let insert: String = modules.iter().map(|path| format!("insmod {path}\n")).collect();
    let script = format!(
        "{BUSYBOX} --install -s /bin\nexport PATH=/bin:/usr/bin\n\
         mount -t devtmpfs dev /dev\n{insert}ip link set lo up\n{script}\n"
    );
    initramfs::of(&script, &files)
}
