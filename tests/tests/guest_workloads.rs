//! The guest's workloads, in process: what they report, and that they carry on after a reset.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use ravelin_digits::{EMBEDDED, Payload, reference};
use ravelin_driver::Layout;
use ravelin_gpu_model::{Gpu, Initiator, ResetKind};
use ravelin_report::{Event, Round};
use ravelin_tests::stage::bus::Wire;
use ravelin_tests::stage::pages::Pages;
use ravelin_tests::stage::time::Monotonic;
use ravelin_tests::stage::trust::{self, Documents};
use ravelin_tests::stage::{Stage, config};
use ravelin_workload::fleet::Fleet;
use ravelin_workload::guarded::Guarded;
use ravelin_workload::probe::{self, Window};
use ravelin_workload::task::{Error, Host, Repeat, hex};
use ravelin_workload::{bench, digits, idle};

/// Keeps what is reported, and may do something at each pause.
#[derive(Clone, Default)]
struct Recorder {
    events: Arc<Mutex<Vec<Event>>>,
    at_pause: Option<Arc<dyn Fn(usize) + Send + Sync>>,
    pauses: usize,
}

impl Host for Recorder {
    fn report(&mut self, event: &Event) {
        self.events.lock().unwrap().push(event.clone());
    }

    fn pause(&mut self, microseconds: u64) {
        std::thread::sleep(Duration::from_micros(microseconds.min(2000)));
        if let Some(act) = &self.at_pause {
            act(self.pauses);
        }
        self.pauses += 1;
    }
}

type Subject<'a> = Guarded<'a, Wire, Arc<Pages>, Monotonic, UnwrapErr<SysRng>, Recorder>;
type Subjects<'a> = Fleet<'a, Wire, Arc<Pages>, Monotonic, UnwrapErr<SysRng>, Recorder>;

fn guarded<'a>(stage: &Stage, documents: &'a Documents, recorder: &Recorder) -> Subject<'a> {
    Guarded::new(stage.driver(), 0, trust::rng(), documents.trust(), recorder.clone())
}

/// A fleet of one.
fn alone<'a>(stage: &Stage, documents: &'a Documents, recorder: &Recorder) -> Subjects<'a> {
    Fleet::new(vec![guarded(stage, documents, recorder)])
}

/// What the network gives in plain loops.
fn expected() -> (Vec<u32>, String) {
    let payload = Payload::parse(EMBEDDED).unwrap();
    let outputs = reference::forward(payload.network(), payload.images());
    (reference::predictions(&outputs), hex(&reference::outputs_sha384(&outputs)))
}

fn assert_right(round: &Round) {
    let (predictions, outputs_sha384) = expected();
    assert_eq!(round.predictions, predictions);
    assert_eq!(round.outputs_sha384, outputs_sha384, "not every bit is the reference's");
}

#[test]
fn the_gpu_computes_what_plain_loops_compute_bit_for_bit() {
    let (stage, documents) = (Stage::confidential(), Documents::development());
    let recorder = Recorder::default();
    let mut subject = alone(&stage, &documents, &recorder);
    digits::run(&mut subject, EMBEDDED, Repeat::Times(2)).unwrap();
    let events = recorder.events.lock().unwrap();
    let [Event::Gpu { verdict, session: 1, .. }, Event::Round(first), Event::Round(second)] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(verdict, "trusted");
    assert_eq!((first.number, second.number), (1, 2));
    assert_right(first);
    assert_right(second);
    // 449 images of 64 pixels and the weights; outputs and predictions.
    assert_eq!(first.transfer.h2d_bytes, 4 * (449 * 64 + 64 * 32 + 32 + 32 * 10 + 10));
    assert_eq!(first.transfer.d2h_bytes, 4 * 449 * 11);
}

#[test]
fn plain_mode_computes_the_same_and_says_that_nothing_is_protected() {
    let mut documents = Documents::development();
    documents.policy.mode_off_allowed = true;
    let mode = ravelin_gpu_abi::registers::Mode::Off;
    let stage = Stage::new(ravelin_gpu_model::GpuConfig { mode, ..config() });
    let recorder = Recorder::default();
    digits::run(&mut alone(&stage, &documents, &recorder), EMBEDDED, Repeat::Times(1)).unwrap();
    let events = recorder.events.lock().unwrap();
    let [Event::Gpu { verdict, .. }, Event::Round(round)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(verdict, "unprotected");
    assert_right(round);
}

#[test]
fn after_a_reset_the_gpu_is_attested_again_and_the_next_round_is_right() {
    let (stage, documents) = (Stage::confidential(), Documents::development());
    let admin = stage.gpu.admin();
    let recorder = Recorder::default();
    let mut subject = alone(&stage, &documents, &recorder);
    for kind in [ResetKind::Flr, ResetKind::Bus, ResetKind::Cold] {
        digits::run(&mut subject, EMBEDDED, Repeat::Times(1)).unwrap();
        admin.reset(kind).unwrap();
    }
    digits::run(&mut subject, EMBEDDED, Repeat::Times(1)).unwrap();
    let events = recorder.events.lock().unwrap();
    let mut sessions = Vec::new();
    let mut lost = 0;
    for event in events.iter() {
        match event {
            Event::Gpu { session, verdict, .. } => {
                assert_eq!(verdict, "trusted");
                sessions.push(*session);
            }
            Event::GpuLost { reason, .. } => {
                assert!(reason.contains("reset"), "{reason}");
                lost += 1;
            }
            Event::Round(round) => assert_right(round),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((sessions, lost), (vec![1, 2, 3, 4], 3));
}

#[test]
fn a_refused_gpu_is_reported_and_nothing_is_done_with_it() {
    let mut documents = Documents::development();
    documents.policy.svn_floor = u32::MAX;
    let (stage, recorder) = (Stage::confidential(), Recorder::default());
    let mut subject = alone(&stage, &documents, &recorder);
    let refused = digits::run(&mut subject, EMBEDDED, Repeat::Times(1)).unwrap_err();
    assert_eq!(refused.code(), "svn-below-floor");
    let events = recorder.events.lock().unwrap();
    assert!(matches!(&events[..], [Event::Gpu { verdict, .. }] if verdict == "svn-below-floor"));
    assert_eq!(stage.gpu.admin().telemetry().engines.map(|engine| engine.records), [0; 3]);
}

#[test]
fn a_payload_that_is_none_is_refused_before_the_gpu_is_asked() {
    let (stage, documents) = (Stage::confidential(), Documents::development());
    let recorder = Recorder::default();
    let refused = digits::run(&mut alone(&stage, &documents, &recorder), b"none", Repeat::Forever);
    assert_eq!(refused.unwrap_err().code(), "bad-payload");
    assert_eq!(stage.gpu.admin().telemetry().sessions, 0);
}

#[test]
fn an_idle_guest_attests_again_after_a_reset() {
    let (stage, documents) = (Stage::confidential(), Documents::development());
    let admin = stage.gpu.admin();
    let recorder = Recorder {
        at_pause: Some(Arc::new(move |pause| {
            if pause == 1 {
                admin.reset(ResetKind::Flr).unwrap();
            }
        })),
        ..Recorder::default()
    };
    idle::run(&mut alone(&stage, &documents, &recorder), Repeat::Times(4)).unwrap();
    let events = recorder.events.lock().unwrap();
    let [Event::Gpu { session: 1, .. }, Event::GpuLost { .. }, Event::Gpu { session: 2, .. }] =
        &events[..]
    else {
        panic!("{events:?}")
    };
}

#[test]
fn a_guest_whose_gpu_is_reset_while_it_attests_attests_again() {
    let (stage, documents) = (Stage::confidential(), Documents::development());
    for at in [2, 5, 9] {
        let recorder = Recorder::default();
        let mut number = 0;
        let wire = Wire::with(
            Arc::clone(&stage.gpu),
            Box::new(move |gpu, object| {
                number += 1;
                if number == at {
                    gpu.admin().reset(ResetKind::Flr).unwrap();
                }
                gpu.doe_exchange(&object)
            }),
        );
        let driver = stage.driver_over(wire);
        let subject = Guarded::new(driver, 0, trust::rng(), documents.trust(), recorder.clone());
        idle::run(&mut Fleet::new(vec![subject]), Repeat::Times(1)).unwrap();
        let events = recorder.events.lock().unwrap();
        let [Event::GpuLost { reason, .. }, Event::Gpu { verdict, .. }] = &events[..] else {
            panic!("{at}: {events:?}")
        };
        assert!(reason.contains("reset"), "{reason}");
        assert_eq!(verdict, "trusted");
    }
}

#[test]
fn the_bench_measures_and_its_bytes_come_back_intact() {
    let (stage, documents) = (Stage::confidential(), Documents::development());
    let recorder = Recorder::default();
    bench::run(&mut guarded(&stage, &documents, &recorder), (2 << 20) + 5).unwrap();
    let events = recorder.events.lock().unwrap();
    let [Event::Gpu { .. }, Event::Bench(bench)] = &events[..] else { panic!("{events:?}") };
    assert!(bench.intact);
    assert_eq!((bench.size, bench.chunk), ((2 << 20) + 5, 64 << 10));
    for speed in [bench.h2d, bench.d2h, bench.raw_seal, bench.raw_open, bench.memcpy] {
        assert!(speed.is_finite() && speed > 0.0, "{bench:?}");
    }
    assert!(bench.round_trip_us > 0.0);
}

#[test]
fn a_bench_of_nothing_or_of_more_than_there_is_is_refused() {
    let (stage, documents) = (Stage::confidential(), Documents::development());
    for (size, code) in [(0, "bad-size"), (1 << 60, "bad-size"), (128 << 20, "gpu-memory")] {
        let recorder = Recorder::default();
        let refused = bench::run(&mut guarded(&stage, &documents, &recorder), size).unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
    }
}

/// The window as the guest's processor has it.
struct Bar2(Arc<Gpu>);

impl Window for Bar2 {
    fn read(&mut self, offset: u64, width: u8) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_window(Initiator::GuestMmio, offset, &mut bytes[..width.into()]);
        u64::from_le_bytes(bytes)
    }

    fn write(&mut self, offset: u64, width: u8, value: u64) {
        let bytes = value.to_le_bytes();
        self.0.write_window(Initiator::GuestMmio, offset, &bytes[..width.into()]);
    }
}

#[test]
fn the_probes_are_refused_by_the_gpu() {
    let (stage, documents) = (Stage::confidential(), Documents::development());
    let mut subject = guarded(&stage, &documents, &Recorder::default());
    probe::window(&mut subject, &mut Bar2(Arc::clone(&stage.gpu))).unwrap();
    assert!(stage.gpu.admin().telemetry().violations > 0);

    // Memory that the GPU's side of the machine does not know as shared.
    let private = Arc::new(Pages::elsewhere(Layout::default().length()));
    probe::private_ring(subject, private).unwrap();
    assert_eq!(stage.gpu.admin().telemetry().dma_faults, 1);
}

#[test]
fn the_probe_tells_when_it_gets_through() {
    /// A window without a firewall.
    struct Open(Vec<u8>);
    impl Window for Open {
        fn read(&mut self, offset: u64, width: u8) -> u64 {
            let mut bytes = [0; 8];
            let at = offset as usize;
            bytes[..width.into()].copy_from_slice(&self.0[at..at + usize::from(width)]);
            u64::from_le_bytes(bytes)
        }
        fn write(&mut self, offset: u64, width: u8, value: u64) {
            let at = offset as usize;
            self.0[at..at + usize::from(width)]
                .copy_from_slice(&value.to_le_bytes()[..width.into()]);
        }
    }
    let (stage, documents) = (Stage::confidential(), Documents::development());
    let mut subject = guarded(&stage, &documents, &Recorder::default());
    let through = probe::window(&mut subject, &mut Open(vec![0; 256 << 20]));
    assert!(matches!(through, Err(Error::Probe(_))));
    // Rings in memory that is shared after all.
    let shared = Arc::clone(&stage.pages);
    assert!(matches!(probe::private_ring(subject, shared), Err(Error::Probe(_))));
}

/// GPUs with these serial numbers, and a guest that uses them.
fn several(serials: &[u64]) -> (Vec<Stage>, Recorder) {
    let stage =
        |serial: &u64| Stage::new(ravelin_gpu_model::GpuConfig { serial: *serial, ..config() });
    (serials.iter().map(stage).collect(), Recorder::default())
}

fn fleet<'a>(stages: &[Stage], documents: &'a Documents, recorder: &Recorder) -> Subjects<'a> {
    let subjects = stages.iter().zip(0..).map(|(stage, place)| {
        Guarded::new(stage.driver(), place, trust::rng(), documents.trust(), recorder.clone())
    });
    Fleet::new(subjects.collect())
}

/// The verdicts reported, by place.
fn verdicts(recorder: &Recorder) -> Vec<(u32, String)> {
    let events = recorder.events.lock().unwrap();
    let verdicts = events.iter().filter_map(|event| match event {
        Event::Gpu { index, verdict, .. } => Some((*index, verdict.clone())),
        _ => None,
    });
    verdicts.collect()
}

/// Records that the GPUs have answered.
fn records(stages: &[Stage]) -> u64 {
    let telemetry = stages.iter().map(|stage| stage.gpu.admin().telemetry());
    telemetry.flat_map(|telemetry| telemetry.engines).map(|engine| engine.records).sum()
}

#[test]
fn each_gpu_of_several_is_attested_before_any_is_used_and_then_each_is() {
    let documents = Documents::development();
    let (stages, recorder) = several(&[1, 2, 3]);
    digits::run(&mut fleet(&stages, &documents, &recorder), EMBEDDED, Repeat::Times(2)).unwrap();
    let events = recorder.events.lock().unwrap();
    let places: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Gpu { index, verdict, .. } if verdict == "trusted" => ("gpu", *index),
            Event::Round(round) => {
                assert_right(round);
                ("round", round.gpu)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let in_turn = |word| (0..3).map(move |place| (word, place));
    let expected = in_turn("gpu").chain(in_turn("round")).chain(in_turn("round"));
    assert_eq!(places, expected.collect::<Vec<_>>());
}

#[test]
fn the_same_device_at_two_places_is_refused_at_both_and_no_gpu_is_used() {
    let documents = Documents::development();
    for (serials, repeated) in [([1, 2, 1], [0, 2]), ([3, 3, 1], [0, 1]), ([2, 5, 5], [1, 2])] {
        let (stages, recorder) = several(&serials);
        let mut fleet = fleet(&stages, &documents, &recorder);
        let refused = digits::run(&mut fleet, EMBEDDED, Repeat::Times(1)).unwrap_err();
        assert_eq!(refused.code(), "identity-repeated");
        let expected = (0..3).map(|place| {
            let bad = repeated.contains(&place);
            (place, if bad { "identity-repeated" } else { "trusted" }.to_owned())
        });
        assert_eq!(verdicts(&recorder), expected.collect::<Vec<_>>());
        assert_eq!(records(&stages), 0);
    }
}

#[test]
fn one_bad_gpu_at_each_place_keeps_the_good_ones_unused_and_each_has_its_verdict() {
    let documents = Documents::development();
    for bad in 0..3 {
        let (mut stages, recorder) = several(&[1, 2, 3]);
        let mode = ravelin_gpu_abi::registers::Mode::Devtools;
        let serial = bad + 1;
        stages[bad as usize] =
            Stage::new(ravelin_gpu_model::GpuConfig { mode, serial, ..config() });
        let mut fleet = fleet(&stages, &documents, &recorder);
        let refused = idle::run(&mut fleet, Repeat::Times(1)).unwrap_err();
        assert_eq!(refused.code(), "debug-enabled");
        let expected = (0..3).map(|place| {
            let word = if u64::from(place) == bad { "debug-enabled" } else { "trusted" };
            (place, word.to_owned())
        });
        assert_eq!(verdicts(&recorder), expected.collect::<Vec<_>>());
        assert_eq!(records(&stages), 0);
    }
}

#[test]
fn a_gpu_that_comes_back_from_a_reset_as_another_one_of_the_guests_is_refused() {
    let documents = Documents::development();
    let (stages, recorder) = several(&[1, 2]);
    let (first, second) = (&stages[0], &stages[1]);
    // The host swaps what stands behind the second place while its GPU is reset.
    let (other, swapped) = (Arc::clone(&first.gpu), Arc::new(Mutex::new(false)));
    let relay = Arc::clone(&swapped);
    let wire = Wire::with(
        Arc::clone(&second.gpu),
        Box::new(move |gpu, object| match *relay.lock().unwrap() {
            true => other.doe_exchange(&object),
            false => gpu.doe_exchange(&object),
        }),
    );
    let subjects = [(first.driver(), 0), (second.driver_over(wire), 1)].map(|(driver, place)| {
        Guarded::new(driver, place, trust::rng(), documents.trust(), recorder.clone())
    });
    let mut fleet = Fleet::new(subjects.into());
    idle::run(&mut fleet, Repeat::Times(1)).unwrap();
    *swapped.lock().unwrap() = true;
    second.gpu.admin().reset(ResetKind::Flr).unwrap();
    let refused = idle::run(&mut fleet, Repeat::Times(1)).unwrap_err();
    assert_eq!(refused.code(), "identity-repeated");
    let expected = [(0, "trusted"), (1, "trusted"), (1, "identity-repeated")];
    assert_eq!(verdicts(&recorder), expected.map(|(place, word)| (place, word.to_owned())));
}

#[test]
fn what_a_gpu_presents_is_reported_only_if_asked_for_and_answers_the_challenge() {
    let (stage, documents) = (Stage::confidential(), Documents::development());
    for asked in [false, true] {
        let recorder = Recorder::default();
        let mut driver = stage.driver();
        driver.set_challenge([0; 32]);
        let mut subject =
            Guarded::new(driver, 0, trust::rng(), documents.trust(), recorder.clone());
        if asked {
            subject.show_evidence();
        }
        subject.attest().unwrap();
        let events = recorder.events.lock().unwrap();
        assert_eq!(events.len(), if asked { 2 } else { 1 }, "{events:?}");
        let Some(Event::Evidence { index: 0, evidence }) = events.get(1) else { continue };
        assert_eq!(evidence.certificates.len(), 3);
        assert_eq!(evidence.nonce, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let line = serde_json::to_string(&events[1]).unwrap();
        assert!(line.len() < ravelin_report::MAX_LINE / 8, "{}", line.len());
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), events[1]);
    }
}
