use std::io::Read;
use std::os::unix::fs::symlink;

use super::*;

fn archive(tree: &Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    tree.write(&mut bytes).unwrap();
    bytes
}

/// Path, mode and content of every entry.
fn entries(archive: &[u8]) -> Vec<(String, u32, String)> {
    let mut rest = archive;
    let mut seen = Vec::new();
    loop {
        let mut reader = cpio::newc::Reader::new(rest).unwrap();
        if reader.entry().is_trailer() {
            return seen;
        }
        let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
        let mut content = String::new();
        reader.read_to_string(&mut content).unwrap();
        seen.push((name, mode, content));
        rest = reader.finish().unwrap();
    }
}

fn expected<const N: usize>(entries: [(&str, u32, &str); N]) -> Vec<(String, u32, String)> {
    entries.map(|(name, mode, content)| (name.to_owned(), mode, content.to_owned())).to_vec()
}

#[test]
fn the_same_tree_gives_the_same_bytes_whatever_the_order_or_the_place() {
    let fill = |steps: &[usize], modified: u64| {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        fs::write(&program, b"\x7fELF").unwrap();
        let modified = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(modified);
        fs::File::options().write(true).open(&program).unwrap().set_modified(modified).unwrap();
        let mut tree = Tree::new();
        for step in steps {
            match step {
                0 => tree.host_file("bin/program", &program).unwrap(),
                1 => tree.symlink("/sbin", "bin").unwrap(),
                _ => tree.bytes("/rig/plan.json", b"{}".to_vec()).unwrap(),
            }
        }
        archive(&tree)
    };
    assert_eq!(fill(&[0, 1, 2], 0), fill(&[2, 1, 0], 1_000_000));
}

#[test]
fn every_entry_has_its_directories_before_it_and_its_mode() {
    let mut tree = Tree::new();
    tree.bytes("a/b/file", b"content".to_vec()).unwrap();
    tree.symlink("a/link", "b/file").unwrap();
    let expected = expected([
        ("a", 0o040_755, ""),
        ("a/b", 0o040_755, ""),
        ("a/b/file", 0o100_644, "content"),
        ("a/link", 0o120_777, "b/file"),
    ]);
    assert_eq!(entries(&archive(&tree)), expected);
}

#[test]
fn a_directory_of_the_host_comes_with_all_below_it_and_links_stay_links() {
    let host = tempfile::tempdir().unwrap();
    fs::create_dir(host.path().join("below")).unwrap();
    fs::write(host.path().join("below/file"), "x").unwrap();
    // Following it would never end.
    symlink("..", host.path().join("below/up")).unwrap();
    let mut tree = Tree::new();
    tree.host_directory("/data/", host.path()).unwrap();
    let expected = expected([
        ("data", 0o040_755, ""),
        ("data/below", 0o040_755, ""),
        ("data/below/file", 0o100_644, "x"),
        ("data/below/up", 0o120_777, ".."),
    ]);
    assert_eq!(entries(&archive(&tree)), expected);
}

#[test]
fn one_path_is_one_thing() {
    let mut tree = Tree::new();
    tree.bytes("/bin/program", vec![1]).unwrap();
    tree.bytes("bin//program", vec![1]).unwrap();
    for refused in [
        tree.bytes("/bin/program", vec![2]),
        tree.bytes("/bin", vec![1]),
        tree.symlink("/bin/program/below", "x"),
        tree.directory("/bin/program"),
    ] {
        assert!(matches!(refused, Err(Error::Taken(_))));
    }
    assert_eq!(entries(&archive(&tree)).len(), 2);
}

#[test]
fn paths_that_name_nothing_in_the_archive_are_refused() {
    for path in ["", "/", "../etc/passwd", "/a/../b", "a\0b", "./"] {
        let refused = Tree::new().bytes(path, Vec::new()).unwrap_err();
        assert!(matches!(refused, Error::Path(_)), "{path:?}");
    }
    Tree::new().directory("/").unwrap();
}

#[test]
fn a_missing_file_is_named_and_a_device_is_no_file() {
    let error = Tree::new().host_file("x", Path::new("/nowhere/x")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read /nowhere/x");
    let error = Tree::new().host_file("x", Path::new("/dev/null")).unwrap_err();
    assert!(matches!(error, Error::Special(_)), "{error}");
}
