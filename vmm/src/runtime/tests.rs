use super::*;
use std::os::unix::net::UnixListener;

fn root() -> (tempfile::TempDir, RuntimeRoot) {
    let directory = tempfile::tempdir().unwrap();
    let root = RuntimeRoot::at(directory.path().join("ravelin"));
    (directory, root)
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_vm_leaves_nothing_behind() {
    let (_directory, root) = root();
    let vm = root.take(&name("a")).unwrap();
    let log = vm.event_log().unwrap();
    let _control = UnixListener::bind(vm.control_socket()).unwrap();
    let _serial = UnixListener::bind(vm.serial_socket()).unwrap();
    log.append(&serde_json::json!({ "event": "started" }));
    assert_eq!((mode(&root.0), mode(&root.path(&name("a")))), (0o700, 0o700));
    assert_eq!(mode(&root.path(&name("a")).join(EVENTS)), 0o600);
    drop(vm);
    assert_eq!(fs::read_dir(&root.0).unwrap().count(), 0);
}

#[test]
fn a_name_in_use_is_refused_and_free_again_afterwards() {
    let (_directory, root) = root();
    let vm = root.take(&name("a")).unwrap();
    assert!(matches!(root.take(&name("a")), Err(Error::InUse(_))));
    let other = root.take(&name("b")).unwrap();
    let pid = std::process::id();
    assert_eq!(
        root.list().unwrap(),
        [(name("a"), Liveness::Running { pid }), (name("b"), Liveness::Running { pid })]
    );
    drop((vm, other));
    drop(root.take(&name("a")).unwrap());
    assert_eq!(root.list().unwrap(), []);
}

#[test]
fn what_a_killed_vm_left_is_shown_as_dead_and_cleaned_by_the_next_start() {
    let (_directory, root) = root();
    let path = root.path(&name("a"));
    fs::create_dir_all(&path).unwrap();
    fs::set_permissions(&root.0, fs::Permissions::from_mode(0o700)).unwrap();
    // A dead process holds no lock; its sockets and files stay.
    fs::write(path.join(LOCK), "1\n").unwrap();
    drop(UnixListener::bind(path.join(CONTROL)).unwrap());
    fs::write(path.join(EVENTS), "{}").unwrap();
    assert_eq!(root.list().unwrap(), [(name("a"), Liveness::Dead)]);
    let vm = root.take(&name("a")).unwrap();
    UnixListener::bind(vm.control_socket()).unwrap();
    vm.event_log().unwrap();
    let pid = std::process::id();
    assert_eq!(root.liveness(&name("a")), Some(Liveness::Running { pid }));
}

#[test]
fn a_directory_without_a_lock_is_dead_too() {
    let (_directory, root) = root();
    fs::create_dir_all(root.path(&name("a"))).unwrap();
    assert_eq!(root.liveness(&name("a")), Some(Liveness::Dead));
    assert_eq!(root.liveness(&name("b")), None);
}

#[test]
fn a_directory_that_others_may_enter_is_refused() {
    let (directory, root) = root();
    fs::create_dir(&root.0).unwrap();
    fs::set_permissions(&root.0, fs::Permissions::from_mode(0o750)).unwrap();
    assert!(matches!(root.take(&name("a")), Err(Error::NotPrivate(_))));
    let link = directory.path().join("link");
    fs::set_permissions(&root.0, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(&root.0, &link).unwrap();
    assert!(matches!(RuntimeRoot::at(link).take(&name("a")), Err(Error::NotPrivate(_))));
}

#[test]
fn paths_too_long_for_a_socket_are_refused() {
    let (directory, _) = root();
    let root = RuntimeRoot::at(directory.path().join("x".repeat(100)));
    assert!(matches!(root.take(&name("a")), Err(Error::PathTooLong(_))));
    assert!(!root.0.exists());
}

#[test]
fn many_starts_of_one_name_at_once_yield_one_vm() {
    let (_directory, root) = root();
    for _ in 0..20 {
        let taken: Vec<_> = thread::scope(|scope| {
            let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| root.take(&name("a")))).collect();
            starts.into_iter().filter_map(|start| start.join().unwrap().ok()).collect()
        });
        assert_eq!(taken.len(), 1);
    }
    assert_eq!(root.list().unwrap(), []);
}

#[test]
fn a_guest_cannot_fill_the_disk_with_events() {
    let (_directory, root) = root();
    let vm = root.take(&name("a")).unwrap();
    let log = vm.event_log().unwrap();
    let event = serde_json::json!({ "event": "round", "text": "x".repeat(64 << 10) });
    for _ in 0..200 {
        log.append(&event);
    }
    let text = fs::read_to_string(root.path(&name("a")).join(EVENTS)).unwrap();
    assert!(text.len() as u64 <= log::CAPACITY + 100);
    assert!(text.lines().last().unwrap().contains("\"log_full\""));
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}
