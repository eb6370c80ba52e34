//! The agent for Linux guests, in process: another machine in sysfs's place, whose GPUs are the
//! model's own. What it reports is what the built-in guest reports, and the result is the same.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use std::path::Path;
use std::sync::Arc;

use ravelin_agent::account::Account;
use ravelin_agent::init;
use ravelin_agent::machine::{Found, Gpus, Machine};
use ravelin_agent::report::Report;
use ravelin_agent::sysfs;
use ravelin_agent::work::{self, Task, Terms};
use ravelin_digits::{EMBEDDED, Payload, reference};
use ravelin_gpu_abi::registers::Mode;
use ravelin_gpu_model::GpuConfig;
use ravelin_report::Event;
use ravelin_tests::stage::bus::Wire;
use ravelin_tests::stage::pages::Pages;
use ravelin_tests::stage::{Stage, config};
use ravelin_workload::task::{Repeat, hex};

/// A machine with the GPUs of some stages.
struct Double(Vec<Stage>);

impl Double {
    fn with(gpus: u64) -> Self {
        let stage = |serial| Stage::new(GpuConfig { serial, ..config() });
        Self((1..=gpus).map(stage).collect())
    }
}

impl Machine for Double {
    type Bus = Wire;
    type Memory = Arc<Pages>;

    fn gpus(&self) -> Result<Gpus<Self>, sysfs::Error> {
        let gpus = (1..).zip(&self.0).map(|(number, stage)| Found {
            address: format!("0000:00:{number:02x}.0"),
            bus: stage.wire(),
            memory: Arc::clone(&stage.pages),
        });
        Ok(gpus.collect())
    }
}

/// Runs the agent as init, and gives what it told the launcher.
fn events(machine: &Double, command_line: &str) -> (Vec<Event>, bool) {
    let directory = std::env::temp_dir().join(format!("ravelin-agent-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join(format!("{:p}", machine));
    std::fs::write(&file, "").unwrap();
    let account = Account::new(Some(Report::open(Path::new(&file)).unwrap()), false);
    let shell = init::serve(machine, command_line, &account);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), shell)
}

/// What plain loops give, which is what the built-in guest's rounds are held against.
fn expected() -> (Vec<u32>, String) {
    let payload = Payload::parse(EMBEDDED).unwrap();
    let outputs = reference::forward(payload.network(), payload.images());
    (reference::predictions(&outputs), hex(&reference::outputs_sha384(&outputs)))
}

#[test]
fn as_init_it_reports_what_the_launcher_asked_for_from_the_first_event_to_the_last() {
    let machine = Double::with(2);
    let (events, shell) = events(&machine, "quiet ravelin.run=digits ravelin.repeat=1");
    let [
        Event::Ready { guest },
        Event::Gpu { index: 0, verdict: first, .. },
        Event::Gpu { index: 1, verdict: second, .. },
        Event::Round(on_first),
        Event::Round(on_second),
        Event::Finished { result, message },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((guest.as_str(), first.as_str(), second.as_str()), ("linux", "trusted", "trusted"));
    let (predictions, outputs_sha384) = expected();
    for (index, round) in [on_first, on_second].into_iter().enumerate() {
        assert_eq!(round.gpu as usize, index);
        assert_eq!(round.predictions, predictions);
        assert_eq!(round.outputs_sha384, outputs_sha384, "not every bit is the reference's");
    }
    assert_eq!((result.as_str(), message.as_str(), shell), ("ok", "", false));
}

#[test]
fn evidence_answers_the_launchers_nonce() {
    let machine = Double::with(1);
    let nonce = "5a".repeat(32);
    let words = format!("ravelin.run=attest ravelin.evidence=report ravelin.nonce={nonce}");
    let (events, _) = events(&machine, &words);
    let [
        Event::Ready { .. },
        Event::Gpu { .. },
        Event::Evidence { index: 0, evidence },
        Event::Finished { result, .. },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    // 32 bytes of 0x5a in base64.
    assert_eq!(evidence.nonce, "WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=");
    assert_eq!(result, "ok");
}

#[test]
fn a_gpu_that_protects_nothing_is_refused_unless_nothing_is_protected() {
    let machine = Double(vec![Stage::new(GpuConfig { mode: Mode::Off, ..config() })]);
    let (refused, _) = events(&machine, "ravelin.run=digits");
    let [Event::Ready { .. }, Event::Gpu { verdict, .. }, Event::Finished { result, .. }] =
        &refused[..]
    else {
        panic!("{refused:?}")
    };
    assert_eq!(verdict, result);
    assert_ne!(result, "ok");
    let (used, _) = events(&machine, "ravelin.run=digits ravelin.platform=none");
    assert!(
        matches!(&used[..], [
        Event::Ready { .. }, Event::Gpu { verdict, .. }, Event::Round(_), Event::Finished { .. }
    ] if verdict == "unprotected"),
        "{used:?}"
    );
}

#[test]
fn one_bad_gpu_among_good_ones_is_no_work_for_any() {
    let mut machine = Double::with(2);
    machine.0[1] = Stage::new(GpuConfig { serial: 2, mode: Mode::Devtools, ..config() });
    let account = Account::new(None, false);
    let task = Task::Digits(Repeat::Times(1));
    assert!(work::run(&machine, task, Terms::default(), &account).is_err());
    let summary = account.summary();
    assert_eq!((summary.rounds, summary.gpus.len()), (0, 2));
    assert_eq!(summary.gpus[&0].verdict, "trusted");
    assert_ne!(summary.gpus[&1].verdict, "trusted");
    assert_eq!(summary.gpus[&1].address, "0000:00:02.0");
    for stage in &machine.0 {
        let records = stage.gpu.admin().telemetry().engines.map(|engine| engine.records);
        assert_eq!(records, [0; 3], "a GPU was used");
    }
}

#[test]
fn the_account_of_the_digits_is_held_against_the_plain_computation() {
    let account = Account::new(None, false);
    let task = Task::Digits(Repeat::Times(2));
    work::run(&Double::with(1), task, Terms::default(), &account).unwrap();
    let summary = account.summary();
    let (predictions, outputs_sha384) = expected();
    assert_eq!((summary.rounds, summary.wrong_rounds), (2, 0));
    assert_eq!((summary.predictions, summary.outputs_sha384), (predictions, outputs_sha384));
    assert_eq!(summary.gpus[&0].rounds, 2);
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_a_report_of_it() {
    let machine = Double::with(1);
    let (events, shell) = events(&machine, "ravelin.run=digits ravelin.repeat=often");
    let [Event::Ready { .. }, Event::Finished { result, message }] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(result == "bad-parameter" && message.contains("ravelin.repeat"), "{message}");
    assert!(!shell);
}
