//! A folder of this process's own, for targets that cannot do without files: in memory where the
//! system has a place for that, since a disk's journal would take most of the time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Files in memory.
const MEMORY: &str = "/dev/shm";

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = Path::new(MEMORY);
    let above = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
    let folder = above.join(format!("ravelin-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
});

/// The folder.
pub fn folder() -> &'static Path {
    &FOLDER
}
