//! The channel's receiving end. Only the record that was sealed opens; the first that was not is
//! the end, and what it decrypts to is gone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_channel::{Binding, Direction, ExportMasterSecret, Opener, Sealer, TAG_SIZE};

/// Bytes in front of a record: number, address, length, outcome, tag.
const HEAD: usize = 8 + 8 + 4 + 4 + TAG_SIZE;

fuzz_target!(|data: &[u8]| {
    let secret = ExportMasterSecret::new([7; 48]);
    let mut sealer = Sealer::new(&secret, 1, Direction::GuestToGpu);
    let mut opener = Opener::new(&secret, 1, Direction::GuestToGpu);
    // What the sealer sends, one record after another, if the attacker asks for it.
    for step in data.chunks(HEAD + 16) {
        let (head, bytes) = step.split_at(HEAD.min(step.len()));
        let mut padded = [0; HEAD];
        padded[..head.len()].copy_from_slice(head);
        let word = |at: usize| u64::from_le_bytes(padded[at..at + 8].try_into().unwrap());
        let binding = Binding {
            hbm_address: word(8),
            length: word(16) as u32,
            outcome: (word(16) >> 32) as u32,
        };
        let mut buffer = bytes.to_vec();
        let (number, tag, genuine) = if padded[0] & 1 == 1 {
            let sealed = sealer.seal_in_place(&binding, &mut buffer).unwrap();
            // Some of them are changed on the way.
            let genuine = padded[1] & 1 == 0;
            let mut tag = sealed.tag;
            tag[usize::from(padded[2]) % TAG_SIZE] ^= u8::from(!genuine);
            (sealed.sequence, tag, genuine)
        } else {
            (word(0), padded[24..].try_into().unwrap(), false)
        };
        let (dead, due) = (opener.is_dead(), number == opener.sequence());
        let opened = opener.open_in_place(number, &binding, &tag, &mut buffer);
        assert_eq!(opened.is_ok(), genuine && due && !dead, "{opened:?}");
        match opened {
            Ok(()) => assert_eq!(buffer, bytes),
            Err(_) => {
                assert!(opener.is_dead());
                assert!(buffer.iter().all(|byte| *byte == 0), "left of a forged record");
            }
        }
    }
});
