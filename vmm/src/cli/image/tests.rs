use super::*;
use std::fs;
use std::io::Read;

/// The smallest program that needs no loader: an ELF header for x86-64.
fn static_program() -> Vec<u8> {
    let mut file = vec![0; 64];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    (file[16], file[18], file[20], file[52], file[54]) = (2, 62, 1, 64, 56);
    file
}

/// A directory with an agent and a file of a user's.
fn place() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("agent"), static_program()).unwrap();
    fs::write(directory.path().join("images.npy"), "images").unwrap();
    directory
}

fn arguments(directory: &Path, compression: Compression) -> InitramfsArgs {
    let images = Placed { host: directory.join("images.npy"), guest: "/data/images.npy".into() };
    InitramfsArgs {
        json: false,
        output: directory.join("initramfs"),
        agent: Some(directory.join("agent")),
        file: vec![images],
        init: None,
        compression,
    }
}

fn pack(directory: &Path, compression: Compression) -> Vec<u8> {
    let bytes = initramfs(&arguments(directory, compression)).unwrap();
    let archive = fs::read(directory.join("initramfs")).unwrap();
    assert_eq!(archive.len() as u64, bytes);
    archive
}

#[test]
fn the_same_files_give_the_same_bytes_in_another_directory() {
    for compression in [Compression::None, Compression::Gzip] {
        let [first, second] = [place(), place()];
        assert_eq!(pack(first.path(), compression), pack(second.path(), compression));
    }
}

#[test]
fn a_compressed_archive_is_the_plain_one() {
    let directory = place();
    let plain = pack(directory.path(), Compression::None);
    let packed = pack(directory.path(), Compression::Gzip);
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain);
    assert!(packed.len() < plain.len());
}

#[test]
fn the_agent_is_the_init_unless_the_user_has_one() {
    let directory = place();
    let agent = directory.path().join("agent");
    let contains = |tree: &Tree, words: &[u8]| {
        let mut archive = Vec::new();
        tree.write(&mut archive).unwrap();
        archive.windows(words.len()).any(|window| window == words)
    };
    let tree = fill(&agent, None, &[]).unwrap();
    assert!(contains(&tree, b"init\0") && contains(&tree, AGENT.as_bytes()));
    let init = directory.path().join("images.npy");
    let tree = fill(&agent, Some(&init), &[]).unwrap();
    assert!(contains(&tree, b"images") && !contains(&tree, AGENT.as_bytes()));
}

#[test]
fn an_agent_that_could_not_start_is_refused_and_the_old_archive_stays() {
    let directory = place();
    let archive = pack(directory.path(), Compression::None);
    let arguments = arguments(directory.path(), Compression::None);
    let this = fs::read(std::env::current_exe().unwrap()).unwrap();
    for program in [&this[..], b"#!/bin/sh\n"] {
        fs::write(directory.path().join("agent"), program).unwrap();
        let refused = initramfs(&arguments).unwrap_err();
        assert!(matches!(refused, Error::NotStatic(_)), "{refused}");
    }
    assert_eq!(fs::read(&arguments.output).unwrap(), archive);
    fs::remove_file(directory.path().join("agent")).unwrap();
    assert!(matches!(initramfs(&arguments), Err(Error::Program(..))));
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let directory = place();
    let mut arguments = arguments(directory.path(), Compression::None);
    arguments.output = directory.path().join("nowhere/initramfs");
    assert!(matches!(initramfs(&arguments), Err(Error::Output(..))));
    // A file that goes away between the look at it and the packing.
    arguments.output = directory.path().join("initramfs");
    let tree = fill(&directory.path().join("agent"), None, &arguments.file).unwrap();
    fs::remove_file(directory.path().join("images.npy")).unwrap();
    assert!(write(&tree, &arguments.output, Compression::None).is_err());
    let left: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn files_are_placed_by_host_and_guest() {
    let placed = |text: &str| text.parse::<Placed>();
    let expected = Placed { host: "a:b.npy".into(), guest: "/data/b".into() };
    assert_eq!(placed("a:b.npy:/data/b"), Ok(expected));
    for text in ["a.npy", ":/a", "a.npy:data", "a.npy:"] {
        assert!(placed(text).is_err(), "{text}");
    }
}

/// A file of OVMF's form would be too much here: what is measured is `ravelin-launch`'s to test.
#[test]
fn an_image_is_built_the_same_from_anywhere_and_measured_from_its_file() {
    use clap::Parser;

    #[derive(Parser)]
    struct Words {
        #[command(subcommand)]
        image: Image,
    }
    let parse = |words: &[&str]| Words::try_parse_from([&["image"], words].concat());
    let [first, second] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut digests = Vec::new();
    let mut files = Vec::new();
    for directory in [&first, &second] {
        let output = directory.path().join("guest.igvm");
        let path = output.to_str().unwrap();
        let words = ["build", "--workload", "idle", "--platform", "emulated", "--output", path];
        let Image::Build(arguments) = parse(&words).ok().unwrap().image else { panic!() };
        build(&arguments).unwrap();
        files.push(fs::read(&output).unwrap());
        let words = ["measure", "--igvm", path, "--json"];
        let Image::Measure(arguments) = parse(&words).ok().unwrap().image else { panic!() };
        digests.push(measure::digest(&measure::image(&arguments).unwrap()));
    }
    let words = ["measure", "--workload", "idle", "--platform", "emulated"];
    let Image::Measure(arguments) = parse(&words).ok().unwrap().image else { panic!() };
    digests.push(measure::digest(&measure::image(&arguments).unwrap()));
    assert_eq!(files[0], files[1]);
    assert!(digests.iter().all(|digest| *digest == digests[0] && digest.len() == 96));

    for senseless in [
        &["measure", "--igvm", "a", "--kernel", "b"][..],
        &["measure", "--initrd", "a"],
        &["measure", "--workload", "idle", "--vcpu-type", "Xeon"],
        &["build", "--kernel", "a"],
    ] {
        assert!(parse(senseless).is_err(), "{senseless:?}");
    }
    let Image::Measure(nothing) = parse(&["measure"]).ok().unwrap().image else { panic!() };
    assert!(matches!(measure::image(&nothing), Err(source::Error::Nothing)));
}
