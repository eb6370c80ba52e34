//! A hypervisor that answers, lies, or keeps still.

extern crate std;

use super::super::page::Ghcb;
use super::super::page_state::Header;
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

pub(crate) const GHCB: u64 = 1 << 20;
const GFN: u64 = GHCB / PAGE;

/// What a hypervisor does with requests in the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It answers.
    #[default]
    Honest,
    /// It answers, and changes each word as soon as it has been read.
    Fickle,
    /// It would like the guest to have an exception (#GP).
    Exception,
    /// It finds the request senseless.
    Malformed,
    /// It does nothing.
    Silent,
    /// It says that it is done and returns no register.
    Empty,
    /// Each word that is read is another, and means nothing.
    Noise(u64),
}

#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) manner: Manner,
    words: BTreeMap<usize, u64>,
    /// Words that have been read since the last exit.
    read: BTreeSet<usize>,
    /// Answers of the MSR protocol that are not what an honest one says.
    pub(crate) msr_answers: BTreeMap<u64, u64>,
    /// Everything written to the GHCB MSR.
    pub(crate) requests: Vec<u64>,
    /// SW_EXITCODE, SW_EXITINFO1, SW_EXITINFO2 of each request in the page.
    pub(crate) exits: Vec<[u64; 3]>,
    pub(crate) msrs: BTreeMap<u32, u64>,
    pub(crate) ports: BTreeMap<u16, u64>,
    pub(crate) memory: BTreeMap<u64, u64>,
    /// What went out by strings.
    pub(crate) text: Vec<u8>,
    /// Frames by what they were last asked to be.
    pub(crate) states: BTreeMap<u64, Operation>,
    /// At most so many entries of a page-state change are done, where that is said.
    pub(crate) most_entries: Option<u16>,
}

impl Fake {
    fn page(&self) -> Ghcb {
        let mut bytes = [0; PAGE_SIZE];
        for (at, word) in &self.words {
            bytes[*at..*at + 8].copy_from_slice(&word.to_le_bytes());
        }
        Ghcb::from_bytes(bytes)
    }

    fn exit(&mut self) {
        let mut page = self.page();
        assert_eq!((page.version(), page.usage()), (VERSION, 0));
        let field = |field| match self.manner {
            // It has changed what says that the field is there.
            Manner::Noise(_) => self.words[&(field as usize)],
            _ => page.get(field).expect("a field that every request has"),
        };
        let [code, one, two] = [Field::ExitCode, Field::ExitInfo1, Field::ExitInfo2].map(field);
        self.exits.push([code, one, two]);
        let outcome = match self.manner {
            Manner::Silent | Manner::Noise(_) => return,
            // #GP: vector 13, exception, error code, valid.
            Manner::Exception => (1, 0x8000_0b0d),
            Manner::Malformed => (2, 5),
            Manner::Empty => {
                page.clear_valid();
                (0, 0)
            }
            Manner::Honest | Manner::Fickle => (0, self.serve(&mut page, [code, one, two])),
        };
        page.set(Field::ExitInfo1, outcome.0);
        page.set(Field::ExitInfo2, outcome.1);
        for (at, word) in page.as_bytes().chunks_exact(8).enumerate() {
            self.words.insert(8 * at, u64::from_le_bytes(word.try_into().unwrap()));
        }
        self.read.clear();
    }

    /// An honest answer: SW_EXITINFO2.
    fn serve(&mut self, page: &mut Ghcb, [code, one, two]: [u64; 3]) -> u64 {
        let [rax, rcx, rdx, rbx, scratch] =
            [Field::Rax, Field::Rcx, Field::Rdx, Field::Rbx, Field::Scratch].map(|it| page.get(it));
        let buffer = |at: usize| page.as_bytes()[SHARED_BUFFER + at];
        let in_buffer = || assert_eq!(scratch, Some(GHCB + SHARED_BUFFER as u64));
        match code {
            vc::MSR if one == 1 => {
                let value = rdx.unwrap() << 32 | rax.unwrap();
                self.msrs.insert(rcx.unwrap() as u32, value);
            }
            vc::MSR => {
                let value = self.msrs.get(&(rcx.unwrap() as u32)).copied().unwrap_or_default();
                page.clear_valid();
                page.set(Field::Rax, value & 0xffff_ffff);
                page.set(Field::Rdx, value >> 32);
            }
            vc::IOIO if one & ioio::STRING != 0 => {
                in_buffer();
                assert_eq!(one & 0xffff & !0x70, 0x20c, "REP OUTS with 64-bit addresses");
                let length = (two * (one >> 4 & 7)) as usize;
                assert!(length <= SHARED_BUFFER_SIZE);
                let sent: Vec<u8> = (0..length).map(buffer).collect();
                self.text.extend(sent);
            }
            vc::IOIO if one & ioio::IN != 0 => {
                let value = self.ports.get(&((one >> 16) as u16)).copied().unwrap_or(u64::MAX);
                page.clear_valid();
                page.set(Field::Rax, value);
            }
            vc::IOIO => {
                self.ports.insert((one >> 16) as u16, rax.unwrap());
            }
            exit_code::MMIO_READ => {
                in_buffer();
                let value = self.memory.get(&one).copied().unwrap_or(u64::MAX);
                let mut bytes = *page.as_bytes();
                bytes[SHARED_BUFFER..][..8].copy_from_slice(&value.to_le_bytes());
                *page = Ghcb::from_bytes(bytes);
            }
            exit_code::MMIO_WRITE => {
                in_buffer();
                let value = (0..two as usize).map(|at| u64::from(buffer(at)) << (8 * at)).sum();
                self.memory.insert(one, value);
            }
            exit_code::PAGE_STATE_CHANGE => {
                in_buffer();
                let header = page.page_state_header().unwrap();
                let end = self.most_entries.map_or(header.end, |most| header.end.min(most - 1));
                for index in header.current..=end {
                    let entry = page.page_state_entry(index).unwrap();
                    self.states.insert(entry.gfn, entry.operation);
                }
                page.set_page_state_header(Header { current: end + 1, end: header.end });
            }
            exit_code::GUEST_REQUEST => return two,
            exit_code::EXTENDED_GUEST_REQUEST => return rax.unwrap() + rbx.unwrap(),
            _ => panic!("{code:#x}"),
        }
        0
    }
}

impl Hypervisor for Fake {
    fn exchange(&mut self, request: u64) -> u64 {
        self.requests.push(request);
        if let Some(answer) = self.msr_answers.get(&(request & 0xfff)) {
            return *answer;
        }
        let answer = match Request::decode(request).unwrap() {
            Request::Ghcb(address) => {
                assert_eq!(address, GHCB);
                self.exit();
                return request;
            }
            Request::SevInformation => {
                Response::SevInformation { maximum: 2, minimum: 1, c_bit: 63 }
            }
            Request::Features => Response::Features(Features::all()),
            Request::PageStateChange { gfn, operation } => {
                self.states.insert(gfn, operation);
                Response::PageStateChange(0)
            }
            Request::RegisterGhcb(gfn) => Response::RegisteredGhcb(Some(gfn)),
            _ => return request,
        };
        answer.encode()
    }

    fn read(&mut self, offset: usize) -> u64 {
        assert!(offset.is_multiple_of(8) && offset < PAGE_SIZE);
        if let Manner::Noise(seed) = &mut self.manner {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            return seed.rotate_right(29);
        }
        let word = self.words.entry(offset).or_default();
        if self.manner == Manner::Fickle && !self.read.insert(offset) {
            // Somebody on another processor.
            *word = !*word;
        }
        *word
    }

    fn write(&mut self, offset: usize, value: u64) {
        assert!(offset.is_multiple_of(8) && offset < PAGE_SIZE);
        self.words.insert(offset, value);
        self.read.remove(&offset);
    }
}

impl<H> Guest<H> {
    pub(crate) fn hypervisor(&mut self) -> &mut H {
        &mut self.hypervisor
    }
}

/// A guest whose GHCB is open, with a hypervisor of this manner.
pub(crate) fn open(manner: Manner) -> Guest<Fake> {
    let mut guest = Guest::new(Fake { manner, ..Fake::default() }, GHCB);
    guest.agree().unwrap();
    guest.open().unwrap();
    guest
}

#[test]
fn version_features_sharing_and_registration_come_in_this_order() {
    let mut guest = open(Manner::Honest);
    let share = Request::PageStateChange { gfn: GFN, operation: Operation::Shared };
    let expected = [Request::SevInformation, Request::Features, share, Request::RegisterGhcb(GFN)];
    assert_eq!(guest.hypervisor().requests, expected.map(Request::encode));
}

#[test]
fn a_hypervisor_that_offers_less_is_not_talked_to() {
    let information =
        |maximum, minimum| Response::SevInformation { maximum, minimum, c_bit: 51 }.encode();
    let registered = |gfn| Response::RegisteredGhcb(gfn).encode();
    for (info, answer, cause) in [
        (0x002, information(1, 1), Cause::ProtocolVersion),
        (0x002, information(4, 3), Cause::ProtocolVersion),
        (0x002, 0x002, Cause::ProtocolVersion),
        (0x080, Response::Features(Features::AP_CREATION).encode(), Cause::Features),
        (0x080, information(2, 1), Cause::Features),
        (0x014, Response::PageStateChange(1).encode(), Cause::PageStateChange),
        (0x014, 0, Cause::PageStateChange),
        (0x012, registered(None), Cause::RegisterGhcb),
        (0x012, registered(Some(GFN + 1)), Cause::RegisterGhcb),
    ] {
        let mut fake = Fake::default();
        fake.msr_answers.insert(info, answer);
        let mut guest = Guest::new(fake, GHCB);
        assert_eq!(guest.agree().and_then(|()| guest.open()), Err(cause), "{answer:#x}");
    }
}

#[test]
fn giving_up_says_why() {
    let mut guest = open(Manner::Honest);
    guest.terminate(Cause::Instruction);
    assert_eq!(guest.hypervisor().requests.last(), Some(&0x0001_8100));
}

#[test]
fn registers_ports_and_devices_are_asked_for_as_the_standard_says() {
    for manner in [Manner::Honest, Manner::Fickle] {
        let mut guest = open(manner);
        guest.write_msr(0x832, 0x1234_5678_9abc_def0).unwrap();
        assert_eq!(guest.read_msr(0x832), Ok(0x1234_5678_9abc_def0));
        guest.write_port(0x604, Size::Word, 0xdead_2000).unwrap();
        assert_eq!(guest.hypervisor().ports[&0x604], 0x2000, "no more than is written");
        assert_eq!(guest.read_port(0x604, Size::Double), Ok(0x2000));
        guest.write_memory(0xc000_0004, Size::Double, 0xffff_ffff_1234_5678).unwrap();
        assert_eq!(guest.hypervisor().memory[&0xc000_0004], 0x1234_5678);
        assert_eq!(guest.read_memory(0xc000_0004, Size::Word), Ok(0x5678), "no more than is read");
        assert_eq!(guest.read_memory(0xd000_0000, Size::Quad), Ok(u64::MAX));
        guest.put(0, u64::from_le_bytes(*b"a string"));
        guest.write_string(0x3f8, Size::Byte, 8).unwrap();
        assert_eq!(guest.hypervisor().text, b"a string");
        assert_eq!(
            guest.hypervisor().exits,
            [
                [0x7c, 1, 0],
                [0x7c, 0, 0],
                [0x7b, 0x0604_0020, 0],
                [0x7b, 0x0604_0041, 0],
                [0x8000_0002, 0xc000_0004, 4],
                [0x8000_0001, 0xc000_0004, 2],
                [0x8000_0001, 0xd000_0000, 8],
                [0x7b, 0x03f8_021c, 8],
            ]
        );
    }
}

#[test]
fn what_is_no_answer_is_not_taken_for_one() {
    for manner in [Manner::Exception, Manner::Malformed, Manner::Silent, Manner::Empty] {
        let mut guest = open(manner);
        assert_eq!(guest.read_msr(0x802), Err(Cause::Answer), "{manner:?}");
        assert_eq!(guest.read_port(0x3fd, Size::Byte), Err(Cause::Answer), "{manner:?}");
        assert!(!guest.convert(4 << 20, 2 << 20, Operation::Shared), "{manner:?}");
        if manner != Manner::Empty {
            let refused = Err(Cause::Answer);
            assert_eq!(guest.write_msr(0x802, 1), refused, "{manner:?}");
            assert_eq!(guest.write_port(0x3f8, Size::Byte, 1), refused, "{manner:?}");
            assert_eq!(guest.write_string(0x3f8, Size::Byte, 1), refused, "{manner:?}");
            let read = guest.read_memory(0xc000_0000, Size::Quad);
            assert_eq!(read.map(drop), refused, "{manner:?}");
            assert_eq!(guest.write_memory(0xc000_0000, Size::Quad, 1), refused, "{manner:?}");
            assert_eq!(guest.guest_request(4 << 20, 0), None, "{manner:?}");
        }
    }
}

#[test]
fn ranges_of_any_length_are_converted_and_half_of_one_is_a_failure() {
    let length = 300 * (2 << 20);
    for manner in [Manner::Honest, Manner::Fickle] {
        let mut guest = open(manner);
        assert!(guest.convert(1 << 30, length, Operation::Shared));
        let states = &guest.hypervisor().states;
        // The GHCB's own page is one.
        assert_eq!(states.len(), 301);
        assert!(states.values().all(|state| *state == Operation::Shared));
        assert!(guest.convert(1 << 30, length, Operation::Private));
        assert_eq!(guest.hypervisor().states[&(1 << 18)], Operation::Private);
        assert_eq!(guest.hypervisor().exits.len(), 4);
    }
    let mut guest = open(Manner::Honest);
    guest.hypervisor().most_entries = Some(5);
    assert!(!guest.convert(1 << 30, 6 * (2 << 20), Operation::Shared));
    assert!(guest.convert(1 << 30, 5 * (2 << 20), Operation::Shared));
}

#[test]
fn a_guest_message_names_its_pages() {
    let mut guest = open(Manner::Honest);
    assert_eq!(guest.guest_request(0x40_0000, 0), Some(0x40_1000));
    assert_eq!(guest.guest_request(0x40_0000, 4), Some(0x40_2000 + 4));
    let exits = &guest.hypervisor().exits;
    assert_eq!(exits[0], [0x8000_0011, 0x40_0000, 0x40_1000]);
    assert_eq!(exits[1], [0x8000_0012, 0x40_0000, 0x40_1000]);
}

#[test]
fn nothing_is_written_behind_the_buffer() {
    let mut guest = open(Manner::Honest);
    guest.put(SHARED_BUFFER_SIZE / 8, u64::MAX);
    guest.put(usize::MAX, u64::MAX);
    assert_eq!(guest.hypervisor().page().version(), VERSION);
}

proptest! {
    /// Whatever a hypervisor says by MSR, the guest agrees to this version with page states or to nothing.
    #[test]
    fn no_answer_of_the_msr_protocol_panics_or_convinces(version: u64, features: u64) {
        let mut fake = Fake::default();
        fake.msr_answers.insert(0x002, version);
        fake.msr_answers.insert(0x080, features);
        let agreed = Guest::new(fake, GHCB).agree().is_ok();
        let spoken = version & 0xfff == 1 && version >> 48 >= 2 && version >> 32 & 0xffff <= 2;
        prop_assert_eq!(agreed, spoken && features & 0x1fff == 0x1081);
    }
}
