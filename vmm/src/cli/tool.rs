//! `ravelin verify`, `ravelin maker`, `ravelin spdm`, `ravelin image sign`: programs of their own, found and become.
//!
//! They are not part of the launcher, so that it links no verifier and no maker. One is looked for
//! beside the launcher, then in PATH; the launcher's process becomes it, so that its arguments, its
//! streams and its exit codes are its own.

use super::Error;
use super::exit::ExitCode;
use super::output;
use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that a subcommand stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tool {
    /// Name of the program's file.
    program: &'static str,
    /// The package that it is built from.
    package: &'static str,
}

/// The offline verifier.
pub(super) const VERIFY: Tool = Tool { program: "ravelin-verify", package: "ravelin-verifier" };
/// The GPU maker's tool.
pub(super) const MAKER: Tool = Tool { program: "ravelin-maker", package: "ravelin-maker" };
/// The SPDM requester.
pub(super) const SPDM: Tool = Tool { program: "ravelin-spdm", package: "ravelin-spdm-tool" };

/// The owner's tool for id blocks.
pub(super) const ID_BLOCK: Tool = Tool { program: "ravelin-id-block", package: "ravelin-id-block" };

/// The agent for Linux guests, which does not run here: it goes into their images.
pub(super) const AGENT: &str = "ravelin-agent";
/// Where `cargo agent` puts it, from the directory that `cargo build --release` puts the launcher in:
/// being static, it is built for a named target.
const AGENT_DIRECTORY: &str = "../x86_64-unknown-linux-gnu/release";

/// The agent's file, if there is one.
pub(super) fn agent() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok();
    let built = beside.as_deref().and_then(Path::parent)?.join(AGENT_DIRECTORY).join(AGENT);
    let path = std::env::var_os("PATH");
    find(AGENT, beside.as_deref(), None)
        .or_else(|| is_executable(&built).then_some(built))
        .or_else(|| find(AGENT, None, path.as_ref()))
}

/// Becomes the program. Returns only where that fails.
pub(super) fn run(tool: Tool, arguments: &[OsString]) -> ExitCode {
    let Err(error) = become_it(tool, arguments);
    output::failure(&error);
    error.exit_code()
}

fn become_it(tool: Tool, arguments: &[OsString]) -> Result<Infallible, Error> {
    let beside = std::env::current_exe().ok();
    let path = std::env::var_os("PATH");
    let Some(program) = find(tool.program, beside.as_deref(), path.as_ref()) else {
        return Err(Error::ToolAbsent { program: tool.program, package: tool.package });
    };
    let error = Command::new(&program).args(arguments).exec();
    Err(Error::ToolBroken(program, error))
}

/// The first executable file of this name: in the directory of the program `beside`, then in those
/// of `path`. Relative directories of `path` are left out: where someone stands decides nothing.
fn find(program: &str, beside: Option<&Path>, path: Option<&OsString>) -> Option<PathBuf> {
    let own = beside.and_then(Path::parent).map(PathBuf::from);
    let others = path.into_iter().flat_map(std::env::split_paths);
    own.into_iter()
        .chain(others.filter(|directory| directory.is_absolute()))
        .map(|directory| directory.join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_program_beside_the_launcher_wins_and_only_executable_files_count() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str, mode: u32| {
            let file = directory.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            file
        };
        let beside = place("beside/ravelin", 0o755);
        let path = OsString::from(format!("relative:{}", directory.path().join("path").display()));
        let found = || find("tool", Some(&beside), Some(&path));
        fs::create_dir_all(directory.path().join("beside/tool")).unwrap();
        assert_eq!(found(), None, "a directory is no program");
        let in_path = place("path/tool", 0o644);
        assert_eq!(found(), None, "nobody may execute it");
        fs::set_permissions(&in_path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(found(), Some(in_path));
        fs::remove_dir(directory.path().join("beside/tool")).unwrap();
        let own = place("beside/tool", 0o755);
        assert_eq!(found(), Some(own));
        assert_eq!(find("tool", None, None), None);
    }
}
