//! What a guest asks whose private memory is the kernel's: KVM has read its GHCB, and comes here for
//! what is the VMM's to decide.
//!
//! Conversions end in the page-state map, as everybody's do; a page that the guest touches on the
//! other side than it is on is one more way of asking. Certificates come from
//! [`Certificates`]. Nothing that the guest says is believed: addresses are looked up in the map.

// The structure of an exit that kvm-ioctls does not know is read from `kvm_run`.
#![allow(unsafe_code)]

use super::Exit;
use crate::memory::Memory;
use crate::platform::conversions::Hypercalls;
use crate::platform::snp::certificates::{Answer, Certificates};
use kvm_bindings::{KVM_MEMORY_EXIT_FLAG_PRIVATE, kvm_run};
use ravelin_devices::page_state::{PAGE_SIZE, PageState};
use ravelin_snp::ghcb::protocol::Request;
use std::ptr;
use std::sync::Arc;

/// `KVM_EXIT_SNP_REQ_CERTS` (Linux 7.0), which kvm-bindings does not have.
pub(crate) const EXIT_SNP_REQ_CERTS: u32 = 43;
/// How often a guest may fault in a row where map and guest agree, before its end.
const PATIENCE: u32 = 16;

/// `struct kvm_exit_snp_req_certs`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestCertificates {
    /// Guest-physical address of the place for them.
    pub(crate) gpa: u64,
    /// Pages of the place; where they are too few, pages that it takes.
    pub(crate) npages: u64,
    /// 0, or an error number.
    pub(crate) ret: u64,
}

/// One vCPU's way to ask.
pub(crate) struct Confidential {
    memory: Arc<Memory>,
    hypercalls: Arc<Hypercalls>,
    certificates: Arc<Certificates>,
    /// The page of the last fault that changed nothing, and how often it came in a row.
    stuck: (u64, u32),
}

impl Confidential {
    pub(crate) fn new(
        memory: Arc<Memory>,
        hypercalls: Arc<Hypercalls>,
        certificates: Arc<Certificates>,
    ) -> Self {
        Self { memory, hypercalls, certificates, stuck: (0, 0) }
    }

    /// Serves a hypercall; what is returned goes into RAX.
    pub(super) fn hypercall(&self, number: u64, arguments: [u64; 6]) -> u64 {
        self.hypercalls.serve(number, arguments)
    }

    /// The guest has touched a page on the side that it is not on, which converts it. Whether it can
    /// go on.
    pub(super) fn fault(&mut self, flags: u64, address: u64, length: u64) -> bool {
        let to = match flags & u64::from(KVM_MEMORY_EXIT_FLAG_PRIVATE) {
            0 => PageState::Shared,
            _ => PageState::Private,
        };
        let start = address & !(PAGE_SIZE - 1);
        let Some(end) = address
            .checked_add(length.max(1))
            .and_then(|end| end.checked_next_multiple_of(PAGE_SIZE))
        else {
            return false;
        };
        match self.hypercalls.implicit(start, end - start, to) {
            None => false,
            Some(0) => {
                // Map and guest agree, KVM does not: it refused when it was told, or another vCPU has
                // been faster.
                self.stuck = match self.stuck {
                    (page, times) if page == start => (page, times + 1),
                    _ => (start, 1),
                };
                let told = self.memory.tell_again(&(start..end), to);
                told.inspect_err(|error| tracing::warn!(%error, start, "page state not applied"))
                    .is_ok()
                    && self.stuck.1 < PATIENCE
            }
            Some(_) => {
                self.stuck = (0, 0);
                true
            }
        }
    }

    /// The guest wants the certificates of its report's key.
    pub(super) fn certificates(&self, run: &mut kvm_run) {
        let place: *mut RequestCertificates = ptr::from_mut(&mut run.__bindgen_anon_1).cast();
        // SAFETY: the exit reason says that this member of the union is the one in use, and
        // `platform::snp::headers` that it begins where the union does.
        let mut request = unsafe { place.read() };
        let answer = self.certificates.give(&self.memory, request.gpa, request.npages);
        request.ret = match answer {
            Answer::Given => 0,
            Answer::TooFewPages(needed) => {
                request.npages = needed;
                libc::ENOSPC as u64
            }
            Answer::Failed => libc::EIO as u64,
        };
        // SAFETY: as above.
        unsafe { place.write(request) };
    }
}

/// Why a guest has ended by KVM's event `KVM_SYSTEM_EVENT_SEV_TERM`, whose data is the value of the
/// guest's GHCB MSR.
pub(super) fn terminated(data: &[u64]) -> Exit {
    let value = data.first().copied().unwrap_or_default();
    match Request::decode(value) {
        Some(Request::Terminate { set, reason }) => Exit::Terminated { set, reason },
        // Reserved bits are set: what the standard has in its places is all the same what there is.
        _ => Exit::Terminated { set: (value >> 12 & 0xf) as u8, reason: (value >> 16) as u8 },
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "ranges of memory")]
mod tests {
    use super::*;
    use crate::memory::VmType;
    use crate::platform::conversions::ConversionLog;
    use crate::platform::snp::kernel::Refusal;
    use crate::platform::snp::recorder::{Call, Recorder};
    use vm_memory::{Bytes, GuestAddress};

    const PRIVATE: u64 = KVM_MEMORY_EXIT_FLAG_PRIVATE as u64;
    const END: u64 = 4 << 20;
    const NO_MEMORY: Refusal = Refusal { errno: libc::ENOMEM, firmware: None };

    fn guest(kind: VmType) -> (Arc<Recorder>, Arc<Memory>, Confidential) {
        let kernel = Arc::<Recorder>::default();
        let memory = Arc::new(Memory::of_kernel(kernel.clone(), &[0..END], kind).unwrap());
        let log = Arc::<ConversionLog>::default();
        let hypercalls = Arc::new(Hypercalls::of_kernel(memory.clone(), log));
        let guest = Confidential::new(memory.clone(), hypercalls, Arc::default());
        (kernel, memory, guest)
    }

    fn attributes(address: u64, pages: u64, attributes: u64) -> Call {
        Call::Attributes { address, bytes: pages * PAGE_SIZE, attributes }
    }

    #[test]
    fn a_hypercall_changes_the_map_and_kvms_attributes_alike() {
        let (kernel, memory, guest) = guest(VmType::Snp);
        let before = kernel.calls().len();
        assert_eq!(guest.hypercall(12, [0x3000, 2, 0, 0, 0, 0]), 0);
        assert_eq!(memory.pages().shared_ranges(), [0x3000..0x5000]);
        assert_eq!(guest.hypercall(12, [0x3000, 1, 1 << 4, 0, 0, 0]), 0);
        assert_eq!(memory.pages().shared_ranges(), [0x4000..0x5000]);
        assert_eq!(kernel.calls()[before..], [attributes(0x3000, 2, 0), attributes(0x3000, 1, 8)]);
    }

    #[test]
    fn a_conversion_that_kvm_refuses_is_refused_to_the_guest() {
        for (kind, before, attributes) in [
            (VmType::SoftwareProtected, PageState::Shared, 1 << 4),
            (VmType::Snp, PageState::Private, 0),
        ] {
            let (kernel, memory, guest) = guest(kind);
            kernel.refuse_next(&[NO_MEMORY]);
            assert_ne!(guest.hypercall(12, [0x3000, 1, attributes, 0, 0, 0]), 0);
            assert_eq!(memory.pages().state(0x3000), Some(before), "nothing has changed");
            assert_eq!(guest.hypercall(12, [0x3000, 1, attributes, 0, 0, 0]), 0, "once more");
        }
    }

    #[test]
    fn a_fault_that_kvm_refuses_to_convert_ends_the_guest() {
        let (kernel, memory, mut guest) = guest(VmType::Snp);
        kernel.refuse_next(&[NO_MEMORY]);
        assert!(!guest.fault(0, 0x3000, 8));
        assert_eq!(memory.pages().state(0x3000), Some(PageState::Private));
    }

    #[test]
    fn hypercalls_that_make_no_sense_are_refused_and_change_nothing() {
        let (_, memory, guest) = guest(VmType::Snp);
        for (address, pages) in [(END, 1), (1, 1), (0, 0), (0, u64::MAX), (END - PAGE_SIZE, 2)] {
            assert_ne!(guest.hypercall(12, [address, pages, 0, 0, 0, 0]), 0, "{address:#x}");
        }
        assert_eq!(memory.pages().shared_pages(), 0);
    }

    #[test]
    fn a_fault_converts_the_pages_that_it_touches() {
        let (kernel, memory, mut guest) = guest(VmType::Snp);
        let before = kernel.calls().len();
        assert!(guest.fault(0, 0x3ff8, 16));
        assert_eq!(memory.pages().shared_ranges(), [0x3000..0x5000]);
        assert!(guest.fault(PRIVATE, 0x3000, 0x1000));
        assert_eq!(memory.pages().shared_ranges(), [0x4000..0x5000]);
        assert_eq!(kernel.calls()[before..], [attributes(0x3000, 2, 0), attributes(0x3000, 1, 8)]);
    }

    #[test]
    fn a_fault_outside_of_memory_ends_the_guest() {
        let (_, memory, mut guest) = guest(VmType::Snp);
        for (address, length) in [(END, 8), (END - 8, 16), (u64::MAX - 8, 8), (0, u64::MAX)] {
            assert!(!guest.fault(0, address, length), "{address:#x}");
        }
        assert_eq!(memory.pages().shared_pages(), 0);
    }

    #[test]
    fn a_page_that_kvm_did_not_take_is_told_again_and_not_for_ever() {
        let (kernel, memory, mut guest) = guest(VmType::Snp);
        // Neither the conversion nor the way back.
        kernel.refuse_next(&[NO_MEMORY; 2]);
        assert_ne!(guest.hypercall(12, [0x3000, 1, 0, 0, 0, 0]), 0);
        assert_eq!(memory.pages().state(0x3000), Some(PageState::Shared));
        assert!(guest.fault(0, 0x3000, 8));
        assert_eq!(kernel.calls().last(), Some(&attributes(0x3000, 1, 0)));
        let survived = (0..1000).take_while(|_| guest.fault(0, 0x3000, 8)).count();
        assert!(survived < 1000, "a guest that faults for ever");
    }

    #[test]
    fn the_reason_of_a_termination_is_kept() {
        let of = |data: &[u64]| terminated(data);
        assert_eq!(of(&[0x0002_1100]), Exit::Terminated { set: 1, reason: 2 });
        assert_eq!(of(&[0xdead_0000_0003_1100]), Exit::Terminated { set: 1, reason: 3 });
        assert_eq!(of(&[]), Exit::Terminated { set: 0, reason: 0 });
    }

    #[test]
    fn certificates_are_answered_in_kvms_own_structure() {
        let (_, memory, guest) = guest(VmType::SoftwareProtected);
        memory.shared().write_slice(&[0xff; 4096], GuestAddress(0x3000)).unwrap();
        let mut run = kvm_run::default();
        let ask = |run: &mut kvm_run, gpa, npages| {
            let place: *mut RequestCertificates = ptr::from_mut(&mut run.__bindgen_anon_1).cast();
            // SAFETY: the union has room for it.
            unsafe { place.write(RequestCertificates { gpa, npages, ret: 0 }) };
            guest.certificates(run);
            // SAFETY: as above.
            let answer = unsafe { place.read() };
            (answer.npages, answer.ret)
        };
        assert_eq!(ask(&mut run, 0x3000, 1), (1, 0));
        let first: u64 = memory.shared().read_obj(GuestAddress(0x3000)).unwrap();
        assert_eq!(first, 0, "an empty table");
        assert_eq!(ask(&mut run, END, 1), (1, libc::EIO as u64));
    }
}
