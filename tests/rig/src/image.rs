//! Puts together what a machine gets: this program as `/init`, busybox, modules, what the suite
//! runs, and the plan. Whatever comes from the host has its host's path in the machine too, so
//! that paths which a build has compiled in hold there.

use std::path::{Path, PathBuf};
use std::{env, io};

use ravelin_initramfs::Tree;

use crate::artifacts::{self, TestProgram};
use crate::kernel::{self, Unpacked};
use crate::modules::{self, Modules};
use crate::protocol::{Job, PLAN_PATH, Plan};
use crate::suites::{LIMIT, Suite, Work};
use crate::{host_programs, libraries, workspace};

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Artifacts(#[from] artifacts::Error),
    #[error(transparent)]
    Initramfs(#[from] ravelin_initramfs::Error),
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    #[error(transparent)]
    Libraries(#[from] libraries::Error),
    #[error(transparent)]
    Modules(#[from] modules::Error),
    /// A program that the rig does not have.
    #[error("the rig has no program {0}: mend the suite's row")]
    NoHelper(&'static str),
    /// The rig cannot pack itself.
    #[error("the rig cannot find its own executable")]
    Itself(#[source] io::Error),
    /// Nothing fits the words on the command line.
    #[error("no job of suite {suite} has {pattern:?} in its name (its jobs: {jobs})")]
    NoSuchJob {
        /// Which suite.
        suite: &'static str,
        /// What was asked for.
        pattern: String,
        /// What there is.
        jobs: String,
    },
}

/// What to leave out of a suite, or to add to it, for one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    /// Only jobs with this in their name.
    pub(crate) job: Option<String>,
    /// Arguments for every test program.
    pub(crate) test_arguments: Vec<String>,
    /// A command instead of the suite's work.
    pub(crate) command: Vec<String>,
}

/// How a job's output is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The test harness counts.
    Harness,
    /// Exit code 0 is a pass.
    ExitCode,
    /// The same, and standard output is shown.
    Measurement,
}

/// An initramfs, and what is to happen in it.
pub(crate) struct Image {
    pub(crate) tree: Tree,
    pub(crate) jobs: Vec<Job>,
    /// How to read each job's output.
    pub(crate) readings: Vec<Reading>,
}

/// Builds what the suite needs and packs it.
pub(crate) fn build(suite: &Suite, kernel: &Unpacked, choice: &Choice) -> Result<Image, Error> {
    let mut packing = Packing { tree: Tree::default(), jobs: Vec::new() };
    for (name, path) in artifacts::binaries("ravelin")? {
        packing.program(&path)?;
        packing.tree.symlink(&format!("bin/{name}"), &path.to_string_lossy())?;
    }
    if suite.agent {
        packing.tree.host_file("bin/ravelin-agent", &artifacts::agent()?)?;
    }
    if !suite.helpers.is_empty() {
        let own = artifacts::binaries("ravelin-rig")?;
        for name in suite.helpers {
            let path = own.get(*name).ok_or(Error::NoHelper(name))?;
            packing.tree.host_file(&format!("bin/{name}"), path)?;
            packing.libraries(path)?;
        }
    }
    if !choice.command.is_empty() {
        // A command that a person has given is never given twice.
        packing.command("the command", choice.command.clone(), Reading::ExitCode, false);
    }
    for work in suite.work {
        match work {
            Work::Command { name, command } => {
                let command = command.iter().map(ToString::to_string).collect();
                packing.command(name, command, Reading::ExitCode, true);
            }
            Work::Measurement { name, command } => {
                let command = command.iter().map(ToString::to_string).collect();
                packing.command(name, command, Reading::Measurement, true);
            }
            Work::OnlyHere { package, target } => {
                for test in artifacts::test(package, target)? {
                    packing.program(&test.executable)?;
                    let mut arguments = vec!["--ignored".to_owned(), "--test-threads=1".to_owned()];
                    arguments.extend_from_slice(&choice.test_arguments);
                    packing.test(package, test, &arguments)?;
                }
            }
            Work::LibraryOnlyHere { package, word } => {
                for test in artifacts::library(package)? {
                    packing.program(&test.executable)?;
                    let mut arguments = vec![
                        "--ignored".to_owned(),
                        "--test-threads=1".to_owned(),
                        (*word).to_owned(),
                    ];
                    arguments.extend_from_slice(&choice.test_arguments);
                    packing.test(package, test, &arguments)?;
                }
            }
            Work::Tests { package, except } => {
                for test in artifacts::tests(package)? {
                    if !except.contains(&test.target.as_str()) {
                        packing.program(&test.executable)?;
                        packing.test(package, test, &choice.test_arguments)?;
                    }
                }
            }
        }
    }
    packing.choose(suite, choice)?;
    packing.userland()?;
    for name in suite.programs {
        if let Some(path) = host_programs::find(name) {
            packing.program(&path)?;
            packing.tree.symlink(&format!("bin/{name}"), &path.to_string_lossy())?;
        }
    }
    for file in suite.program_files {
        packing.tree.host_file(file, Path::new(file))?;
    }
    for file in suite.files {
        let path = workspace::root().join(file);
        if path.is_dir() {
            packing.tree.host_directory(&path.to_string_lossy(), &path)?;
        } else {
            packing.tree.host_file(&path.to_string_lossy(), &path)?;
        }
    }
    for guest in suite.guests {
        let (files, place) = (kernel::get(*guest)?, format!("rig/guests/{}", guest.name()));
        packing.tree.host_file(&format!("{place}/vmlinuz"), &files.image())?;
        packing.tree.host_file(&format!("{place}/vmlinux"), &files.elf())?;
        let modules = Modules::below(&files.modules())?.load_order(suite.guest_modules)?;
        for (number, file) in modules.iter().enumerate() {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            packing.tree.host_file(&format!("{place}/modules/{number:02}-{name}"), file)?;
        }
    }
    let modules = packing.modules(kernel, suite.modules)?;
    let (jobs, readings): (Vec<Job>, Vec<Reading>) = packing.jobs.into_iter().unzip();
    let plan = Plan { modules, jobs: jobs.clone() };
    let mut tree = packing.tree;
    tree.bytes(PLAN_PATH, serde_json::to_vec_pretty(&plan).unwrap_or_default())?;
    Ok(Image { tree, jobs, readings })
}

struct Packing {
    tree: Tree,
    jobs: Vec<(Job, Reading)>,
}

impl Packing {
    /// A program of the host at its own path, with its libraries.
    fn program(&mut self, path: &Path) -> Result<(), Error> {
        self.tree.host_file(&path.to_string_lossy(), path)?;
        self.libraries(path)
    }

    fn libraries(&mut self, path: &Path) -> Result<(), Error> {
        for library in libraries::of(path)? {
            self.tree.host_file(&library.to_string_lossy(), &library)?;
        }
        Ok(())
    }

    fn userland(&mut self) -> Result<(), Error> {
        let itself = env::current_exe().map_err(Error::Itself)?;
        self.tree.host_file("init", &itself)?;
        self.libraries(&itself)?;
        let busybox =
            host_programs::find("busybox").unwrap_or_else(|| PathBuf::from("/bin/busybox"));
        self.tree.host_file("bin/busybox", &busybox)?;
        self.libraries(&busybox)?;
        self.tree.bytes("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n".to_vec())?;
        self.tree.bytes("etc/group", b"root:x:0:\n".to_vec())?;
        for directory in ["root", "proc", "sys", "dev", "tmp", "run"] {
            self.tree.directory(directory)?;
        }
        Ok(())
    }

    /// The modules' files; their paths in the machine, in load order.
    fn modules(&mut self, kernel: &Unpacked, wanted: &[&str]) -> Result<Vec<String>, Error> {
        let files = Modules::below(&kernel.modules())?.load_order(wanted)?;
        files
            .iter()
            .map(|file| {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                let path = format!("/rig/modules/{name}");
                self.tree.host_file(&path, file)?;
                Ok(path)
            })
            .collect()
    }

    fn command(&mut self, name: &str, command: Vec<String>, reading: Reading, repeatable: bool) {
        let job = Job {
            name: name.to_owned(),
            command,
            directory: "/root".to_owned(),
            environment: Vec::new(),
            limit: LIMIT,
            repeatable,
        };
        self.jobs.push((job, reading));
    }

    fn test(
        &mut self,
        package: &str,
        test: TestProgram,
        arguments: &[String],
    ) -> Result<(), Error> {
        let directory = test.directory.to_string_lossy().into_owned();
        self.tree.directory(&directory)?;
        let mut command = vec![test.executable.to_string_lossy().into_owned()];
        command.extend_from_slice(arguments);
        let job = Job {
            name: if test.integration {
                format!("{package}::{}", test.target)
            } else {
                format!("{package} (unit tests)")
            },
            command,
            environment: vec![
                ("CARGO_MANIFEST_DIR".to_owned(), directory.clone()),
                ("RUST_BACKTRACE".to_owned(), "1".to_owned()),
            ],
            directory,
            limit: LIMIT,
            repeatable: true,
        };
        self.jobs.push((job, Reading::Harness));
        Ok(())
    }

    fn choose(&mut self, suite: &Suite, choice: &Choice) -> Result<(), Error> {
        let Some(pattern) = &choice.job else { return Ok(()) };
        let names: Vec<String> = self.jobs.iter().map(|(job, _)| job.name.clone()).collect();
        self.jobs.retain(|(job, _)| job.name.contains(pattern.as_str()));
        if self.jobs.is_empty() {
            let (suite, pattern) = (suite.name, pattern.clone());
            return Err(Error::NoSuchJob { suite, pattern, jobs: names.join("; ") });
        }
        Ok(())
    }
}
