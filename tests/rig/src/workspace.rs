//! Where things are: the work tree, and the cache outside it.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the work tree that this rig was built from.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}

/// `$XDG_CACHE_HOME/ravelin` or `~/.cache/ravelin`, where kernels and logs are kept.
pub(crate) fn cache() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(env::temp_dir)
        .join("ravelin")
}
