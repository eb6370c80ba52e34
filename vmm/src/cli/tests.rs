use super::*;
use clap::CommandFactory;
use std::collections::HashSet;

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn no_subcommand_means_run() {
    let parse = |words: &[&str]| Cli::try_parse_from([&["ravelin"], words].concat());
    let cli = parse(&["--json", "--gpu", "apm", "--gpu", "apm,memory=8GiB"]).unwrap();
    assert!(cli.command.is_none() && cli.run.json);
    assert_eq!(cli.run.gpu, ["apm", "apm,memory=8GiB"]);
    let cli = parse(&["run", "--repeat", "forever"]).unwrap();
    let Some(Command::Run(run)) = cli.command else { panic!("{cli:?}") };
    assert_eq!(run.repeat.as_deref(), Some("forever"));
    assert!(parse(&["--json", "run"]).is_err());
}

#[test]
fn another_programs_arguments_are_not_touched() {
    for word in ["verify", "maker", "spdm"] {
        let words = ["--help", "--json", "x", "--", "-V"];
        let cli = Cli::try_parse_from([&["ravelin", word], &words[..]].concat()).unwrap();
        let tool = match cli.command {
            Some(Command::Verify(tool) | Command::Maker(tool) | Command::Spdm(tool)) => tool,
            other => panic!("{other:?}"),
        };
        assert_eq!(tool.arguments, words);
    }
}

#[test]
fn exit_codes_have_numbers_in_order_and_names_of_their_own() {
    let numbers: Vec<_> = ExitCode::ALL.iter().map(|code| *code as u8).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let names: HashSet<_> = ExitCode::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(names.len(), numbers.len());
    assert_eq!((ExitCode::NoSuchVm as u8, ExitCode::NoSuchVm.name()), (30, "no-such-vm"));
}

#[test]
fn each_program_lists_its_own_exit_codes() {
    let launcher = Cli::command().render_help().to_string();
    for code in ExitCode::ALL {
        assert!(launcher.contains(&format!("{:3}  {}", *code as u8, code.name())), "{code:?}");
    }
    let operator = exit::table(exit::OPERATOR);
    assert!(operator.contains("no-such-vm") && !operator.contains("kvm-absent"), "{operator}");
}
