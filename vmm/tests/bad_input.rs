//! Bad input, case by case: one line that says what to do, an exit code of its own, nothing left.
//!
//! Every case is refused before there is a guest, so none needs KVM; two need to be without.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use ravelin_devices::virtio::block::disk::Disk;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

/// A user who may do nothing.
const NOBODY: u32 = 65534;

/// A runtime directory of the test's own, and the two programs in it.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .env("RAVELIN_RUNTIME_DIR", self.path().join("r"))
            .output()
            .unwrap()
    }

    fn launcher(&self, arguments: &[&str]) -> Output {
        self.run(env!("CARGO_BIN_EXE_ravelin"), arguments)
    }

    fn operator(&self, arguments: &[&str]) -> Output {
        self.run(env!("CARGO_BIN_EXE_ravelinctl"), arguments)
    }

    /// Whether no VM has left anything.
    fn is_clean(&self) -> bool {
        fs::read_dir(self.path().join("r")).map_or(true, |entries| entries.count() == 0)
    }
}

/// Checks an exit code, that there is one line with this advice, and nothing on standard output.
fn refused(output: &Output, code: i32, advice: &str) {
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{line}");
    assert!(line.starts_with("error: ") && line.contains(advice), "{line}");
    assert_eq!(line.trim_end().lines().count(), 1, "{line}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "something on standard output");
    assert!(!line.contains('\u{1b}'), "colour where there is no terminal");
}

#[test]
fn words_that_describe_no_vm() {
    let place = Place::new();
    for (arguments, code, advice) in [
        (&["run", "--memory", "0"][..], 7, "at least 64MiB"),
        (&["run", "--memory", "lots"], 6, "write a number and a unit"),
        (&["run", "--memory", "-1G"], 6, "write a number and a unit"),
        (&["run", "--memory", "65M"], 7, "no multiple of 2MiB"),
        (&["run", "--memory", "1000000TiB"], 8, "beyond the address space"),
        (&["run", "--memory", "99999999999999999999"], 8, "beyond the address space"),
        (&["run", "--gpu", "apm,memory=0"], 7, "at least 8MiB"),
        (&["run", "--gpu", "apm,memory=many"], 6, "GPU memory \"many\""),
        (&["run", "--gpu", "apm,memory=64TiB"], 8, "at most 1TiB"),
        (&["run", "--gpu", "h100"], 9, "the kinds of GPU are apm and vfio"),
        (&["run", "--gpu", "apm,colour=red"], 9, "a GPU has no \"colour\""),
        (&["run", "--gpu", "apm,mode=half"], 9, "on|off|devtools"),
        (&["run", "--name", "../a"], 10, "no name for a VM"),
        (&["run", "--name", ""], 10, "no name for a VM"),
        (&["run", "--disk", "root.img"], 27, "write path=FILE"),
        (&["run", "--disk", "path=a,readonly=maybe"], 27, "on or off"),
        (&["run", "--net", "tap=t,mac=ff:ff:ff:ff:ff:ff"], 28, "group address"),
        (&["run", "--net", "mac=52:54:00:12:34:56"], 28, "it has no tap"),
        (&["run", "--vsock", "cid=2"], 29, "from 3"),
        (&["run", "--vsock", "cid=many"], 29, "cid is no number"),
        (&["run", "--disk", "path=a"], 2, "goes with --kernel"),
        (&["run", "--repeat", "0"], 2, "a number from 1, or forever"),
        (&["run", "--platform", "tdx"], 2, "say emulated, snp or none"),
        (&["run", "--workload", "chess"], 2, "digits"),
        (&["run", "--workload", "idle", "--images", "x.npy"], 2, "--images goes with"),
        (&["run", "--colour"], 2, "--help"),
        (&["fly"], 2, "--help"),
        (&["bench", "transfer", "--size", "0"], 7, "at least 4KiB"),
        (&["bench", "transfer", "--chunk", "2MiB"], 8, "at most 1MiB"),
        (&["bench", "transfer", "--chunk", "5000"], 7, "no multiple of 4KiB"),
    ] {
        refused(&place.launcher(arguments), code, advice);
    }
    let nine = ["--gpu", "apm"].repeat(9);
    refused(&place.launcher(&nine), 9, "1 to 8");
    assert!(place.is_clean());
}

#[test]
fn files_that_cannot_be_used() {
    let place = Place::new();
    let file = |name: &str, text: &str| {
        let path = place.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let absent = place.path().join("absent").to_str().unwrap().to_owned();
    let (wide, dark) = (file("wide.csv", "1,2,3\n"), file("dark.csv", &["255"; 64].join(",")));
    let (text, toml) = (file("text.npy", "no array"), file("vm.toml", "colour = 1"));
    for (arguments, code, advice) in [
        (["--images", &wide], 15, "3 columns in line 1: give N x 64"),
        (["--images", &dark], 16, "from 0 (paper) to 16 (ink)"),
        (["--images", &text], 14, "cannot read"),
        (["--images", &format!("{absent}.npy")], 14, "No such file"),
        (["--config", &toml], 13, "colour"),
        (["--config", &absent], 13, "check the path"),
        (["--guest-image", &absent], 17, "check the path"),
    ] {
        refused(&place.launcher(&arguments), code, advice);
    }
    assert!(place.is_clean());
}

/// A file that passes for a bzImage: its setup header alone, then nothing.
fn bzimage() -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    bytes[0x1f1] = 1;
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    // Protocol 2.15, loaded high, a 64-bit entry, 2,047 bytes of command line.
    bytes[0x206..0x208].copy_from_slice(&0x20fu16.to_le_bytes());
    bytes[0x211] = 1;
    bytes[0x22c..0x230].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    bytes[0x236..0x238].copy_from_slice(&1u16.to_le_bytes());
    bytes[0x238..0x23c].copy_from_slice(&2047u32.to_le_bytes());
    // It unpacks itself to 16 MiB and needs 32 MiB there.
    bytes[0x258..0x260].copy_from_slice(&(16u64 << 20).to_le_bytes());
    bytes[0x260..0x264].copy_from_slice(&(32u32 << 20).to_le_bytes());
    bytes
}

#[test]
fn linux_that_cannot_be_booted() {
    let place = Place::new();
    let file = |name: &str, bytes: &[u8]| {
        let path = place.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let absent = place.path().join("absent").to_str().unwrap().to_owned();
    let (kernel, text) = (file("vmlinuz", &bzimage()), file("text", &[b' '; 4096]));
    let mut old = bzimage();
    old[0x206] = 0x0b;
    let (old, empty) = (file("old", &old), file("empty", b""));
    let large = file("large", b"");
    fs::File::options().write(true).open(&large).unwrap().set_len(250 << 20).unwrap();
    let long = "x".repeat(2048);
    let none = ["--platform", "none"];
    for (arguments, code, advice) in [
        (&["--kernel", &absent][..], 18, "check the path"),
        (&["--kernel", &text], 18, "give the distribution's /boot/vmlinuz"),
        (&["--kernel", "/proc/self/exe"], 18, "neither a bzImage nor a 64-bit ELF"),
        (&["--kernel", "/"], 18, "neither a bzImage nor"),
        (&["--kernel", &old], 18, "of 3.8 or newer"),
        (&["--kernel", &kernel, "--initrd", &absent], 19, "check the path"),
        (&["--kernel", &kernel, "--initrd", &empty], 19, "give a cpio archive"),
        (&["--kernel", &kernel, "--initrd", &large, "--memory", "256M"], 19, "more --memory"),
        (&["--kernel", &kernel, "--cmdline", &long], 24, "at most 2047"),
        (&["--kernel", &kernel, "--cpus", "33"], 25, "give 1 to 32"),
        (&["--kernel", &kernel, "--cpus", "0"], 25, "give 1 to 32"),
        (&["--kernel", &kernel, "--cpus", "many"], 25, "give 1 to 32"),
        (&["--kernel", &kernel, "--cpus", "-1"], 25, "give 1 to 32"),
        (&["--kernel", &kernel, "--memory", "128M"], 7, "at least 256MiB"),
        (&["--kernel", &kernel, "--serial", "tty"], 26, "lines, stdio, socket or file=PATH"),
        (&["--kernel", &kernel, "--images", "x.npy"], 2, "the built-in guest"),
        (&["--initrd", &text], 2, "--initrd goes with --kernel"),
        (&["--cmdline", "quiet"], 2, "--cmdline goes with --kernel"),
        (&["--gpu", "none"], 9, "or none to a Linux guest"),
    ] {
        refused(&place.launcher(&[&["run"], arguments].concat()), code, advice);
    }
    // Without private memory a guest may be as small as its kernel, not smaller.
    let mut wide = bzimage();
    wide[0x260..0x264].copy_from_slice(&(100u32 << 20).to_le_bytes());
    let wide = file("wide", &wide);
    let small = [&["run", "--kernel", &wide, "--memory", "64M"][..], &none].concat();
    refused(&place.launcher(&small), 7, "give it more --memory");
    assert!(place.is_clean());
}

#[test]
fn devices_that_cannot_be_had() {
    let place = Place::new();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("vmlinuz"), bzimage()).unwrap();
    for (name, length) in [("disk", 1 << 20), ("odd", 1000), ("empty", 0)] {
        fs::File::create(path(name)).unwrap().set_len(length).unwrap();
    }
    fs::create_dir(path("directory")).unwrap();
    // A pipe that nobody writes to is refused, and not waited for.
    assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
    let held = Disk::open(Path::new(&path("disk")), true).unwrap();
    let file = |name: &str| format!("path={}", path(name));
    let [disk, read_only] = ["", ",readonly=on"].map(|how| format!("{}{how}", file("disk")));
    let socket = |name: &str| format!("cid=3,socket={}", path(name));
    let serial = |name: &str| format!("file={}", path(name));
    for (arguments, code, advice) in [
        (&["--disk", &file("absent")][..], 27, "make one with `truncate"),
        (&["--disk", &file("directory")], 27, "give a raw image"),
        (&["--disk", &format!("{},readonly=on", file("directory"))], 27, "give a raw image"),
        (&["--disk", &format!("{},readonly=on", file("pipe"))], 27, "give a raw image"),
        (&["--disk", "path=/dev/null"], 27, "give a raw image"),
        (&["--disk", &file("odd")], 27, "has 1000 bytes: give a multiple of 512"),
        (&["--disk", &file("empty")], 27, "has 0 bytes"),
        (&["--disk", &disk], 27, "in use by another VM"),
        (&["--disk", &disk, "--disk", &disk], 27, "is given twice"),
        (&["--disk", &read_only, "--disk", &disk], 27, "give both readonly=on"),
        (&["--net", "tap=ravelin-none"], 28, "make it with `ip tuntap"),
        (&["--net", "tap=a-name-too-long-for-it"], 28, "1 to 15 characters"),
        (&["--net", "tap=ravelin-none", "--net", "tap=ravelin-none"], 28, "is given twice"),
        (&["--vsock", "cid=1"], 29, "from 3"),
        (&["--vsock", "cid=4294967295"], 29, "to 4294967294"),
        (&["--vsock", &socket("no/where")], 29, "its directory must be there"),
        (&["--vsock", &socket("disk")], 29, "is there already"),
        (&["--serial", &serial("no/where")], 26, "check the path"),
        (&["--serial", &serial("directory")], 26, "check the path"),
        (&["--initrd", &path("pipe")], 19, "cannot read the initrd"),
        (&["--initrd", &path("directory")], 19, "cannot read the initrd"),
        (&["--gpu", "none", "--gpu", "apm"], 9, "none stands alone"),
        (&["--gpu", ""], 9, "kind"),
        (&["--memory", "1.5G"], 6, "write a number and a unit"),
        (&["--memory", "257M"], 7, "no multiple of 2MiB"),
        (&["--memory", ""], 6, "write a number and a unit"),
    ] {
        let kernel = ["run", "--kernel", &path("vmlinuz")];
        refused(&place.launcher(&[&kernel[..], arguments].concat()), code, advice);
    }
    refused(&place.launcher(&["run", "--kernel", &path("pipe")]), 18, "neither a bzImage nor");
    drop(held);
    assert!(place.is_clean());
}

#[test]
fn a_file_that_describes_no_vm() {
    let place = Place::new();
    let file = place.path().join("vm.toml");
    let shown = |text: &[u8], advice: &str| {
        fs::write(&file, text).unwrap();
        let output = place.launcher(&["run", "--config", file.to_str().unwrap()]);
        refused(&output, 13, advice);
        // However long the file, the line is one that can be read.
        assert!(output.stderr.len() < 4096, "{} bytes", output.stderr.len());
    };
    for (text, advice) in [
        ("memory = \"1GiB\"\nmemroy = \"2GiB\"", "unknown field `memroy`"),
        ("cpus = \"four\"", "expected u8"),
        ("cpus = 300", "300"),
        ("memory = 1.5", "a number of bytes"),
        ("[[gpus]]\nmodel = \"h100\"", "h100"),
        ("[[disks]]\npath = \"d\"\nreadonly = \"on\"", "expected a boolean"),
        ("[[disks]]", "path"),
        ("[[nets]]\ntap = 1", "expected a string"),
        ("[vsock]\ncid = -1", "-1"),
        ("[", "line 1"),
    ] {
        shown(text.as_bytes(), advice);
    }
    shown(&[0; 1 << 20], "line 1");
    shown(&[0xff, 0xfe], "UTF-8");
    assert!(place.is_clean());
}

#[test]
fn what_print_config_writes_is_the_same_vm() {
    let place = Place::new();
    let words = [
        "--platform",
        "none",
        "--memory",
        "1GiB",
        "--cpus",
        "4",
        "--kernel",
        "/boot/vmlinuz",
        "--initrd",
        "/boot/initrd",
        "--cmdline",
        "console=ttyS0 \"quiet\"",
        "--serial",
        "file=/tmp/a b",
        "--gpu",
        "apm,memory=8GiB,mode=off",
        "--gpu",
        "apm",
        "--name",
        "twin",
    ];
    let printed = place.launcher(&[&["run", "--print-config"][..], &words].concat());
    assert!(printed.status.success());
    let file = place.path().join("vm.toml");
    fs::write(&file, &printed.stdout).unwrap();
    let again = ["run", "--print-config", "--config", file.to_str().unwrap()];
    let again = place.launcher(&again);
    assert_eq!(String::from_utf8_lossy(&again.stdout), String::from_utf8_lossy(&printed.stdout));
    let spec = ravelin::config::VmSpec::from_toml(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!((spec.cpus, spec.gpus.len()), (4, 2));
    assert_eq!(spec.cmdline.as_deref(), Some("console=ttyS0 \"quiet\""));
    // The command line wins over the file.
    let other = ["run", "--print-config", "--config", file.to_str().unwrap(), "--cpus", "2"];
    assert!(String::from_utf8_lossy(&place.launcher(&other).stdout).contains("cpus = 2"));
    assert!(place.is_clean());
}

#[test]
fn a_refusal_with_json_is_one_object_with_the_code() {
    let place = Place::new();
    for (arguments, code, result) in [
        (&["--json", "--memory", "0"][..], 7, "size-too-small"),
        (&["run", "--json", "--gpu", "h100"], 9, "bad-gpu"),
        (&["bench", "transfer", "--json", "--size", "x"], 6, "size-unreadable"),
    ] {
        let output = place.launcher(arguments);
        let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(object["result"], result);
        assert!(object["schema"].as_str().unwrap().starts_with("ravelin."));
    }
}

#[test]
fn a_directory_that_others_could_enter() {
    let place = Place::new();
    fs::create_dir(place.path().join("r")).unwrap();
    fs::set_permissions(place.path().join("r"), fs::Permissions::from_mode(0o755)).unwrap();
    refused(&place.launcher(&["--name", "a"]), 12, "RAVELIN_RUNTIME_DIR");
    assert!(place.is_clean());
}

#[test]
fn a_name_in_use() {
    let place = Place::new();
    let root = ravelin::runtime::RuntimeRoot::at(place.path().join("r"));
    let vm = root.take(&"a".parse().unwrap()).unwrap();
    refused(&place.launcher(&["--name", "a"]), 11, "choose another --name");
    drop(vm);
    assert!(place.is_clean());
}

#[test]
fn the_operator_asks_for_what_is_not_there() {
    let place = Place::new();
    for arguments in
        [&["info", "a"][..], &["telemetry", "a"], &["reset", "a", "--gpu", "0", "--kind", "flr"]]
    {
        refused(&place.operator(arguments), 30, "ravelinctl list");
    }
    refused(&place.operator(&["info", "a/b"]), 10, "no name for a VM");
    refused(&place.operator(&["reset", "a", "--gpu", "0", "--kind", "warm"]), 2, "flr");
    refused(&place.operator(&["reset", "a", "--kind", "flr"]), 2, "--gpu");
    refused(&place.operator(&["reset", "a", "--gpu", "x", "--kind", "flr"]), 2, "--gpu");
    refused(&place.operator(&[]), 2, "--help");
    let list = place.operator(&["list"]);
    assert!(list.status.success() && String::from_utf8_lossy(&list.stdout).starts_with("No VMs."));
}

#[test]
fn a_dead_vm_is_shown_as_dead_and_named_so() {
    let place = Place::new();
    let vm = place.path().join("r/a");
    fs::create_dir_all(&vm).unwrap();
    fs::write(vm.join("lock"), "1\n").unwrap();
    drop(std::os::unix::net::UnixListener::bind(vm.join("control.sock")).unwrap());
    refused(&place.operator(&["info", "a"]), 31, "start it again");
    let list = place.operator(&["list", "--json"]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(list["schema"], "ravelin.list/1");
    assert_eq!(list["vms"], serde_json::json!([{ "name": "a", "state": "dead" }]));
}

#[test]
fn a_closed_output_is_no_crash() {
    let place = Place::new();
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_ravelinctl"))
        .arg("list")
        .env("RAVELIN_RUNTIME_DIR", place.path().join("r"))
        .stdout(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn help_teaches_and_ends_with_the_exit_codes() {
    let place = Place::new();
    for (output, words) in [
        (place.launcher(&["--help"]), ["bench", "apm", "name-in-use"]),
        (place.launcher(&["run", "--help"]), ["N x 8 x 8", "forever", "kvm-permission"]),
        (place.operator(&["--help"]), ["telemetry", "reset", "vm-dead"]),
    ] {
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && words.iter().all(|word| text.contains(word)), "{text}");
        assert!(!text.contains("guest-image FILE"), "a hidden option is shown");
    }
}

/// Says so straight to the terminal: the harness would swallow it with a test that passes.
fn skipped(why: &str) {
    let _ = writeln!(io::stderr().lock(), "SKIPPED: {why}");
}

/// Runs the launcher with this word where `/dev/kvm` is something else: `None` where the system gives no mount
/// namespace for it.
fn with_other_kvm(place: &Place, device: Option<&str>, word: &str) -> Option<Output> {
    let script = "mount --bind \"$1\" /dev && shift && exec \"$@\"";
    let dev = place.path().join("dev");
    fs::create_dir(&dev).unwrap();
    if let Some(content) = device {
        fs::write(dev.join("kvm"), content).unwrap();
    }
    let unshare = |arguments: &[&str]| {
        Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
            .arg(&dev)
            .args(arguments)
            .env("RAVELIN_RUNTIME_DIR", place.path().join("r"))
            .output()
            .ok()
    };
    if !unshare(&["true"])?.status.success() {
        skipped("no mount namespace to hide /dev/kvm in");
        return None;
    }
    unshare(&[env!("CARGO_BIN_EXE_ravelin"), word])
}

#[test]
fn no_dev_kvm() {
    let place = Place::new();
    let Some(output) = with_other_kvm(&place, None, "run") else { return };
    refused(&output, 3, "load the kvm module");
    assert!(place.is_clean());
}

#[test]
fn no_dev_kvm_as_the_doctor_tells_it() {
    let place = Place::new();
    let Some(output) = with_other_kvm(&place, None, "doctor") else { return };
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(60), "{told}");
    for line in
        ["none        cannot run", "  MISSING   kvm: ", "  unknown   capabilities: KVM cannot"]
    {
        assert!(told.contains(line), "{told}");
    }
}

#[test]
fn a_kvm_that_is_none() {
    let place = Place::new();
    let Some(output) = with_other_kvm(&place, Some("no device"), "run") else { return };
    refused(&output, 5, "KVM cannot be used");
    assert!(place.is_clean());
}

#[test]
fn no_permission_on_dev_kvm() {
    let place = Place::new();
    let runtime = place.path().join("r");
    fs::create_dir(&runtime).unwrap();
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let prepared = std::os::unix::fs::chown(&runtime, Some(NOBODY), Some(NOBODY));
    let open = fs::metadata("/dev/kvm").map_or(true, |kvm| kvm.permissions().mode() & 0o006 != 0);
    if prepared.is_err() || open {
        skipped("needs root and a /dev/kvm that not everyone may open");
        return;
    }
    // Somewhere that nobody may execute it from.
    let program = place.path().join("ravelin");
    // By another process: a file that this one has open for writing may be open in a child that
    // another test is starting just now, and then it cannot be executed.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_ravelin")).arg(&program).status();
    assert!(copied.unwrap().success());
    let output = Command::new(program)
        .uid(NOBODY)
        .gid(NOBODY)
        .env("RAVELIN_RUNTIME_DIR", &runtime)
        .output()
        .unwrap();
    refused(&output, 4, "join the group that owns it");
    assert!(place.is_clean());
}
