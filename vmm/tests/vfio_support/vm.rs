//! A VM with a passed-through device, whose VMM is a process of its own.

use super::eventually;
use serde_json::Value;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

pub struct Vm {
    child: Child,
    place: tempfile::TempDir,
}

/// What a VMM has said when it ended.
pub struct Ended {
    pub code: Option<i32>,
    pub object: Value,
    pub errors: String,
}

impl Vm {
    /// The built-in guest with this GPU and workload.
    pub fn start(gpu: &str, workload: &str, repeat: &str) -> Self {
        Self::start_as(gpu, workload, repeat, |_| {})
    }

    /// The same; `prepare` may take rights away.
    pub fn start_as(
        gpu: &str,
        workload: &str,
        repeat: &str,
        prepare: impl FnOnce(&mut Command),
    ) -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let file = |name: &str| Stdio::from(File::create(place.path().join(name)).unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_ravelin"));
        command
            .args(["run", "--json", "--platform", "emulated", "--name", "vm"])
            .args(["--memory", "128MiB", "--gpu", gpu, "--workload", workload])
            .args(["--repeat", repeat])
            .env("RAVELIN_RUNTIME_DIR", place.path().join("r"))
            .stdout(file("object"))
            .stderr(file("errors"));
        prepare(&mut command);
        Self { child: command.spawn().unwrap(), place }
    }

    pub fn errors(&self) -> String {
        fs::read_to_string(self.place.path().join("errors")).unwrap_or_default()
    }

    /// The VM's log of events.
    pub fn events(&self) -> String {
        let path = self.place.path().join("r/vm/events.jsonl");
        fs::read_to_string(path).unwrap_or_default()
    }

    /// When something was first logged, since the epoch, by the VMM's clock.
    pub fn logged_at(&self, event: &str) -> Option<Duration> {
        let events = self.events();
        let mut objects = events.lines().filter_map(|line| serde_json::from_str(line).ok());
        let logged = objects.find(|object: &Value| object["event"] == event)?;
        logged["time_us"].as_u64().map(Duration::from_micros)
    }

    /// How often the guest has said last that a trial went well.
    pub fn trial(&self, name: &str) -> Option<u64> {
        let events = self.events();
        let objects = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut trials = objects.filter(|object| object["trial"] == name);
        trials.next_back().and_then(|object| object["count"].as_u64())
    }

    /// Waits for a trial to have gone well, so often.
    pub fn wait_for_trial(&mut self, name: &str, count: u64) {
        self.wait_for(&format!("{count} of trial {name}"), |vm| {
            vm.trial(name).is_some_and(|reached| reached >= count)
        });
    }

    /// Waits for something as long as the VMM runs.
    pub fn wait_for(&mut self, what: &str, there: impl Fn(&Self) -> bool) {
        eventually(what, || {
            let there = there(self);
            let ended = self.child.try_wait().unwrap();
            assert!(there || ended.is_none(), "no {what}: {ended:?} {}", self.errors());
            there.then_some(())
        });
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn operator(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ravelinctl"))
            .args(arguments)
            .env("RAVELIN_RUNTIME_DIR", self.place.path().join("r"))
            .output()
            .unwrap()
    }

    /// Bytes that the kernel has pinned for the VMM: those that devices reach. Groups count them as
    /// locked, iommufd as pinned.
    pub fn pinned(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let kilobytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
            line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap()
        };
        (kilobytes("VmLck:") + kilobytes("VmPin:")) << 10
    }

    /// Which bytes of a device's BAR0 the VMM has mapped: a memory slot can show no others.
    pub fn mapped_of_bar0(&self, address: &str) -> Vec<Range<u64>> {
        let number =
            |digits: &str| u64::from_str_radix(digits.trim_start_matches("0x"), 16).unwrap();
        let bars = super::attribute(address, "resource");
        let bar0: Vec<u64> = bars.lines().next().unwrap().split(' ').take(2).map(number).collect();
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.child.id())).unwrap();
        let mut ranges = Vec::new();
        for line in maps.lines().filter(|line| is_a_devices(line)) {
            // "7f1c00000000-7f1c00001000 rw-s fea00000 00:0e 1058  anon_inode:[vfio-device]"
            let words: Vec<&str> = line.split_whitespace().collect();
            let (start, end) = words[0].split_once('-').unwrap();
            let (length, offset) = (number(end) - number(start), number(words[2]));
            // Some kernels show the offset in the device's file, where BAR0 is at 0, others where the
            // BAR is on the bus.
            let offset = match offset {
                on_the_bus if (bar0[0]..=bar0[1]).contains(&on_the_bus) => on_the_bus - bar0[0],
                in_the_file => in_the_file,
            };
            if offset <= bar0[1] - bar0[0] {
                ranges.push(offset..offset + length);
            }
        }
        ranges
    }

    /// Files that the VMM has open.
    pub fn open_files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        files.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()).collect()
    }

    /// Ends the VM as its user would, and waits.
    pub fn stop(self) -> Ended {
        let signalled = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(signalled.success());
        self.end()
    }

    /// Waits for the VM's own end.
    pub fn end(mut self) -> Ended {
        let status = eventually("the VMM's end", || self.child.try_wait().unwrap());
        let text = fs::read_to_string(self.place.path().join("object")).unwrap();
        let errors = self.errors();
        let object = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {errors}"));
        Ended { code: status.code(), object, errors }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a line of `maps` is of a VFIO device's file.
fn is_a_devices(line: &str) -> bool {
    line.ends_with("[vfio-device]") || line.contains(" /dev/vfio/")
}

/// What a launch that was refused has said.
pub struct Refusal {
    pub code: Option<i32>,
    pub errors: String,
}

impl Refusal {
    /// It has this exit code and all of these words.
    pub fn assert(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.errors);
        for word in words {
            assert!(self.errors.contains(word), "no {word:?} in: {}", self.errors);
        }
    }
}

/// A launch that is to be refused; `prepare` may take rights away.
pub fn refused(gpu: &str, prepare: impl FnOnce(&mut Command)) -> Refusal {
    let place = tempfile::tempdir_in("/tmp").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ravelin"));
    command.args(["run", "--platform", "emulated", "--memory", "128MiB"]);
    command.args(["--workload", "nvme", "--gpu", gpu]);
    command.env("RAVELIN_RUNTIME_DIR", place.path().join("r"));
    prepare(&mut command);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it runs: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    Refusal { code: output.status.code(), errors }
}

/// Has a command run by a shell that does something else first.
pub fn after(script: &str, command: &mut Command) {
    let mut shell = Command::new("/bin/busybox");
    shell.args(["sh", "-c", &format!("{script}; exec \"$@\""), "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap());
    }
    *command = shell;
}

const NOBODY: u32 = 65534;

/// Nobody's rights: what an ordinary user has, a directory for what runs included.
pub fn as_nobody(command: &mut Command) {
    let mut set = command.get_envs().filter(|(name, _)| *name == "RAVELIN_RUNTIME_DIR");
    let runtime = set.next().unwrap().1.unwrap();
    let place = std::path::Path::new(runtime).parent().unwrap();
    std::os::unix::fs::chown(place, Some(NOBODY), Some(NOBODY)).unwrap();
    command.uid(NOBODY).gid(NOBODY);
}
