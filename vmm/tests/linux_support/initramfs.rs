//! An initramfs whose `/init` is a script for busybox.

use super::BUSYBOX;
use cpio::newc::{Builder, ModeFileType, trailer};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Libraries of the programs that a guest is given: the rig has no others.
const LIBRARIES: [&str; 2] = ["/lib/x86_64-linux-gnu", "/lib64"];

/// A program at its path, with libraries enough.
pub fn program(path: &str) -> Vec<(String, Vec<u8>)> {
    let libraries = LIBRARIES.iter().flat_map(|directory| files_in(Path::new(directory)));
    libraries.chain([PathBuf::from(path)]).map(|path| file(&path)).collect()
}

/// The files in a directory, in order.
pub fn files_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// A file of the rig's, at the same path in a guest.
pub fn file(path: &Path) -> (String, Vec<u8>) {
    let name = path.strip_prefix("/").unwrap().to_str().unwrap();
    (name.into(), fs::read(path).unwrap())
}

/// Busybox, the script, and files by path without the first slash.
pub fn of(script: &str, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let init = format!(
        "#!/bin/busybox sh\n\
         /bin/busybox mkdir -p /proc /sys /dev\n\
         /bin/busybox mount -t proc proc /proc\n\
         /bin/busybox mount -t sysfs sysfs /sys\n\
         nproc() {{ /bin/busybox nproc; }}; grep() {{ /bin/busybox grep \"$@\"; }}\n\
         cat() {{ /bin/busybox cat \"$@\"; }}; head() {{ /bin/busybox head \"$@\"; }}\n\
         {script}\n"
    );
    let mut all = vec![
        (BUSYBOX.trim_start_matches('/').to_owned(), fs::read(BUSYBOX).unwrap()),
        ("init".to_owned(), init.into_bytes()),
    ];
    all.extend_from_slice(files);
    let directories: BTreeSet<&str> = all
        .iter()
        .flat_map(|(name, _)| Path::new(name).ancestors().skip(1))
        .filter_map(Path::to_str)
        .filter(|name| !name.is_empty())
        .collect();
    let mut archive = Vec::new();
    let mut add = |name: &str, kind, bytes: &[u8]| {
        let builder = Builder::new(name).mode(0o755).set_mode_file_type(kind);
        let mut writer = builder.write(&mut archive, bytes.len() as u32);
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap();
    };
    for name in directories {
        add(name, ModeFileType::Directory, &[]);
    }
    for (name, bytes) in &all {
        add(name, ModeFileType::Regular, bytes);
    }
    trailer(&mut archive).unwrap();
    archive
}
