//! A kernel that records what it is asked and answers as it is told: what stands under the launch in
//! tests, since no machine that develops Ravelin has SNP.
//!
//! It takes what a real kernel would take and no more: what a structure must not have set is checked
//! here, by the rules of Documentation/virt/kvm/x86/amd-memory-encryption.rst, and the bytes that are
//! put in are read, to compute the launch digest that the sequence implies.

#![allow(unsafe_code)]

use super::kernel::{Command, Kernel, Refusal};
use kvm_bindings::{kvm_memory_attributes, kvm_userspace_memory_region2};
use ravelin_snp::ghcb::PAGE_SIZE;
use ravelin_snp::launch_digest::{LaunchDigest, PageType};
use ravelin_snp::vmsa;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

/// What was asked, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// `KVM_CREATE_GUEST_MEMFD`.
    GuestMemfd { bytes: u64 },
    /// `KVM_SET_USER_MEMORY_REGION2`.
    Region { slot: u32, flags: u32, address: u64, bytes: u64, memfd: bool, offset: u64 },
    /// `KVM_SET_MEMORY_ATTRIBUTES`.
    Attributes { address: u64, bytes: u64, attributes: u64 },
    /// `KVM_SEV_INIT2`.
    Init2 { vmsa_features: u64, flags: u32, ghcb_version: u16 },
    /// `KVM_SEV_SNP_ENABLE_REQ_CERTS`.
    EnableCertificates,
    /// `KVM_SEV_SNP_LAUNCH_START`.
    Start { policy: u64 },
    /// `KVM_SEV_SNP_LAUNCH_UPDATE`.
    Update { gfn: u64, bytes: u64, kind: u8, source: bool },
    /// `KVM_SEV_SNP_LAUNCH_FINISH`.
    Finish {
        id_block: Option<Vec<u8>>,
        id_auth: Option<Vec<u8>>,
        author: bool,
        host_data: [u8; 32],
    },
}

/// How an `LAUNCH_UPDATE` is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// So many pages are taken, and the call succeeds.
    Take(u64),
    /// So many pages are taken, and the call says to come again.
    Again(u64),
    /// Nothing is taken; the call fails.
    Refuse(Refusal),
    /// The kernel counts wrongly.
    Miscount,
    /// The AMD-SP refuses the CPUID page and writes this byte into it, at this offset.
    Correct(usize, u8),
}

/// The recording kernel.
#[derive(Default)]
pub(crate) struct Recorder {
    calls: Mutex<Vec<Call>>,
    /// Answers to updates, in order; where there is none, everything is taken.
    pub(crate) answers: Mutex<VecDeque<Answer>>,
    /// The calls, by their place in the order, that are refused.
    refused: Mutex<BTreeMap<usize, Refusal>>,
    memfds: Mutex<Vec<Arc<File>>>,
    digest: Mutex<LaunchDigest>,
    private: Mutex<BTreeSet<u64>>,
    populated: Mutex<BTreeSet<u64>>,
}

impl Recorder {
    /// What was asked.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Has a call refused, by its place in the order of all calls.
    pub(crate) fn refuse(&self, call: usize, refusal: Refusal) {
        self.refused.lock().unwrap().insert(call, refusal);
    }

    /// Has the next calls refused, whatever they are.
    pub(crate) fn refuse_next(&self, refusals: &[Refusal]) {
        let next = self.calls.lock().unwrap().len();
        (next..).zip(refusals).for_each(|(call, refusal)| self.refuse(call, *refusal));
    }

    /// A memfd that plays the guest_memfd of a slot.
    pub(crate) fn guest_memfd(&self, slot: usize) -> Arc<File> {
        self.memfds.lock().unwrap()[slot].clone()
    }

    /// The launch digest of what was put in, without the VMSAs, which KVM makes.
    pub(crate) fn digest(&self) -> [u8; 48] {
        self.digest.lock().unwrap().value()
    }

    /// The same with the states of vCPUs that KVM puts in at the end.
    pub(crate) fn digest_with(&self, vmsas: &[[u8; PAGE_SIZE]]) -> [u8; 48] {
        let mut digest = self.digest.lock().unwrap().clone();
        vmsas.iter().for_each(|vmsa| digest.update(PageType::Vmsa, vmsa::ADDRESS, vmsa));
        digest.value()
    }

    /// Notes a call; refuses it where it is the one that shall be.
    fn note(&self, call: Call) -> Result<(), Refusal> {
        let mut calls = self.calls.lock().unwrap();
        calls.push(call);
        match self.refused.lock().unwrap().get(&(calls.len() - 1)) {
            Some(refusal) => Err(*refusal),
            None => Ok(()),
        }
    }

    fn update(&self, update: &mut kvm_bindings::kvm_sev_snp_launch_update) -> Result<(), Refusal> {
        const INVALID: Refusal = Refusal { errno: libc::EINVAL, firmware: None };
        let page_size = PAGE_SIZE as u64;
        let kind = match update.type_ {
            1 => PageType::Normal,
            3 => PageType::Zero,
            4 => PageType::Unmeasured,
            5 => PageType::Secrets,
            6 => PageType::Cpuid,
            _ => return Err(INVALID),
        };
        let source = update.uaddr != 0;
        if update.len == 0
            || !update.len.is_multiple_of(page_size)
            || !update.uaddr.is_multiple_of(page_size)
            || (update.flags, update.pad0, update.pad1, update.pad2) != (0, 0, 0, [0; 4])
            || source == (kind == PageType::Zero)
        {
            return Err(INVALID);
        }
        let all = update.len / page_size;
        let (taken, result) = match self.answers.lock().unwrap().pop_front() {
            None => (all, Ok(())),
            Some(Answer::Take(pages)) => (pages, Ok(())),
            Some(Answer::Again(pages)) => {
                (pages, Err(Refusal { errno: libc::EAGAIN, firmware: None }))
            }
            Some(Answer::Refuse(refusal)) => (0, Err(refusal)),
            Some(Answer::Miscount) => {
                update.gfn_start += 1;
                return Ok(());
            }
            Some(Answer::Correct(offset, byte)) => {
                // SAFETY: a launch gives the address of a page that it owns and may be written.
                unsafe { *(update.uaddr as *mut u8).add(offset) = byte };
                (0, Err(Refusal { errno: libc::EIO, firmware: Some(0x16) }))
            }
        };
        for _ in 0..taken.min(all) {
            let address = update.gfn_start * page_size;
            if !self.private.lock().unwrap().contains(&address) {
                return Err(INVALID);
            }
            if !self.populated.lock().unwrap().insert(address) {
                return Err(Refusal { errno: libc::EEXIST, firmware: None });
            }
            let mut page = [0; PAGE_SIZE];
            if source {
                // SAFETY: as above; the page is the launch's and nobody writes it meanwhile.
                unsafe { page = *(update.uaddr as *const [u8; PAGE_SIZE]) };
                update.uaddr += page_size;
            }
            self.digest.lock().unwrap().update(kind, address, &page);
            update.gfn_start += 1;
            update.len -= page_size;
        }
        result
    }
}

impl Kernel for Recorder {
    fn create_guest_memfd(&self, bytes: u64) -> Result<OwnedFd, Refusal> {
        self.note(Call::GuestMemfd { bytes })?;
        let file = memfd_create("guest_memfd", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, bytes).unwrap();
        self.memfds.lock().unwrap().push(Arc::new(file.try_clone().unwrap().into()));
        Ok(file)
    }

    unsafe fn set_region(&self, region: &kvm_userspace_memory_region2) -> Result<(), Refusal> {
        assert_eq!((region.pad1, region.pad2), (0, [0; 14]));
        self.note(Call::Region {
            slot: region.slot,
            flags: region.flags,
            address: region.guest_phys_addr,
            bytes: region.memory_size,
            memfd: region.guest_memfd != 0,
            offset: region.guest_memfd_offset,
        })
    }

    fn set_attributes(&self, attributes: &kvm_memory_attributes) -> Result<(), Refusal> {
        assert_eq!(attributes.flags, 0);
        let kvm_memory_attributes { address, size: bytes, attributes, .. } = *attributes;
        self.note(Call::Attributes { address, bytes, attributes })?;
        let pages = (address..address + bytes).step_by(PAGE_SIZE);
        let mut private = self.private.lock().unwrap();
        match attributes {
            0 => private.retain(|page| !(address..address + bytes).contains(page)),
            _ => private.extend(pages),
        }
        Ok(())
    }

    fn sev(&self, command: Command<'_>, sev: BorrowedFd<'_>) -> Result<(), Refusal> {
        assert!(sev.as_raw_fd() >= 0);
        match command {
            Command::Init2(init) => {
                assert_eq!((init.pad1, init.pad2), (0, [0; 8]));
                self.note(Call::Init2 {
                    vmsa_features: init.vmsa_features,
                    flags: init.flags,
                    ghcb_version: init.ghcb_version,
                })
            }
            Command::EnableRequestCertificates => self.note(Call::EnableCertificates),
            Command::LaunchStart(start) => {
                assert_eq!((start.gosvw, start.flags), ([0; 16], 0));
                assert_eq!((start.pad0, start.pad1), ([0; 6], [0; 4]));
                self.note(Call::Start { policy: start.policy })
            }
            Command::LaunchUpdate(update) => {
                let (gfn, bytes, kind) = (update.gfn_start, update.len, update.type_);
                self.note(Call::Update { gfn, bytes, kind, source: update.uaddr != 0 })?;
                self.update(update)
            }
            Command::LaunchFinish(finish) => {
                assert_eq!((finish.flags, finish.vcek_disabled), (0, 0));
                assert_eq!((finish.pad0, finish.pad1), ([0; 3], [0; 4]));
                let read = |address: u64, length| {
                    // SAFETY: a launch gives the address of a block of that length.
                    unsafe { std::slice::from_raw_parts(address as *const u8, length) }.to_vec()
                };
                let with = finish.id_block_en == 1;
                self.note(Call::Finish {
                    id_block: with.then(|| read(finish.id_block_uaddr, 96)),
                    id_auth: with.then(|| read(finish.id_auth_uaddr, 4096)),
                    author: finish.auth_key_en == 1,
                    host_data: finish.host_data,
                })
            }
        }
    }
}
