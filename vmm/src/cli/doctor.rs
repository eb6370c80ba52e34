//! `ravelin doctor`: whether this host can run each platform and assign devices, and what to mend.

use super::exit::ExitCode;
use super::output;
use crate::doctor::{Check, Description, Examination, State, Subject, ThisHost, describe, examine};
use clap::Args;
use serde::Serialize;

/// Options of `ravelin doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// What it has to be able to do: exit code 0 says that it can do all of these [default: all are
    /// shown, and the code is for `emulated`, what `ravelin` runs by default]
    #[arg(value_name = "none|emulated|snp|vfio")]
    subjects: Vec<Subject>,
    /// Print one JSON object (schema "ravelin.doctor/1") on standard output
    #[arg(long)]
    json: bool,
}

/// The object of `--json`.
#[derive(Serialize)]
struct DoctorReport {
    schema: &'static str,
    host: Description,
    /// What was asked for, or all, in order.
    subjects: Vec<Examination>,
    result: &'static str,
}

/// Runs the command.
pub(super) fn run(arguments: &DoctorArgs) -> ExitCode {
    let (shown, decide): (&[Subject], &[Subject]) = match arguments.subjects.as_slice() {
        [] => (&Subject::ALL, &[Subject::Emulated]),
        asked => (asked, asked),
    };
    let subjects: Vec<_> = shown.iter().map(|subject| examine(&ThisHost, *subject)).collect();
    let able = subjects
        .iter()
        .filter(|examination| decide.contains(&examination.subject))
        .all(|examination| examination.able);
    let exit = if able { ExitCode::Ok } else { ExitCode::HostUnable };
    let host = describe(&ThisHost);
    match arguments.json {
        true => output::json(&DoctorReport {
            schema: "ravelin.doctor/1",
            host,
            subjects,
            result: exit.name(),
        }),
        false => show(&host, &subjects),
    }
    exit
}

fn show(host: &Description, subjects: &[Examination]) {
    let machine = if host.virtual_machine { ", itself a virtual machine" } else { "" };
    output::line(format_args!(
        "{:<10}  Linux {}, {}{machine}, KVM by {}",
        "host", host.kernel, host.processor, host.kvm
    ));
    for examination in subjects {
        let (word, good) = match (examination.subject, examination.able) {
            (Subject::Vfio, true) => ("devices can be assigned", true),
            (Subject::Vfio, false) => ("devices cannot be assigned", false),
            (_, able) => (if able { "can run" } else { "cannot run" }, able),
        };
        output::line(format_args!("{:<10}  {}", examination.subject, output::judged(word, good)));
        examination.checks.iter().for_each(show_check);
    }
}

fn show_check(check: &Check) {
    let Check { id, state, found, fix } = check;
    let word = match state {
        State::Ok => "ok",
        State::Missing => "MISSING",
        State::Limited => "limited",
        State::Unknown => "unknown",
    };
    output::line(format_args!("  {word:<8}  {id}: {found}"));
    if let Some(fix) = fix {
        output::line(format_args!("{:12}-> {fix}", ""));
    }
}
