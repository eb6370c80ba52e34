//! Which module files a machine has to load, in which order.
//!
//! Distributions' packages come without the index that `depmod` makes, so dependencies are read
//! from the modules themselves: section `.modinfo`, key `depends`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection};

/// Why a module cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The tree cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a module.
    #[error("{0} is not a kernel module: fetch the kernel again with --refresh")]
    NotAModule(PathBuf),
}

/// The modules of one kernel, by name, with `_` for `-` as the kernel has it.
pub(crate) struct Modules {
    files: BTreeMap<String, PathBuf>,
}

impl Modules {
    /// Finds all modules below a directory.
    pub(crate) fn below(directory: &Path) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        let mut pending = vec![directory.to_owned()];
        while let Some(directory) = pending.pop() {
            let read = |source| Error::Read { path: directory.clone(), source };
            for entry in fs::read_dir(&directory).map_err(read)? {
                let path = entry.map_err(read)?.path();
                if path.is_dir() {
                    pending.push(path);
                } else if path.extension().is_some_and(|extension| extension == "ko")
                    && let Some(stem) = path.file_stem()
                {
                    files.insert(canonical(&stem.to_string_lossy()), path);
                }
            }
        }
        Ok(Self { files })
    }

    /// The files to load for these modules, each behind those that it depends on. A name that no
    /// file has is passed over: the code is built into this kernel, or part of another module.
    pub(crate) fn load_order(&self, wanted: &[&str]) -> Result<Vec<PathBuf>, Error> {
        load_order(wanted, |name| {
            let Some(path) = self.files.get(name) else { return Ok(None) };
            let bytes =
                fs::read(path).map_err(|source| Error::Read { path: path.clone(), source })?;
            let depends = depends(&bytes).ok_or_else(|| Error::NotAModule(path.clone()))?;
            Ok(Some((path.clone(), depends)))
        })
    }
}

/// A module's file and the names that it depends on.
type Found = Option<(PathBuf, Vec<String>)>;

fn load_order(
    wanted: &[&str],
    mut find: impl FnMut(&str) -> Result<Found, Error>,
) -> Result<Vec<PathBuf>, Error> {
    enum Step {
        Visit(String),
        Emit(PathBuf),
    }
    let mut order = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    let mut steps: Vec<Step> = wanted.iter().rev().map(|n| Step::Visit(canonical(n))).collect();
    while let Some(step) = steps.pop() {
        match step {
            Step::Emit(path) => order.push(path),
            Step::Visit(name) => {
                if !seen.insert(name.clone()) {
                    continue;
                }
                if let Some((path, depends)) = find(&name)? {
                    steps.push(Step::Emit(path));
                    steps.extend(depends.iter().rev().map(|n| Step::Visit(canonical(n))));
                }
            }
        }
    }
    Ok(order)
}

fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// What a module says it depends on, or none if this is no module.
fn depends(module: &[u8]) -> Option<Vec<String>> {
    let file = object::File::parse(module).ok()?;
    let modinfo = file.section_by_name(".modinfo")?.data().ok()?;
    Some(depends_of_modinfo(modinfo))
}

fn depends_of_modinfo(modinfo: &[u8]) -> Vec<String> {
    modinfo
        .split(|byte| *byte == 0)
        .filter_map(|field| field.strip_prefix(b"depends="))
        .flat_map(|names| names.split(|byte| *byte == b','))
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(wanted: &[&str], tree: &[(&str, &[&str])]) -> Vec<String> {
        load_order(wanted, |name| {
            Ok(tree.iter().find(|(module, _)| *module == name).map(|(module, depends)| {
                (PathBuf::from(module), depends.iter().map(ToString::to_string).collect())
            }))
        })
        .unwrap()
        .iter()
        .map(|path| path.display().to_string())
        .collect()
    }

    #[test]
    fn a_module_comes_behind_those_it_depends_on_and_once() {
        let tree: &[(&str, &[&str])] = &[
            ("kvm_amd", &["kvm", "ccp"]),
            ("kvm", &["irqbypass"]),
            ("irqbypass", &[]),
            ("vfio_pci", &["vfio", "irqbypass"]),
            ("vfio", &[]),
        ];
        // ccp is built in: it has no file.
        assert_eq!(
            order(&["kvm-amd", "vfio-pci", "kvm"], tree),
            ["irqbypass", "kvm", "kvm_amd", "vfio", "vfio_pci"]
        );
    }

    #[test]
    fn modules_that_depend_on_each_other_do_not_loop() {
        assert_eq!(order(&["a"], &[("a", &["b"]), ("b", &["a"])]), ["b", "a"]);
    }

    #[test]
    fn modinfo_names_what_a_module_depends_on() {
        let modinfo = b"license=GPL\0depends=kvm,ccp,\0retpoline=Y\0name=kvm_amd\0";
        assert_eq!(depends_of_modinfo(modinfo), ["kvm", "ccp"]);
        assert_eq!(depends_of_modinfo(b"depends=\0name=irqbypass\0"), [""; 0]);
    }

    #[test]
    fn a_file_that_is_no_module_is_refused() {
        assert_eq!(depends(b"#!/bin/sh"), None);
    }
}
