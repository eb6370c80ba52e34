use super::*;
use proptest::prelude::*;

/// Object type 0 of the PCI-SIG, three dwords in all.
const DISCOVERY: [u32; 3] = [0x0000_0001, 3, 0];

fn send(mailbox: &mut Mailbox, dwords: &[u32]) -> Option<Request> {
    for dword in dwords {
        assert_eq!(mailbox.write(WRITE_MAILBOX, *dword), None);
    }
    mailbox.write(CONTROL, GO)
}

/// Sends discovery and answers it.
fn exchange(mailbox: &mut Mailbox, answer: &[u8]) {
    let request = send(mailbox, &DISCOVERY).unwrap();
    mailbox.complete(request.number(), answer);
}

fn idle(mailbox: &Mailbox) -> bool {
    mailbox.state == State::Receiving(Vec::new())
}

fn broken(mailbox: &Mailbox) -> bool {
    mailbox.read(STATUS) == ERROR
}

#[test]
fn an_object_goes_in_and_its_answer_comes_out_dword_by_dword() {
    let mut mailbox = Mailbox::new();
    let request = send(&mut mailbox, &DISCOVERY).unwrap();
    assert_eq!(request.object, [1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(mailbox.read(STATUS), BUSY);
    mailbox.complete(request.number(), &[1, 2, 3, 4, 5, 6, 7, 8]);
    for dword in [0x0403_0201, 0x0807_0605] {
        assert_eq!(mailbox.read(STATUS), READY);
        // Reading alone does not move on.
        assert_eq!(mailbox.read(READ_MAILBOX), dword);
        assert_eq!(mailbox.read(READ_MAILBOX), dword);
        mailbox.write(READ_MAILBOX, 0);
    }
    assert!(idle(&mailbox));
}

#[test]
fn an_object_without_an_answer_leaves_the_mailbox_idle() {
    let mut mailbox = Mailbox::new();
    exchange(&mut mailbox, &[]);
    assert!(idle(&mailbox));
}

#[test]
fn an_object_that_lies_about_its_length_is_an_error() {
    for object in [&[][..], &[1], &[1, 1], &[1, 3], &[1, 2, 0], &[1, 0], &[1, 0xfffc_0003, 0, 0]] {
        let mut mailbox = Mailbox::new();
        assert_eq!(send(&mut mailbox, object), None, "{object:x?}");
        assert!(broken(&mailbox), "{object:x?}");
    }
    // Reserved bits above the length are ignored.
    assert!(send(&mut Mailbox::new(), &[1, 0xfffc_0003, 0]).is_some());
}

#[test]
fn the_longest_object_has_length_zero_and_a_longer_one_is_an_error() {
    let mut mailbox = Mailbox::new();
    let mut object = vec![0; MAX_DWORDS];
    assert_eq!(
        send(&mut mailbox, &object).map(|request| request.object.len()),
        Some(4 * MAX_DWORDS)
    );
    object.push(0);
    let mut mailbox = Mailbox::new();
    assert_eq!(send(&mut mailbox, &object), None);
    assert!(broken(&mailbox));
}

#[test]
fn protocol_abuse_sets_error_until_an_abort() {
    let abuses: [fn(&mut Mailbox); 6] = [
        // Moving on without an answer.
        |mailbox| assert_eq!(mailbox.write(READ_MAILBOX, 0), None),
        // Go with nothing.
        |mailbox| assert_eq!(mailbox.write(CONTROL, GO), None),
        // Go, and mailbox writes, while busy.
        |mailbox| {
            send(mailbox, &DISCOVERY).unwrap();
            assert_eq!(mailbox.write(CONTROL, GO), None);
        },
        |mailbox| {
            send(mailbox, &DISCOVERY).unwrap();
            assert_eq!(mailbox.write(WRITE_MAILBOX, 1), None);
        },
        // A new object over an answer that nobody has read.
        |mailbox| {
            exchange(mailbox, &[0; 8]);
            assert_eq!(mailbox.write(WRITE_MAILBOX, 1), None);
        },
        // An answer that is not whole dwords.
        |mailbox| exchange(mailbox, &[0; 7]),
    ];
    for (number, abuse) in abuses.iter().enumerate() {
        let mut mailbox = Mailbox::new();
        abuse(&mut mailbox);
        assert!(broken(&mailbox), "abuse {number}");
        assert_eq!(mailbox.read(READ_MAILBOX), 0);
        assert_eq!(send(&mut mailbox, &DISCOVERY), None, "abuse {number} left error by itself");
        // Abort wins over Go in one write.
        assert_eq!(mailbox.write(CONTROL, ABORT | GO), None);
        assert!(send(&mut mailbox, &DISCOVERY).is_some());
    }
}

#[test]
fn an_answer_that_comes_after_an_abort_is_dropped() {
    let mut mailbox = Mailbox::new();
    let aborted = send(&mut mailbox, &DISCOVERY).unwrap();
    mailbox.write(CONTROL, ABORT);
    mailbox.complete(aborted.number(), &[0; 8]);
    assert!(idle(&mailbox));
    // Nor does it answer the next object.
    send(&mut mailbox, &DISCOVERY).unwrap();
    mailbox.complete(aborted.number(), &[0; 8]);
    assert_eq!(mailbox.read(STATUS), BUSY);
}

proptest! {
    #[test]
    fn any_sequence_of_accesses_keeps_the_mailbox_sound(
        steps in prop::collection::vec((0u16..0x20, prop_oneof![
            Just(GO), Just(ABORT), 0u32..8, any::<u32>(),
        ], any::<bool>()), 0..200),
    ) {
        let mut mailbox = Mailbox::new();
        for (register, value, answers) in steps {
            if let Some(request) = mailbox.write(register, value) {
                prop_assert_eq!(request.object.len() % 4, 0);
                prop_assert!(request.object.len() >= 8);
                prop_assert_eq!(mailbox.read(STATUS), BUSY);
                if answers {
                    mailbox.complete(request.number(), &request.object);
                }
            }
            let status = mailbox.read(STATUS);
            prop_assert!([0, BUSY, ERROR, READY].contains(&status));
            mailbox.write(CONTROL, if value % 50 == 0 { ABORT } else { 0 });
        }
        mailbox.write(CONTROL, ABORT);
        prop_assert!(send(&mut mailbox, &DISCOVERY).is_some());
    }
}
