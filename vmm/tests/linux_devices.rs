//! A confidential Linux guest's disk, network, sockets, randomness and console: a stock kernel's own
//! drivers against our devices, on platform `emulated`.
//!
//! They need what `cargo rig linux` has: a KVM that boots Linux, kernels and modules in `/rig/guests`,
//! a static busybox, mke2fs and socat. Elsewhere every test here is ignored.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

mod linux_support;

use linux_support::guest::Guest;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long anything may take in a guest of a guest.
const PATIENCE: Duration = Duration::from_secs(120);

/// An ext4 image with these files in its root, and places to mount on.
fn ext4(path: &Path, files: &[(&str, &[u8])]) {
    let tree = tempfile::tempdir().unwrap();
    for name in ["dev", "proc"] {
        fs::create_dir(tree.path().join(name)).unwrap();
    }
    for (name, bytes) in files {
        fs::write(tree.path().join(name), bytes).unwrap();
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(tree.path().join(name), executable).unwrap();
    }
    let made = Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-d"])
        .args([tree.path(), path])
        .arg("64M")
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// The lines of the console that begin with this word, without it.
fn said<'a>(console: &'a str, word: &str) -> Vec<&'a str> {
    console.lines().filter_map(|line| line.trim_end().strip_prefix(word)).collect()
}

/// Done-when 2: the root is on the disk, and what an fsync has completed survives the VMM.
#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn what_a_root_on_a_disk_has_synced_survives_the_vmms_sudden_end() {
    let place = tempfile::tempdir().unwrap();
    let disk = place.path().join("root.img");
    let busybox = fs::read("/bin/busybox").unwrap();
    // A file that is synced, its sum on the console behind it, and so on until the end.
    let work = b"b=/busybox; $b mount -t devtmpfs dev /dev; $b mount -t proc proc /proc; \
                 $b grep ' / ' /proc/mounts; n=0; while true; do n=$((n+1)); \
                 $b dd if=/dev/urandom of=/f$n bs=4k count=9 conv=fsync 2>/dev/null; \
                 echo synced $n $($b md5sum < /f$n); done\n";
    ext4(&disk, &[("busybox", &busybox), ("work", work)]);
    let disk = format!("path={}", disk.display());
    let root = "mkdir /root; mount -t ext4 /dev/vda /root;";
    let script = format!("{root} exec switch_root /root /busybox sh /work");
    let guest = Guest::start(&["--disk", &disk], &script);
    let console = guest.wait_for("synced 25 ", PATIENCE);
    assert!(console.contains("/dev/vda / ext4 rw"), "{console}");
    // SIGKILL: nothing of the VMM's runs after it.
    let console = guest.kill();
    let synced = said(&console, "synced ");
    assert!(synced.len() >= 25, "{console}");

    let names: Vec<_> = synced.iter().filter_map(|line| line.split_once(' ')).collect();
    let check = format!(
        "{root} for n in $(seq 1 {}); do echo found $n $(md5sum < /root/f$n); done; poweroff -f",
        names.len()
    );
    let console = Guest::start(&["--disk", &disk], &check).end(PATIENCE);
    let found = said(&console, "found ");
    for line in &synced[..names.len() - 1] {
        assert!(found.contains(line), "{line} was synced and is lost: {console}");
    }
}

#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn a_read_only_disk_is_read_and_a_disk_in_use_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let image = place.path().join("data.img");
    ext4(&image, &[("word", b"sesame\n")]);
    let before = fs::read(&image).unwrap();
    let script = "mkdir /m; mount -t ext4 -o ro /dev/vda /m && cat /m/word; \
                  cat /sys/block/vda/ro; cat /sys/block/vda/serial; \
                  dd if=/dev/zero of=/dev/vda count=1; sleep 2; poweroff -f";
    let disk = format!("path={},readonly=on", image.display());
    let guest = Guest::start(&["--disk", &disk], script);
    guest.wait_for("sesame", PATIENCE);
    let writable = format!("path={}", image.display());
    let second = guest.second(&["--disk", &writable]);
    assert_eq!(second.status.code(), Some(27));
    let error = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(error.contains("in use by another VM"), "{error}");
    let console = guest.end(PATIENCE);
    assert!(console.contains("\n1\r\n") && console.contains("disk0"), "{console}");
    assert_eq!(fs::read(&image).unwrap(), before);
}

/// Bytes both ways between the guest and a namespace of the host's.
#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn data_goes_over_a_tap_to_a_network_namespace() {
    let place = tempfile::tempdir().unwrap();
    let sent: Vec<u8> = (0..4u32 << 20).map(|at| (at % 251) as u8).collect();
    fs::write(place.path().join("sent"), &sent).unwrap();
    let namespace = format!(
        "cd {}; ip link set lo up; tunctl -t tap0; ip addr add 10.77.0.1/24 dev tap0; \
         ip link set tap0 up; socat -u FILE:sent TCP-LISTEN:7001 & \
         socat -u TCP-LISTEN:7002 CREATE:came & exec \"$@\"",
        place.path().display()
    );
    let wrap = ["/bin/busybox", "unshare", "-n", "/bin/busybox", "sh", "-c", &namespace, "sh"];
    let script = "ip link set eth0 up; cat /sys/class/net/eth0/address; \
                  ip addr add 10.77.0.2/24 dev eth0; sleep 1; \
                  socat -u TCP:10.77.0.1:7001 CREATE:/came; ls -l /came; \
                  socat -u FILE:/came TCP:10.77.0.1:7002; sleep 1; poweroff -f";
    let net = "tap=tap0,mac=52:54:00:77:00:02";
    let console = Guest::start_in(&wrap, &["--net", net], script).end(PATIENCE);
    assert!(console.contains("52:54:00:77:00:02"), "{console}");
    let came = fs::read(place.path().join("came")).unwrap();
    assert!(came == sent, "{} of {} bytes came: {console}", came.len(), sent.len());
}

#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn streams_reach_the_guest_and_the_host() {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("v");
    let listener = UnixListener::bind(place.path().join("v_1234")).unwrap();
    let script = "socat VSOCK-LISTEN:7,fork EXEC:cat & sleep 1; \
                  echo from the guest | socat - VSOCK-CONNECT:2:1234; \
                  echo listening; sleep 20; poweroff -f";
    let vsock = format!("cid=33,socket={}", socket.display());
    let guest = Guest::start(&["--vsock", &vsock], script);
    let mut line = String::new();
    let (stream, _) = listener.accept().unwrap();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(line, "from the guest\n");
    guest.wait_for("listening", PATIENCE);

    let mut client = UnixStream::connect(&socket).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"CONNECT 7\n").unwrap();
    let mut client = BufReader::new(client);
    let mut greeting = String::new();
    client.read_line(&mut greeting).unwrap();
    assert!(greeting.starts_with("OK "), "{greeting:?}");
    let sent: Vec<u8> = (0..300_000u32).map(|at| (at % 241) as u8).collect();
    let mut writer = client.get_ref().try_clone().unwrap();
    let writes = sent.clone();
    let writer = std::thread::spawn(move || writer.write_all(&writes).unwrap());
    let mut echoed = vec![0; sent.len()];
    client.read_exact(&mut echoed).unwrap();
    writer.join().unwrap();
    assert!(echoed == sent);
    guest.kill();
}

#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn randomness_comes_from_the_device_and_the_console_has_a_socket() {
    let script = "cat /sys/class/misc/hw_random/rng_current; \
                  for n in 1 2; do echo bytes $(head -c 64 /dev/hwrng | md5sum); done; \
                  echo ready; read word < /dev/hvc0; echo heard $word > /dev/hvc0; \
                  sleep 2; poweroff -f";
    let guest = Guest::start(&[], script);
    let console = guest.wait_for("ready", PATIENCE);
    assert!(console.contains("virtio_rng"), "{console}");
    let bytes = said(&console, "bytes ");
    assert!(bytes.len() == 2 && bytes[0] != bytes[1], "{console}");

    let mut client = UnixStream::connect(guest.runtime("hvc0")).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"sesame\n").unwrap();
    let mut heard = String::new();
    let mut lines = BufReader::new(client);
    while !heard.contains("heard sesame") {
        heard.clear();
        assert_ne!(lines.read_line(&mut heard).unwrap(), 0, "the console is gone");
    }
    guest.end(PATIENCE);
}

#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn a_terminal_is_the_guests_console_both_ways_and_is_given_back() {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let terminal = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
    let modes = || tcgetattr(&terminal).unwrap().local_modes;
    let (before, mut master) = (modes(), fs::File::from(master));

    let script = "echo say a word; read word; echo heard $word; sleep 1000";
    let mut guest = Guest::start_on(&terminal, script);
    let mut seen = String::new();
    let mut wait_for = |word: &str, master: &mut fs::File| {
        let mut bytes = [0; 256];
        while !seen.contains(word) {
            let count = master.read(&mut bytes).unwrap();
            seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    };
    wait_for("say a word", &mut master);
    assert!(!modes().contains(LocalModes::ICANON), "letter by letter");
    master.write_all(b"sesame\n").unwrap();
    wait_for("heard sesame", &mut master);
    // Ctrl-C is the launcher's.
    master.write_all(b"\x03").unwrap();
    assert_eq!(guest.wait(PATIENCE).code(), Some(130));
    assert_eq!(modes(), before);
}
