use super::exit::{ExitCode, TABLE};
use super::*;
use clap::CommandFactory;

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
fn the_table_of_exit_codes_has_each_code_with_its_name() {
    use ExitCode::*;
    let codes = [
        Ok,
        Internal,
        Usage,
        KvmAbsent,
        KvmPermission,
        KvmUnsuitable,
        SizeUnreadable,
        SizeTooSmall,
        SizeTooLarge,
        BadGpu,
        BadName,
        NameInUse,
        RuntimeDirectory,
        BadFile,
        ImagesUnreadable,
        ImagesShape,
        ImagesValue,
        GuestImage,
        GuestFailed,
        GuestDied,
        WrongResult,
        NoSuchVm,
        VmDead,
        NoSuchGpu,
        ControlFailed,
        Listen,
        Capture,
        Evidence,
        ToolAbsent,
        ToolBroken,
        Interrupted,
        Terminated,
    ];
    let rows: Vec<_> = TABLE
        .lines()
        .skip(1)
        .map(|line| {
            let mut words = line.split_whitespace();
            (words.next().unwrap().parse::<u8>().unwrap(), words.next().unwrap())
        })
        .collect();
    assert_eq!(rows, codes.map(|code| (code as u8, code.name())));
}
