//! Conversions beside accesses: a device that reads, writes and walks on a thread of its own while the
//! guest converts the same pages.
//!
//! Whatever the device gets to see is not private, and what it writes lands in no private page; and
//! while it holds a transaction nothing changes. A subscriber looks from within each conversion.

use super::Script;
use super::guest::{Guest, MEMORY, assert_no_secret};
use crate::dma_gate::DmaGate;
use crate::page_state::{PAGE_SIZE, PageState, PageStateMap, Refused, Subscriber};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use vm_memory::{GuestAddress, GuestMemory, Permissions};

/// What a device writes.
const MARK: [u8; 2 * PAGE_SIZE as usize] = [0x3c; 2 * PAGE_SIZE as usize];
/// Bytes of a script that are one access.
const ACCESS: usize = 6;

/// A device's thread.
pub struct Racer {
    work: Sender<(Arc<DmaGate>, Vec<u8>)>,
    done: Receiver<()>,
}

/// What holds at each moment of a conversion.
struct Witness {
    pages: Arc<PageStateMap>,
    gate: Arc<DmaGate>,
}

impl Racer {
    /// A device without a guest.
    ///
    /// # Panics
    /// The kernel has no thread.
    pub fn new() -> Self {
        let (work, given) = channel::<(Arc<DmaGate>, Vec<u8>)>();
        let (say, done) = channel();
        let run = move || {
            while let Ok((gate, script)) = given.recv() {
                script.chunks(ACCESS).for_each(|access| once(&gate, &mut Script(access)));
                if say.send(()).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("racer".into()).spawn(run).expect("a thread");
        Self { work, done }
    }

    /// Lets the first half of a script convert while the second accesses.
    ///
    /// # Panics
    /// An access has reached what is private: a finding.
    pub fn run(&self, script: &[u8]) {
        let (conversions, accesses) = script.split_at(script.len() / 2);
        let guest = Guest::new();
        let gate = guest.gate();
        let witness = Witness { pages: guest.pages().clone(), gate: guest.gate() };
        guest.pages().subscribe(Arc::new(witness)).expect("a witness refuses nothing");
        self.work.send((gate.clone(), accesses.to_vec())).expect("the device lives");
        let mut script = Script(conversions);
        while let Some(how) = script.byte() {
            guest.convert_some(how, &mut script);
        }
        guest.check();
        self.done.recv().expect("the device lives");
        guest.check();
        guest.share_all();
        let before = gate.refusals();
        assert!(gate.read(0, &mut [0; PAGE_SIZE as usize]).is_ok());
        assert_eq!(gate.refusals(), before, "what is shared is refused");
    }
}

impl Default for Racer {
    fn default() -> Self {
        Self::new()
    }
}

/// One access: anywhere, of any length up to two pages.
fn once(gate: &DmaGate, script: &mut Script<'_>) {
    let how = script.or_zero();
    let near = script.little_endian(3) % (MEMORY + PAGE_SIZE);
    let address = if how & 0xf0 == 0xf0 { u64::MAX - near } else { near };
    let length = script.little_endian(2) as usize % (MARK.len() + 1);
    let before = gate.refusals();
    let passed = match how % 3 {
        0 => {
            let mut bytes = vec![0; length];
            let passed = gate.read(address, &mut bytes).is_ok();
            assert!(passed || bytes.iter().all(|byte| *byte == 0), "a refused read moves bytes");
            assert_no_secret(&bytes);
            passed
        }
        1 => gate.write(address, &MARK[..length]).is_ok(),
        _ => {
            let memory = gate.transaction();
            let (at, access) = (GuestAddress(address), Permissions::ReadWrite);
            let admitted = memory.check_range(at, length, access);
            thread::yield_now();
            assert_eq!(memory.check_range(at, length, access), admitted, "a page has changed");
            assert_eq!(memory.refused(), !admitted);
            admitted
        }
    };
    assert!(passed || gate.refusals() > before, "a refusal that is not counted");
}

impl Witness {
    fn reads(&self, range: &Range<u64>) -> bool {
        let mut byte = [0];
        let ends = [range.start, range.end - 1];
        let passed = ends.map(|address| self.gate.read(address, &mut byte).is_ok());
        assert_eq!(passed[0], passed[1], "a run of pages is in one state");
        passed[0]
    }
}

impl Subscriber for Witness {
    fn before_private(&self, range: Range<u64>) -> Result<(), Refused> {
        assert!(self.reads(&range), "not shared before it becomes private");
        Ok(())
    }

    fn after_private(&self, range: Range<u64>) {
        assert!(!self.reads(&range), "a device reads what is private");
        assert_eq!(self.pages.state(range.start), Some(PageState::Private));
    }

    fn after_shared(&self, range: Range<u64>) -> Result<(), Refused> {
        assert!(self.reads(&range), "a device does not read what is shared");
        assert_eq!(self.pages.state(range.start), Some(PageState::Shared));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn no_access_reaches_what_is_private(
            script in prop::collection::vec(any::<u8>(), 0..900),
        ) {
            Racer::new().run(&script);
        }
    }
}
