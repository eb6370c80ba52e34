#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn capture(link: LinkType, payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, link).unwrap();
    payloads.iter().for_each(|payload| writer.add(payload).unwrap());
    file
}

fn word(file: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(file[at..at + 4].try_into().unwrap())
}

#[test]
fn a_file_has_the_headers_that_spdm_dump_asks_for() {
    for (link, number, before) in
        [(LinkType::Doe, 292, &[][..]), (LinkType::Mctp, 291, &[0, 0, 0, 0xc0][..])]
    {
        let file = capture(link, &[vec![5, 0x10, 0x84, 0, 0]]);
        assert_eq!(word(&file, 0), 0xa1b2_c3d4);
        assert_eq!((word(&file, 16), word(&file, 20)), (SNAP_LENGTH, number));
        assert_eq!(word(&file, 32) as usize, before.len() + 5);
        assert_eq!(file[40..], [before, &[5, 0x10, 0x84, 0, 0]].concat());
    }
}

#[test]
fn a_packet_too_long_for_spdm_dump_is_cut_and_its_length_told() {
    let file = capture(LinkType::Doe, &[vec![7; 0x1_0004]]);
    assert_eq!((word(&file, 32), word(&file, 36)), (0x1_0000, 0x1_0004));
}

#[test]
fn a_capture_of_something_else_is_refused() {
    let file = capture(LinkType::Mctp, &[vec![5]]);
    let mut ethernet = file.clone();
    ethernet[20..24].copy_from_slice(&1_u32.to_le_bytes());
    assert!(matches!(read(ethernet.as_slice()), Err(Error::LinkType(1))));
    let mut fragment = file.clone();
    fragment[43] = 0x80;
    assert!(matches!(read(fragment.as_slice()), Err(Error::NotWhole(0))));
    assert!(matches!(read(&file[..30]), Err(Error::Pcap(_))));
    assert!(matches!(read(&b"not a capture at all, this"[..]), Err(Error::Pcap(_))));
}

proptest! {
    #[test]
    fn what_is_captured_is_read_again(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..99), 0..9),
    ) {
        for link in [LinkType::Plain, LinkType::Mctp, LinkType::Doe] {
            let file = capture(link, &payloads);
            prop_assert_eq!(read(file.as_slice()).unwrap(), (link, payloads.clone()));
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(bytes.as_slice());
        let framed = [&capture(LinkType::Mctp, &[])[..], &bytes].concat();
        let _ = read(framed.as_slice());
    }
}
