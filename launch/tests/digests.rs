//! Launch digests of OVMF, with and without kernels, are those of sev-snp-measure 0.0.13.
//!
//! `golden/digests.tsv` has what that program says of firmware that this test makes, so that the test needs
//! nothing. Where the program has been fetched, it is asked itself, and about Debian's firmware too.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use ravelin_launch::ovmf::kernel_hashes::KernelHashes;
use ravelin_launch::ovmf::{Error, Firmware, Launch};
use ravelin_launch::vcpu::Vmm;
use std::fs;
use std::path::{Path, PathBuf};
use support::Plan;

const GOLDEN: &str = include_str!("golden/digests.tsv");

/// A line of the table.
struct Row {
    /// `plain`, `hashes`, or a file of Debian's.
    firmware: String,
    kernel: Option<&'static [u8]>,
    initrd: Option<&'static [u8]>,
    append: Option<String>,
    vcpus: u32,
    processor: String,
    features: u64,
    vmm: Vmm,
    digest: String,
}

fn file(name: &str) -> Option<&'static [u8]> {
    match name {
        "-" => None,
        "a" => Some(b"a kernel, as far as a hash is concerned"),
        "b" => Some(b"another one"),
        "empty" => Some(b""),
        _ => panic!("{name}"),
    }
}

fn rows() -> Vec<Row> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    let rows = lines.map(|line| {
        let cells: Vec<&str> = line.split('\t').collect();
        let [firmware, kernel, initrd, append, vcpus, processor, features, vmm, digest] = cells[..]
        else {
            panic!("{line}")
        };
        Row {
            firmware: firmware.into(),
            kernel: file(kernel),
            initrd: file(initrd),
            append: (append != "-").then(|| append.into()),
            vcpus: vcpus.parse().unwrap(),
            processor: processor.into(),
            features: u64::from_str_radix(features.strip_prefix("0x").unwrap(), 16).unwrap(),
            vmm: vmm.parse().unwrap(),
            digest: digest.into(),
        }
    });
    rows.collect()
}

fn firmware(name: &str) -> Vec<u8> {
    match name {
        "plain" => Plan::new(false).file(),
        "hashes" => Plan::new(true).file(),
        debian => fs::read(samples().join(debian)).unwrap(),
    }
}

fn samples() -> PathBuf {
    Path::new(env!("RAVELIN_LAUNCH_SAMPLES")).into()
}

fn measure(row: &Row) -> String {
    let words = row.append.as_deref().unwrap_or_default();
    let initrd = row.initrd.unwrap_or_default();
    let launch = Launch {
        vcpus: row.vcpus,
        signature: row.processor.parse().unwrap(),
        sev_features: row.features,
        vmm: row.vmm,
        kernel: row.kernel.map(|kernel| KernelHashes::new(kernel, initrd, words)),
    };
    let bytes = firmware(&row.firmware);
    let image = Firmware::parse(&bytes).unwrap().image(&launch).unwrap();
    hex::encode(image.digest())
}

/// What sev-snp-measure says.
#[cfg(samples)]
fn ask(row: &Row) -> String {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let mut python = std::process::Command::new("python3");
    python.env("PYTHONPATH", samples()).env("PYTHONDONTWRITEBYTECODE", "1");
    python.args(["-c", "import sys; from sevsnpmeasure.cli import main; sys.exit(main())"]);
    python.args(["--mode", "snp", "--vcpus", &row.vcpus.to_string()]);
    python.args(["--vcpu-type", &row.processor, "--guest-features", &row.features.to_string()]);
    let vmm = if row.vmm == Vmm::Qemu { "QEMU".into() } else { row.vmm.to_string() };
    python.args(["--vmm-type", &vmm]);
    python.arg("--ovmf").arg(write("ovmf", &firmware(&row.firmware)));
    if let Some(kernel) = row.kernel {
        python.arg("--kernel").arg(write("kernel", kernel));
    }
    if let Some(initrd) = row.initrd {
        python.arg("--initrd").arg(write("initrd", initrd));
    }
    if let Some(words) = &row.append {
        python.args(["--append", words]);
    }
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

#[test]
fn digests_are_those_that_sev_snp_measure_gave() {
    for row in rows() {
        let Row { firmware, vcpus, processor, vmm, .. } = &row;
        assert_eq!(measure(&row), row.digest, "{firmware} {vcpus} {processor} {vmm}");
    }
}

#[cfg_attr(not(samples), ignore = "sev-snp-measure is not fetched: run launch/samples/fetch")]
#[test]
fn digests_are_those_that_sev_snp_measure_gives_now() {
    #[cfg(samples)]
    {
        let mut all = rows();
        for (firmware, kernel, vcpus, processor, features) in [
            ("OVMF.fd", "-", 1, "EPYC-Milan", 1),
            ("OVMF.fd", "-", 4, "EPYC-Genoa", 0x21),
            ("OVMF.amdsev.fd", "-", 2, "EPYC-v4", 1),
            ("OVMF.amdsev.fd", "a", 8, "EPYC-Turin", 1),
        ] {
            let kernel = file(kernel);
            all.push(Row {
                firmware: firmware.into(),
                kernel,
                initrd: kernel,
                append: kernel.map(|_| "console=ttyS0 quiet".into()),
                vcpus,
                processor: processor.into(),
                features,
                vmm: Vmm::Qemu,
                digest: String::new(),
            });
        }
        for row in all {
            assert_eq!(measure(&row), ask(&row), "{} {}", row.firmware, row.processor);
        }
    }
}

#[test]
fn each_part_of_a_launch_is_in_its_digest() {
    let row = || Row {
        firmware: "hashes".into(),
        kernel: file("a"),
        initrd: file("b"),
        append: Some("quiet".into()),
        vcpus: 2,
        processor: "EPYC-Milan".into(),
        features: 1,
        vmm: Vmm::Qemu,
        digest: String::new(),
    };
    let mut digests = vec![
        measure(&row()),
        measure(&Row { kernel: file("b"), ..row() }),
        measure(&Row { initrd: None, ..row() }),
        measure(&Row { append: Some("quiet ".into()), ..row() }),
        measure(&Row { vcpus: 3, ..row() }),
        measure(&Row { processor: "EPYC-Genoa".into(), ..row() }),
        measure(&Row { features: 0x21, ..row() }),
        measure(&Row { vmm: Vmm::Ec2, ..row() }),
        measure(&Row { vmm: Vmm::Gce, ..row() }),
    ];
    let count = digests.len();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), count);
}

#[test]
fn a_file_that_is_no_such_firmware_is_refused() {
    let launch = |kernel| Launch {
        vcpus: 1,
        signature: "EPYC".parse().unwrap(),
        sev_features: 1,
        vmm: Vmm::Qemu,
        kernel,
    };
    let kernel = Some(KernelHashes::new(b"kernel", b"", ""));
    let image = |plan: &Plan, kernel| {
        Firmware::parse(&plan.file()).and_then(|firmware| firmware.image(&launch(kernel)))
    };
    assert_eq!(Firmware::parse(&[]), Err(Error::Length(0)));
    assert_eq!(Firmware::parse(&[0; 4097]), Err(Error::Length(4097)));
    assert_eq!(Firmware::parse(&[0; 8192]), Err(Error::NoTable));
    assert_eq!(image(&Plan::new(false), kernel.clone()), Err(Error::NoKernelHashes));
    let mut plan = Plan::new(true);
    plan.reset = None;
    assert_eq!(image(&plan, None), Err(Error::NoResetBlock));
    plan = Plan::new(true);
    plan.sections.push((0, 0x1000, 77));
    assert_eq!(image(&plan, None), Err(Error::SectionType(77)));
    for (address, length) in [(0x1001, 0x1000), (0x1000, 0x1001), (0xffff_f000, 0x2000)] {
        plan = Plan::new(true);
        plan.sections.push((address, length, support::section::MEMORY));
        assert!(matches!(image(&plan, None), Err(Error::Table(_))), "{address:#x}");
    }
    plan = Plan::new(true);
    plan.hashes = Some(0x81_0ff0);
    assert!(matches!(image(&plan, kernel), Err(Error::Table(_))), "hashes over the page's end");
}

/// The tables are outside bytes: whatever one byte of them is, there is an image or an error.
#[test]
fn no_byte_of_the_tables_makes_reading_them_panic() {
    let file = Plan::new(true).file();
    let (metadata, table) = (file.len() - 0x800, file.len() - 32 - 90);
    let launch = Launch {
        vcpus: 1,
        signature: "EPYC".parse().unwrap(),
        sev_features: 1,
        vmm: Vmm::Qemu,
        kernel: Some(KernelHashes::new(b"kernel", b"", "")),
    };
    for at in (metadata..metadata + 90).chain(table..file.len()) {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = file.clone();
            changed[at] = value;
            let _ = Firmware::parse(&changed).and_then(|firmware| firmware.image(&launch));
        }
    }
}
