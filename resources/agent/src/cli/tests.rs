use std::collections::HashSet;

use clap::CommandFactory;

use super::*;

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn exit_codes_have_numbers_in_order_and_names_of_their_own_and_help_lists_them() {
    let numbers: Vec<u8> = ExitCode::ALL.iter().map(|(code, ..)| *code as u8).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let names: HashSet<_> = ExitCode::ALL.iter().map(|(_, name, _)| name).collect();
    assert_eq!(names.len(), numbers.len());
    let help = Cli::command().render_help().to_string();
    for (code, name, _) in ExitCode::ALL {
        assert!(help.contains(&format!("{:3}  {name}", code as u8)), "{help}");
    }
}

#[test]
fn sizes_have_units_and_are_not_zero() {
    assert_eq!("64MiB".parse(), Ok(Bytes(64 << 20)));
    assert_eq!("4096".parse(), Ok(Bytes(4096)));
    for text in ["", "0", "MiB", "64MB", "-1", "1.5KiB", "99999999999GiB"] {
        assert!(text.parse::<Bytes>().is_err(), "{text}");
    }
}

#[test]
fn rounds_are_a_number_or_forever() {
    assert_eq!("forever".parse(), Ok(Rounds(Repeat::Forever)));
    assert_eq!("3".parse(), Ok(Rounds(Repeat::Times(3))));
    for text in ["0", "-1", "often"] {
        assert!(text.parse::<Rounds>().is_err(), "{text}");
    }
}

#[test]
fn words_that_are_not_understood_are_a_usage_error() {
    let words = |words: &[&str]| words.iter().map(Into::into).collect::<Vec<OsString>>();
    for bad in [&["ravelin-agent"][..], &["ravelin-agent", "dance"], &["x", "run", "chess"]] {
        assert_eq!(main(words(bad)), ExitCode::Usage, "{bad:?}");
    }
}

#[test]
fn a_machine_without_pci_or_gpus_has_its_own_codes() {
    let root = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let sysfs = ["--sysfs", root.path().to_str().unwrap()];
        let words = [&["ravelin-agent"], words, &sysfs].concat();
        main(words.iter().map(Into::into).collect::<Vec<OsString>>())
    };
    assert_eq!(run(&["attest"]), ExitCode::NoGpu);
    assert_eq!(run(&["info"]), ExitCode::NoGpu);
    std::fs::create_dir_all(root.path().join("bus/pci/devices")).unwrap();
    assert_eq!(run(&["run", "digits", "--json"]), ExitCode::NoGpu);
    assert_eq!(run(&["info", "--json"]), ExitCode::Ok);
    assert_eq!(run(&["bench", "--report", "/nowhere/port"]), ExitCode::Report);
}
