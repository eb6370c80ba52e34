use super::table::{MASKED, natural};
use super::*;
use proptest::prelude::*;

#[derive(Default)]
struct Sent(Mutex<Vec<MsiMessage>>);

impl MsiSink for Sent {
    fn signal(&self, message: MsiMessage) {
        self.0.lock().unwrap().push(message);
    }
}

fn table() -> (Msix, Arc<Sent>) {
    let sent = Arc::new(Sent::default());
    (Msix::new(4, sent.clone()), sent)
}

fn program(msix: &Msix, vector: u64, control: u32) {
    let at = vector * ENTRY_SIZE;
    msix.write_table(at, &(0xfee0_0000 + vector).to_le_bytes());
    msix.write_table(at + 8, &(0x40 + vector as u32).to_le_bytes());
    msix.write_table(at + 12, &control.to_le_bytes());
}

fn pending(msix: &Msix) -> u64 {
    let mut bits = [0; 8];
    msix.read_pending(0, &mut bits);
    u64::from_le_bytes(bits)
}

#[test]
fn a_vector_sends_the_message_that_the_guest_has_programmed() {
    let (msix, sent) = table();
    program(&msix, 2, 0);
    msix.set_control(ENABLE, true);
    msix.raise(2);
    assert_eq!(*sent.0.lock().unwrap(), [MsiMessage { address: 0xfee0_0002, data: 0x42 }]);
    assert_eq!(pending(&msix), 0);
}

#[test]
fn what_may_not_be_sent_stays_pending_and_goes_out_once() {
    let open: [fn(&Msix); 3] = [
        |msix| msix.write_table(ENTRY_SIZE + 12, &[0; 4]),
        |msix| msix.set_control(ENABLE, true),
        |msix| msix.set_control(ENABLE, true),
    ];
    let closed = [(MASKED, ENABLE, true), (0, ENABLE | FUNCTION_MASK, true), (0, ENABLE, false)];
    for ((control, message_control, bus_master), open) in closed.into_iter().zip(open) {
        let (msix, sent) = table();
        program(&msix, 1, control);
        msix.set_control(message_control, bus_master);
        msix.raise(1);
        msix.raise(1);
        assert_eq!((sent.0.lock().unwrap().len(), pending(&msix)), (0, 0b10));
        open(&msix);
        assert_eq!((sent.0.lock().unwrap().len(), pending(&msix)), (1, 0));
    }
}

#[test]
fn a_reset_masks_everything_and_forgets_what_was_pending() {
    let (msix, sent) = table();
    program(&msix, 0, 0);
    msix.raise(0);
    msix.reset();
    msix.set_control(ENABLE, true);
    msix.raise(0);
    let mut control = [0; 4];
    msix.read_table(12, &mut control);
    assert_eq!((sent.0.lock().unwrap().len(), u32::from_le_bytes(control)), (0, MASKED));
}

#[test]
fn vectors_that_do_not_exist_are_ignored() {
    let (msix, sent) = table();
    msix.set_control(ENABLE, true);
    msix.raise(4);
    msix.raise(u16::MAX);
    assert!(sent.0.lock().unwrap().is_empty());
}

proptest! {
    #[test]
    fn no_access_to_table_or_pending_bits_panics(
        accesses in prop::collection::vec(
            (prop_oneof![0u64..0x100, any::<u64>()], prop::collection::vec(any::<u8>(), 0..17)), 0..64),
    ) {
        let (msix, _) = table();
        msix.set_control(ENABLE, true);
        for (offset, mut data) in accesses {
            msix.write_table(offset, &data);
            msix.raise(offset as u16);
            msix.read_table(offset, &mut data);
            if !natural(offset, data.len()) {
                prop_assert!(data.iter().all(|byte| *byte == 0xff));
            }
            msix.read_pending(offset, &mut data);
        }
    }
}
