//! The mailbox's registers, as a guest that keeps no rules drives them.
//!
//! An object that comes out is as long as it says, and an answer is read back dword by dword.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_devices::pci::doe::{
    BUSY, CONTROL, ERROR, GO, Mailbox, READ_MAILBOX, READY, STATUS, WRITE_MAILBOX,
};

fuzz_target!(|data: &[u8]| {
    let mut mailbox = Mailbox::new();
    let mut waiting = None;
    let (steps, _) = data.as_chunks::<5>();
    for [kind, a, b, c, d] in steps {
        let value = u32::from_le_bytes([*a, *b, *c, *d]);
        let written = match kind % 8 {
            0 => mailbox.write(CONTROL, GO),
            1 => mailbox.write(CONTROL, value),
            2 => mailbox.write(READ_MAILBOX, value),
            3 => {
                if let Some(number) = waiting.take() {
                    mailbox.complete(number, &value.to_le_bytes()[..usize::from(kind / 8) % 5]);
                }
                None
            }
            4 => mailbox.write(value as u16, value >> 16),
            _ => mailbox.write(WRITE_MAILBOX, value),
        };
        if let Some(request) = written {
            let dwords = request.object.as_chunks::<4>().0;
            // The length has 18 bits; no input here is long enough for what 0 stands for.
            let length = u32::from_le_bytes(dwords[1]) & 0x3_ffff;
            assert_eq!(dwords.len(), length as usize);
            assert_eq!(mailbox.read(STATUS), BUSY);
            waiting = Some(request.number());
        }
        let status = mailbox.read(STATUS);
        assert!([0, BUSY, ERROR, READY].contains(&status), "two things at once: {status:#x}");
    }
});
