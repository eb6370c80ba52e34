//! Conversions on a recording kernel that refuses one.

use super::*;
use crate::memory::Memory;
use crate::platform::snp::recorder::{Call, Recorder};
use ravelin_devices::page_state::{Error, PAGE_SIZE};
use std::os::unix::fs::FileExt;
use vm_memory::{Bytes, GuestAddress};

const REFUSAL: Refusal = Refusal { errno: libc::ENOMEM, firmware: None };
const AT: u64 = 0x3000;

fn memory(kind: VmType) -> (Arc<Recorder>, Memory) {
    let kernel = Arc::<Recorder>::default();
    #[allow(clippy::single_range_in_vec_init, reason = "one range of memory")]
    let memory = Memory::of_kernel(kernel.clone(), &[0..4 << 20], kind).unwrap();
    (kernel, memory)
}

fn private_byte(kernel: &Recorder) -> u8 {
    let mut byte = [0xff];
    kernel.guest_memfd(0).read_exact_at(&mut byte, AT).unwrap();
    byte[0]
}

#[test]
fn a_page_that_goes_shared_leaves_nothing_private_behind() {
    let (kernel, memory) = memory(VmType::Snp);
    kernel.guest_memfd(0).write_all_at(&[7], AT).unwrap();
    memory.pages().convert(AT, PAGE_SIZE, PageState::Shared).unwrap();
    assert_eq!(private_byte(&kernel), 0);
}

#[test]
fn a_page_that_kvm_does_not_make_shared_stays_private_with_all_that_is_on_it() {
    let (kernel, memory) = memory(VmType::Snp);
    kernel.guest_memfd(0).write_all_at(&[7], AT).unwrap();
    kernel.refuse_next(&[REFUSAL]);
    let refused = memory.pages().convert(AT, PAGE_SIZE, PageState::Shared);
    assert_eq!(refused, Err(Error::NotTaken { address: AT }));
    assert_eq!(memory.pages().state(AT), Some(PageState::Private));
    assert_eq!(private_byte(&kernel), 7);
    // KVM may have taken a part of it: it is told that all of it is private.
    let told = Call::Attributes { address: AT, bytes: PAGE_SIZE, attributes: 8 };
    assert_eq!(kernel.calls().last(), Some(&told));
    memory.pages().convert(AT, PAGE_SIZE, PageState::Shared).unwrap();
}

#[test]
fn a_page_that_kvm_does_not_make_private_stays_shared_with_all_that_is_on_it() {
    let (kernel, memory) = memory(VmType::SoftwareProtected);
    memory.shared().write_obj(7u8, GuestAddress(AT)).unwrap();
    kernel.refuse_next(&[REFUSAL]);
    let refused = memory.pages().convert(AT, PAGE_SIZE, PageState::Private);
    assert_eq!(refused, Err(Error::Held { address: AT }));
    assert_eq!(memory.pages().state(AT), Some(PageState::Shared));
    assert_eq!(memory.shared().read_obj::<u8>(GuestAddress(AT)).unwrap(), 7);
}

#[test]
fn a_page_that_kvm_neither_takes_nor_gives_back_counts_as_shared_until_it_is_told_again() {
    let (kernel, memory) = memory(VmType::Snp);
    kernel.refuse_next(&[REFUSAL; 2]);
    let refused = memory.pages().convert(AT, PAGE_SIZE, PageState::Shared);
    assert_eq!(refused, Err(Error::Held { address: AT }));
    assert_eq!(memory.pages().state(AT), Some(PageState::Shared));
    memory.tell_again(&(AT..AT + PAGE_SIZE), PageState::Shared).unwrap();
    let told = Call::Attributes { address: AT, bytes: PAGE_SIZE, attributes: 0 };
    assert_eq!(kernel.calls().last(), Some(&told));
}
