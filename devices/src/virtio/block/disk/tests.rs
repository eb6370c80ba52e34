use super::*;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use tempfile::{NamedTempFile, tempdir};

fn image(bytes: u64) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(bytes).unwrap();
    file
}

#[test]
fn a_file_that_is_no_disk_is_an_error_that_says_why() {
    let directory = tempdir().unwrap();
    let missing = directory.path().join("none");
    assert!(matches!(Disk::open(&missing, false), Err(Error::Missing(_))));
    assert!(matches!(Disk::open(directory.path(), false), Err(Error::Kind(_))));
    assert!(matches!(Disk::open(directory.path(), true), Err(Error::Kind(_))));
    assert!(matches!(Disk::open(Path::new("/dev/null"), true), Err(Error::Kind(_))));
    for bytes in [0, 1, 511, 513] {
        let error = Disk::open(image(bytes).path(), false).unwrap_err();
        assert!(matches!(error, Error::Size(_, size) if size == bytes), "{bytes}");
    }
    assert_eq!(Disk::open(image(1536).path(), false).unwrap().sectors(), 3);
}

#[test]
fn a_disk_in_use_is_refused_until_it_is_free() {
    let file = image(4096);
    let first = Disk::open(file.path(), false).unwrap();
    for read_only in [false, true] {
        let refused = Disk::open(file.path(), read_only).unwrap_err();
        assert!(matches!(refused, Error::InUse(_)));
    }
    drop(first);
    let readers = [Disk::open(file.path(), true).unwrap(), Disk::open(file.path(), true).unwrap()];
    assert!(matches!(Disk::open(file.path(), false), Err(Error::InUse(_))));
    drop(readers);
    Disk::open(file.path(), false).unwrap();
}

#[test]
fn a_disk_that_may_not_be_written_opens_for_reading() {
    let file = image(4096);
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o400)).unwrap();
    match Disk::open(file.path(), false) {
        Err(Error::Permission(_)) => {}
        // Root may.
        Ok(_) => assert!(rustix::process::geteuid().is_root()),
        Err(other) => panic!("{other:?}"),
    }
    assert!(Disk::open(file.path(), true).unwrap().read_only());
}

#[test]
fn only_whole_sectors_of_the_disk_have_a_place() {
    let disk = Disk::open(image(4096).path(), false).unwrap();
    for (sector, bytes, place) in [
        (0, 4096, Some(0)),
        (7, 512, Some(3584)),
        (8, 0, Some(4096)),
        (8, 512, None),
        (0, 4608, None),
        (0, 511, None),
        (u64::MAX, 512, None),
        (u64::MAX / 512, 512, None),
        (1, u64::MAX - 511, None),
    ] {
        assert_eq!(disk.locate(sector, bytes), place, "{sector} {bytes}");
    }
}

#[test]
fn zeros_are_zeros_with_and_without_the_files_help() {
    let mut file = image(0);
    file.write_all(&[7; 200 << 10]).unwrap();
    let disk = Disk::open(file.path(), false).unwrap();
    disk.discard(512, 1024).unwrap();
    disk.write_zeroes(4096, 150 << 10).unwrap();
    let mut bytes = vec![0; 200 << 10];
    disk.read(&mut bytes, 0).unwrap();
    let zeros = |at: usize| (512..1536).contains(&at) || (4096..4096 + (150 << 10)).contains(&at);
    assert!(bytes.iter().enumerate().all(|(at, byte)| (*byte == 0) == zeros(at)));
}

impl Disk {
    /// As if the kernel had reported that it could not write.
    pub(in crate::virtio::block) fn fail_flushes(&mut self) {
        self.lost = true;
    }
}
