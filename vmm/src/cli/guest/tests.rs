use super::*;
use proptest::prelude::*;
use ravelin_report::Round;

fn listener() -> Listener {
    let reference = Reference::of(|| Expected {
        predictions: vec![3, 1],
        outputs_sha384: "ab".into(),
        labels: Some(vec![3, 7]),
    });
    Listener::new(2, Some(reference), Progress::silent(), None)
}

fn tell(listener: &mut Listener, event: &Event) {
    listener.line(Line::Whole(&serde_json::to_vec(event).unwrap()));
}

fn round(predictions: Vec<u32>, outputs_sha384: &str) -> Event {
    let transfer = Transfer { h2d_bytes: 10, d2h_bytes: 2, records: 3 };
    Event::Round(Round {
        gpu: 0,
        number: 1,
        predictions,
        outputs_sha384: outputs_sha384.into(),
        transfer,
    })
}

fn gpu(index: u32, session: u32) -> Event {
    Event::Gpu {
        index,
        model: "APM-1".into(),
        identity: "00".into(),
        verdict: "trusted".into(),
        firmware: "11".into(),
        session,
        attest_us: 100,
    }
}

#[test]
fn a_good_run_is_summed_up() {
    let mut listener = listener();
    tell(&mut listener, &Event::Ready { guest: "builtin".into() });
    tell(&mut listener, &gpu(0, 1));
    tell(&mut listener, &gpu(1, 1));
    tell(&mut listener, &round(vec![3, 1], "AB"));
    tell(&mut listener, &Event::GpuLost { index: 1, reason: "reset".into() });
    tell(&mut listener, &gpu(1, 2));
    tell(&mut listener, &round(vec![3, 1], "ab"));
    tell(&mut listener, &Event::Finished { result: "ok".into(), message: String::new() });
    let summary = listener.summary();
    assert_eq!((summary.rounds, summary.wrong_rounds, summary.nonsense), (2, 0, 0));
    assert_eq!((summary.attest_us, summary.lost), (Some(200), 1));
    assert_eq!(summary.gpus.get(&1).map(|gpu| gpu.session), Some(2));
    assert_eq!(summary.transfer, Transfer { h2d_bytes: 20, d2h_bytes: 4, records: 6 });
    assert_eq!(summary.finish.as_ref().map(|finish| finish.result.as_str()), Some("ok"));
}

#[test]
fn a_round_is_right_only_if_predictions_and_every_bit_of_the_outputs_are() {
    for (predictions, digest) in
        [(vec![3, 2], "ab"), (vec![3, 1], "ac"), (vec![3], "ab"), (vec![], "")]
    {
        let mut listener = listener();
        tell(&mut listener, &gpu(0, 1));
        tell(&mut listener, &round(predictions, digest));
        assert_eq!((listener.summary().rounds, listener.summary().wrong_rounds), (1, 1));
    }
}

#[test]
fn rounds_are_counted_for_the_gpu_that_did_them_across_attestations() {
    let mut listener = listener();
    for event in [gpu(0, 1), gpu(1, 1), round(vec![3, 1], "ab"), gpu(0, 2), round(vec![], "")] {
        tell(&mut listener, &event);
    }
    let rounds = listener.summary().gpus.values().map(|gpu| gpu.rounds);
    assert_eq!(rounds.collect::<Vec<_>>(), [2, 0]);
}

#[test]
fn nonsense_is_counted_and_left_out() {
    let mut listener = listener();
    listener.line(Line::TooLong);
    listener.line(Line::Whole(b""));
    listener.line(Line::Whole(b"{\"event\":\"reboot\"}"));
    listener.line(Line::Whole(&[0xff, 0]));
    tell(&mut listener, &gpu(2, 1));
    tell(&mut listener, &gpu(u32::MAX, 1));
    tell(&mut listener, &round(vec![3, 1], "ab"));
    tell(&mut listener, &Event::GpuLost { index: 2, reason: String::new() });
    for result in ["", "a b", "\u{1b}[2J", &"x".repeat(65)] {
        tell(&mut listener, &Event::Finished { result: result.into(), message: String::new() });
    }
    listener.line(Line::Whole(
        br#"{"event":"bench","size":1,"chunk":1,"h2d":0.0,"d2h":1.0,
        "raw_seal":1.0,"raw_open":1.0,"memcpy":1.0,"round_trip_us":1.0,"intact":true}"#,
    ));
    assert_eq!(*listener.summary(), Summary { nonsense: 13, ..Summary::default() });
}

#[test]
fn what_a_guest_says_is_cut_and_made_harmless() {
    let mut listener = listener();
    tell(&mut listener, &Event::Ready { guest: "\u{1b}]0;x\u{7}".repeat(1000) });
    let guest = listener.summary().guest.as_ref().unwrap();
    assert!(guest.len() < 10 * LONGEST && !guest.contains('\u{1b}'));
}

#[test]
fn counters_that_a_guest_drives_do_not_overflow() {
    let mut listener = listener();
    let transfer = Transfer { h2d_bytes: u64::MAX, d2h_bytes: u64::MAX, records: u64::MAX };
    tell(&mut listener, &gpu(0, 1));
    for _ in 0..2 {
        tell(
            &mut listener,
            &Event::Round(Round {
                gpu: 0,
                number: u64::MAX,
                predictions: vec![9; 1000],
                outputs_sha384: String::new(),
                transfer,
            }),
        );
    }
    assert_eq!(listener.summary().transfer, transfer);
    assert_eq!(listener.summary().predictions.len(), 2);
}

proptest! {
    #[test]
    fn no_line_panics(lines in prop::collection::vec(prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        "\\{\"event\":\"(ready|gpu|round|bench|finished|gpu_lost)\",.{0,40}\\}".prop_map(String::into_bytes),
    ], 0..20)) {
        let mut listener = listener();
        for line in lines {
            listener.line(Line::Whole(&line));
        }
    }
}
