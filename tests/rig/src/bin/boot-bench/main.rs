//! How long a stock kernel takes to its first line of user space, and what a VMM holds beyond guest
//! memory: Ravelin beside QEMU's microvm, on the same KVM, with the same kernel, initramfs, command
//! line, memory and one vCPU each.
//!
//! [`vmm`] knows the command lines, [`boot`] runs one and looks at it, [`smaps`] counts its memory,
//! [`report`] has what came of it. The VMMs take turns, so that what slows the machine down slows all.

#![allow(unused_crate_dependencies, reason = "they are the rig's")]

mod boot;
mod report;
mod smaps;
mod vmm;

use boot::{Boot, Sample};
use clap::Parser;
use ravelin_initramfs::Tree;
use report::{Contender, Report};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use vmm::Vmm;

/// What user space says first.
const FIRST_LINE: &str = "boot-bench: user space";
/// A static shell for it.
const BUSYBOX: &str = "/bin/busybox";

/// Boots a kernel in turns under Ravelin and under QEMU's microvm, and compares time and memory.
/// Exit codes: 0 measured, 1 measured and Ravelin is behind (with --check), 2 wrong usage, 3 nothing
/// was measured.
#[derive(Parser)]
struct Cli {
    /// A bzImage or an ELF vmlinux that has PVH's entry.
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// Boots of each VMM that count, after one that does not.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Guest memory in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    memory: u64,
    /// Print one JSON object (schema "ravelin.boot-bench/1") as a line behind the table.
    #[arg(long)]
    json: bool,
    /// Fail unless Ravelin on platform none is ahead in both and holds at most 5 MiB.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match measure(&cli) {
        Ok(report) => {
            print!("{report}");
            if cli.json {
                println!("{}", report.json());
            }
            if cli.check && !report.is_ahead() { ExitCode::from(1) } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            eprintln!("boot-bench: {error}");
            ExitCode::from(3)
        }
    }
}

fn measure(cli: &Cli) -> Result<Report, boot::Error> {
    let place = tempfile::tempdir().map_err(boot::Error::Place)?;
    let initrd = place.path().join("initrd");
    pack(&initrd, &place.path().join("init"))?;
    let boot = Boot {
        kernel: &cli.kernel,
        initrd: &initrd,
        memory_mib: cli.memory,
        directory: place.path(),
        first_line: FIRST_LINE,
    };
    let mut samples: Vec<Vec<Sample>> = Vmm::ALL.iter().map(|_| Vec::new()).collect();
    for round in 0..=cli.runs {
        for (vmm, samples) in Vmm::ALL.into_iter().zip(&mut samples) {
            let sample = boot.run(vmm)?;
            eprintln!(
                "{vmm}: {:.0} ms, {} KiB",
                sample.time.as_secs_f64() * 1e3,
                sample.resident_kib
            );
            // The first of each fills caches.
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    let contenders = Vmm::ALL.into_iter().zip(&samples);
    let contenders = contenders.map(|(vmm, samples)| Contender::new(vmm, samples)).collect();
    Ok(Report::new(&cli.kernel, cli.memory, cli.runs, contenders))
}

/// An initramfs that says its line and waits, with a script written to `init` on the way.
fn pack(path: &Path, init: &Path) -> Result<(), boot::Error> {
    let script = format!("#!{BUSYBOX} sh\necho '{FIRST_LINE}'\nexec {BUSYBOX} sleep 100000\n");
    fs::write(init, script).map_err(boot::Error::Place)?;
    fs::set_permissions(init, fs::Permissions::from_mode(0o755)).map_err(boot::Error::Place)?;
    let mut tree = Tree::new();
    tree.host_file(BUSYBOX, Path::new(BUSYBOX))?;
    tree.host_file("/init", init)?;
    let mut file = File::create(path).map_err(boot::Error::Place)?;
    Ok(tree.write(&mut file)?)
}
