//! Subcommands that are programs of their own: found, become, and missed with a hint.
//!
//! A program that a test has just written may still be open in a process that another test has
//! forked, and then cannot be executed: so the launcher is linked, and a shell plays the tool.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};

/// A directory with the launcher in it, and nothing else in reach.
struct Place {
    _directory: tempfile::TempDir,
    launcher: PathBuf,
}

impl Place {
    fn new() -> Self {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_ravelin"));
        // On the same file system, or it could not be linked.
        let directory = tempfile::tempdir_in(built.parent().unwrap()).unwrap();
        let launcher = directory.path().join("ravelin");
        std::fs::hard_link(built, &launcher).unwrap();
        Self { _directory: directory, launcher }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(&self.launcher).args(arguments).env("PATH", "").output().unwrap()
    }
}

#[test]
fn a_tool_gets_its_arguments_and_its_exit_code_is_the_launchers() {
    let place = Place::new();
    for (word, program) in
        [("verify", "ravelin-verify"), ("maker", "ravelin-maker"), ("spdm", "ravelin-spdm")]
    {
        symlink("/bin/sh", place.launcher.with_file_name(program)).unwrap();
        let output = place.run(&[word, "-c", "echo \"$@\"; exit 7", "zero", "--help", "-- x"]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "--help -- x\n");
        assert_eq!(output.status.code(), Some(7), "{word}");
    }
}

#[test]
fn a_tool_that_is_not_there_is_missed_with_a_hint() {
    let place = Place::new();
    for (word, package) in
        [("verify", "ravelin-verifier"), ("maker", "ravelin-maker"), ("spdm", "ravelin-spdm-tool")]
    {
        let output = place.run(&[word, "--help"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(50), "{error}");
        assert!(error.contains(&format!("`cargo build --release -p {package}`")), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}

#[test]
fn a_tool_that_does_not_start_is_told_from_one_that_is_not_there() {
    let place = Place::new();
    let tool = place.launcher.with_file_name("ravelin-verify");
    // A file that may be executed, and whose interpreter is nowhere.
    std::fs::write(&tool, "#!/nowhere\n").unwrap();
    std::fs::set_permissions(&tool, Permissions::from_mode(0o755)).unwrap();
    let output = place.run(&["verify"]);
    assert_eq!(output.status.code(), Some(51), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_help_lists_them() {
    let output = Place::new().run(&["--help"]);
    let help = String::from_utf8_lossy(&output.stdout);
    for line in ["ravelin-verify", "ravelin-maker", "ravelin-spdm"] {
        assert!(help.contains(line), "{help}");
    }
}
