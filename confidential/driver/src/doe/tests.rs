use alloc::vec;

use super::*;
use crate::testing::{FakeBus, FakeClock, MAILBOX};

const OBJECT: [u8; 12] = [1, 0, 1, 0, 3, 0, 0, 0, 0xaa, 0xbb, 0xcc, 0xdd];

fn bus(answer: &[u32]) -> FakeBus {
    let mut bus = FakeBus::new();
    bus.answer = answer.iter().copied().collect();
    bus
}

fn run(bus: &mut FakeBus, object: &[u8]) -> Result<Vec<u8>, Error> {
    exchange(bus, &FakeClock::default(), MAILBOX, object)
}

#[test]
fn an_object_goes_in_and_its_answer_comes_out() {
    let mut bus = bus(&[0x0001_0001, 4, 0x1122_3344, 0x5566_7788]);
    let answer = run(&mut bus, &OBJECT).unwrap();
    assert_eq!(bus.sent, [0x0001_0001, 3, 0xddcc_bbaa]);
    assert_eq!(answer[8..], [0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55]);
    assert!(!bus.aborted);
}

#[test]
fn a_long_answer_comes_out_whole() {
    let mut words = vec![0x0001_0001, 1000];
    words.extend(2..1000);
    let answer = run(&mut bus(&words), &OBJECT).unwrap();
    assert_eq!(answer.len(), 4000);
    assert_eq!(answer[3996..], 999_u32.to_le_bytes());
}

#[test]
fn lengths_that_are_none_are_refused() {
    for claimed in [0, 1, MOST_WORDS + 1, LENGTH_MASK] {
        let mut bus = bus(&[0x0001_0001, claimed, 7]);
        assert_eq!(run(&mut bus, &OBJECT), Err(Error::Length(claimed)));
        assert!(bus.aborted);
    }
}

#[test]
fn an_answer_that_ends_early_is_refused() {
    let mut bus = bus(&[0x0001_0001, 200, 7]);
    assert_eq!(run(&mut bus, &OBJECT), Err(Error::Short { read: 64, claimed: 200 }));
}

#[test]
fn silence_and_errors_are_told_apart() {
    assert!(matches!(run(&mut bus(&[]), &OBJECT), Err(Error::Timeout(_))));
    let mut gone = bus(&[]);
    gone.doe_status = u32::MAX;
    assert_eq!(run(&mut gone, &OBJECT), Err(Error::Gone));
}

#[test]
fn what_an_earlier_exchange_left_is_thrown_away() {
    let mut bus = bus(&[0x0001_0001, 2]);
    bus.doe_status = STATUS_READY;
    assert!(run(&mut bus, &OBJECT).is_ok());
    assert!(bus.aborted);
}

#[test]
fn no_part_of_a_word_is_sent() {
    for length in [0, 4, 7, 9] {
        let refused = run(&mut bus(&[]), &vec![0; length]);
        assert_eq!(refused, Err(Error::Unsendable(length)));
    }
}
