//! The built-in guest's #VC handler, in a guest that runs: a hypervisor that raises #VC where SNP's processors
//! would, answers what comes through the GHCB, and makes exceptions up.
//!
//! Nothing here has SNP. The guest is one of platform `emulated`; its probe `exits` makes an exit before
//! each instruction that SNP would leave to it, and there this host does by hand what the processor does
//! for an exception: gate, stack, frame. What is never executed are VMGEXIT and PVALIDATE.

use super::{Encryption, Exit, MsrOutcome, Vcpu};
use crate::boot::image;
use crate::memory::Pages;
use crate::platform::Platform;
use crate::vm::{Builtin, Guest, Vm, VmConfig};
use kvm_bindings::{kvm_regs, kvm_segment};
use kvm_ioctls::VcpuExit;
use ravelin_devices::serial::{COM1, COM2};
use ravelin_snp::cpuid::page::{CpuidPage, Function};
use ravelin_snp::ghcb::page::{Field, Ghcb, SHARED_BUFFER, exit_code, ioio};
use ravelin_snp::ghcb::termination::find;
use ravelin_snp::msr;
use ravelin_snp::vc::exit_code as vc;
use std::collections::BTreeMap;
use std::sync::Arc;
use vm_memory::{Bytes, GuestAddress};

const PORT: u16 = 0x3fc;
const POWER: u16 = 0x604;
const DEVICE: u64 = 0xd000_0000;
const CPUID_PAGE: u64 = 0xc000;
const GHCB: u64 = 1 << 20;
/// An invalid page (APM volume 2, appendix C).
const PAGE_NOT_VALIDATED: u64 = 0x404;

/// The exit code that belongs to a marker of the probe's; none where no #VC is due.
fn due(marker: u8) -> Option<u64> {
    match marker {
        1 | 0xd => Some(vc::CPUID),
        2 => Some(vc::IOIO),
        3 => Some(vc::NESTED_PAGE_FAULT),
        _ => None,
    }
}

/// When the host does something else than it should.
type Mischief = fn(&mut Host, Moment) -> Deed;

/// Something that the guest has just done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// A marker.
    Marker(u8),
    /// It reads an MSR that is the platform's; nothing has been done about it.
    ReadMsr(u32),
    /// It makes a request of this SW_EXITCODE in its GHCB; nothing has been done about it.
    Request(u64),
}

/// What the host does about it.
enum Deed {
    /// What it should.
    Duty,
    /// It raises #VC with this code at the instruction that the guest is at, or behind the marker.
    Raise(u64),
    /// It wants the guest to have an exception.
    Answer(u64, u64),
    /// It has seen enough.
    Enough,
}

struct Host {
    vm: Vm,
    vcpu: Vcpu,
    mischief: Mischief,
    console: Vec<u8>,
    report: Vec<u8>,
    /// What went to [`PORT`] by a string through the GHCB.
    text: Vec<u8>,
    device: BTreeMap<u64, u64>,
    /// SW_EXITCODE, SW_EXITINFO1, SW_EXITINFO2 of each request but conversions and guest messages.
    requests: Vec<[u64; 3]>,
    raised: usize,
}

impl Host {
    fn new(mischief: Mischief) -> Host {
        let guest = Guest::Builtin(Builtin {
            image: image::BUILTIN,
            parameters: format!("workload=probe probe=exits device={DEVICE}"),
            hints: String::new(),
            host_data: [0; 32],
            payload: Vec::new(),
        });
        let (platform, certificates) = (Platform::Emulated, Arc::default());
        let config = VmConfig {
            platform,
            memory: 64 << 20,
            pages: Pages::Any,
            cpus: 1,
            guest,
            certificates,
        };
        let mut vm = Vm::new(config).unwrap();
        // On SNP the launch puts it there.
        let function =
            |leaf, subleaf, registers| Function { leaf, subleaf, registers, ..Function::default() };
        let page = CpuidPage::new(&[
            function(1, 0, [0x111, 0x222, 0x333, 0x444]),
            function(0xd, 0, [7, 9, 0x340, 0]),
            function(0xd, 2, [0x100, 0x240, 0, 0]),
            // AVX-512, which the guest turns on where there is one; made to need no more room.
            function(0xd, 5, [0x40, 0x300, 0, 0]),
            function(0xd, 6, [0x40, 0x300, 0, 0]),
            function(0xd, 7, [0x40, 0x300, 0, 0]),
        ]);
        let at = GuestAddress(CPUID_PAGE);
        vm.memory().private().write_slice(page.unwrap().as_bytes(), at).unwrap();
        Host {
            vcpu: vm.take_vcpu(),
            vm,
            mischief,
            console: Vec::new(),
            report: Vec::new(),
            text: Vec::new(),
            device: BTreeMap::from([(DEVICE + 4, 0xffee_ddcc_bbaa_9988)]),
            requests: Vec::new(),
            raised: 0,
        }
    }

    fn console(&self) -> &str {
        std::str::from_utf8(&self.console).unwrap()
    }

    /// Runs the guest to its end, or until it is enough.
    fn run(&mut self) -> Option<Exit> {
        loop {
            let moment = match self.vcpu.fd.run() {
                Ok(VcpuExit::IoOut(PORT, &[marker])) => Moment::Marker(marker),
                Ok(VcpuExit::IoOut(port, data)) => {
                    match u64::from(port) {
                        COM1 => self.console.extend(data),
                        COM2 => self.report.extend(data),
                        _ if port == POWER => return Some(Exit::PowerOff),
                        _ => panic!("a write to port {port:#x}"),
                    }
                    continue;
                }
                Ok(VcpuExit::X86Rdmsr(access)) => Moment::ReadMsr(access.index),
                Ok(VcpuExit::X86Wrmsr(access)) if access.index == msr::GHCB => match access.data {
                    GHCB => Moment::Request(self.ghcb(GHCB).0),
                    request => match self.protocol(request) {
                        MsrOutcome::Terminated(set, reason) => {
                            return Some(Exit::Terminated { set, reason });
                        }
                        _ => continue,
                    },
                },
                Ok(exit) => panic!("{exit:?}"),
                Err(error) if [libc::EINTR, libc::EAGAIN].contains(&error.errno()) => continue,
                Err(error) => panic!("{error}"),
            };
            match ((self.mischief)(self, moment), moment) {
                (Deed::Enough, _) => return None,
                (Deed::Raise(code), moment) => self.raise_at(moment, code),
                (Deed::Answer(one, two), Moment::Request(_)) => self.answer(one, two),
                (Deed::Answer(..), moment) => panic!("no answer to {moment:?}"),
                (Deed::Duty, Moment::Marker(marker)) => {
                    if let Some(code) = due(marker) {
                        self.raise_at(moment, code);
                    }
                }
                (Deed::Duty, Moment::ReadMsr(index)) => self.read_msr(index),
                (Deed::Duty, Moment::Request(_)) => self.serve(),
            }
        }
    }

    fn encryption(&mut self) -> &mut Encryption {
        self.vcpu.encryption.as_mut().unwrap()
    }

    fn protocol(&mut self, request: u64) -> MsrOutcome {
        self.encryption().write_msr(msr::GHCB, request)
    }

    fn read_msr(&mut self, index: u32) {
        let value = self.encryption().read_msr(index).unwrap();
        let run = self.vcpu.fd.get_kvm_run();
        run.__bindgen_anon_1.msr.data = value;
    }

    /// SW_EXITCODE, and the page, of the GHCB at this address.
    fn ghcb(&self, address: u64) -> (u64, Ghcb) {
        let mut bytes = [0; 4096];
        self.vm.memory().shared().read_slice(&mut bytes, GuestAddress(address)).unwrap();
        let page = Ghcb::from_bytes(bytes);
        (page.get(Field::ExitCode).unwrap(), page)
    }

    /// Answers the request in the page with these two words alone.
    fn answer(&mut self, one: u64, two: u64) {
        let (_, mut page) = self.ghcb(GHCB);
        page.clear_valid();
        page.set(Field::ExitInfo1, one);
        page.set(Field::ExitInfo2, two);
        self.put(&page);
    }

    fn put(&mut self, page: &Ghcb) {
        let at = GuestAddress(GHCB);
        self.vm.memory().shared().write_slice(page.as_bytes(), at).unwrap();
    }

    /// Does what the guest asks for: the platform does what it does anyway, and this host the rest.
    fn serve(&mut self) {
        let (code, mut page) = self.ghcb(GHCB);
        if !matches!(code, vc::MSR | vc::IOIO | exit_code::MMIO_READ | exit_code::MMIO_WRITE) {
            assert_eq!(self.protocol(GHCB), MsrOutcome::Done);
            return;
        }
        let [one, two] = [Field::ExitInfo1, Field::ExitInfo2].map(|it| page.get(it).unwrap());
        self.requests.push([code, one, two]);
        let rax = page.get(Field::Rax);
        if code != vc::MSR && (code != vc::IOIO || one & ioio::STRING != 0) {
            assert_eq!(page.get(Field::Scratch), Some(GHCB + SHARED_BUFFER as u64));
        }
        let mut bytes = *page.as_bytes();
        let buffer = &mut bytes[SHARED_BUFFER..][..2032];
        match code {
            vc::IOIO if one & ioio::STRING != 0 => self.text.extend(&buffer[..two as usize]),
            exit_code::MMIO_WRITE => {
                let value = buffer[..two as usize].iter().rev();
                let value = value.fold(0, |value, byte| value << 8 | u64::from(*byte));
                self.device.insert(one, value);
            }
            exit_code::MMIO_READ => {
                let value = self.device.get(&one).copied().unwrap_or(u64::MAX);
                buffer[..8].copy_from_slice(&value.to_le_bytes());
            }
            _ => {}
        }
        page = Ghcb::from_bytes(bytes);
        page.clear_valid();
        page.set(Field::ExitInfo1, 0);
        page.set(Field::ExitInfo2, 0);
        match (code, one & ioio::IN) {
            (vc::IOIO, ioio::IN) => page.set(Field::Rax, 0x0a0b_0c0d),
            (vc::MSR, 0) => page.set(Field::Rax, 0x1234),
            _ => assert!(code != vc::IOIO || rax.is_some() || one & ioio::STRING != 0),
        }
        self.put(&page);
    }

    /// Raises #VC at the instruction of this moment, which is not executed, or behind its marker.
    fn raise_at(&mut self, moment: Moment, code: u64) {
        let before = self.vcpu.fd.get_regs().unwrap();
        // KVM ends the instruction first.
        self.vcpu.fd.set_kvm_immediate_exit(1);
        let ended = self.vcpu.fd.run().map(drop).unwrap_err();
        assert_eq!(ended.errno(), libc::EINTR);
        self.vcpu.fd.set_kvm_immediate_exit(0);
        let registers = match moment {
            Moment::Marker(_) => self.vcpu.fd.get_regs().unwrap(),
            Moment::ReadMsr(_) | Moment::Request(_) => before,
        };
        self.raise(registers, code);
    }

    /// What the processor does for #VC (APM volume 2, 8.9.3).
    fn raise(&mut self, mut registers: kvm_regs, code: u64) {
        self.raised += 1;
        let mut special = self.vcpu.fd.get_sregs().unwrap();
        let memory = self.vm.memory().private();
        let word = |at: u64| memory.read_obj::<u64>(GuestAddress(at)).unwrap();
        let gate = word(special.idt.base + 29 * 16);
        let high = word(special.idt.base + 29 * 16 + 8);
        let stack = gate >> 32 & 7;
        assert_ne!(stack, 0, "a stack of its own");
        // The first of those stacks is at offset 36.
        let top = word(special.tr.base + 36 + 8 * (stack - 1)) & !0xf;
        let frame = [
            code,
            registers.rip,
            special.cs.selector.into(),
            registers.rflags,
            registers.rsp,
            special.ss.selector.into(),
        ];
        registers.rsp = top - size_of_val(&frame) as u64;
        memory.write_obj(frame, GuestAddress(registers.rsp)).unwrap();
        registers.rip = gate & 0xffff | gate >> 32 & 0xffff_0000 | high << 32;
        // Interrupts, traps, nested tasks, resume.
        registers.rflags &= !(1 << 9 | 1 << 8 | 1 << 14 | 1 << 16);
        let segment = kvm_segment { present: 1, s: 1, g: 1, limit: u32::MAX, ..Default::default() };
        let selector = (gate >> 16) as u16;
        special.cs = kvm_segment { selector, type_: 11, l: 1, ..segment };
        special.ss = kvm_segment { type_: 3, db: 1, ..segment };
        self.vcpu.fd.set_sregs(&special).unwrap();
        self.vcpu.fd.set_regs(&registers).unwrap();
    }

    /// Where a register of the interrupted instruction is to be another.
    fn change(&mut self, change: impl FnOnce(&mut kvm_regs)) {
        let mut registers = self.vcpu.fd.get_regs().unwrap();
        change(&mut registers);
        self.vcpu.fd.set_regs(&registers).unwrap();
    }

    /// Why the guest has ended: a reason of its own set.
    fn cause(&mut self) -> &'static str {
        match self.run() {
            Some(Exit::Terminated { set, reason }) => find(set, reason).unwrap().name,
            exit => panic!("{exit:?}; console: {}", self.console()),
        }
    }
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn a_guest_does_the_work_of_instructions_that_its_processor_leaves_to_it() {
    let mut host = Host::new(|_, _| Deed::Duty);
    assert_eq!(host.run(), Some(Exit::PowerOff));
    // OSXSAVE in leaf 1 is the guest's own to say.
    let expected = "vector registers kept: true\n\
        leaf 0x1: 0x111 0x222 0x8000333 0x444\n\
        vector registers kept: true\n\
        leaf 0xd: 0x7 0x340 0x340 0x0\n\
        ports: 0xd 0xc0d 0xa0b0c0d\n\
        memory: 0x88 0x102030405069988 0xbbaa9988 0xffeeddccbbaa9988\n\
        own memory: 77\n\
        and on it goes\n";
    assert_eq!(host.console(), expected);
    let text: Vec<u8> = (0..2032).map(|at| (at % 8) as u8).collect();
    assert!(host.text == text, "{} bytes", host.text.len());
    let stored: Vec<_> = [0, 8, 16, 24].iter().map(|at| host.device[&(DEVICE + at)]).collect();
    assert_eq!(stored, [3, 0x703, 0x0506_0703, 0x0102_0304_0506_0703]);
    assert_eq!(host.requests[0], [vc::IOIO, 0x03fc_0011, 0]);
    // Two CPUIDs, three INs, an OUT, a string, four loads and four stores.
    assert_eq!((host.raised, host.requests.len()), (15, 13));
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn a_made_up_exception_ends_the_guest() {
    let made_up: [(Mischief, &str); 6] = [
        // The guest's own memory told, or believed.
        (
            |_, moment| match moment {
                Moment::Marker(4) => Deed::Raise(vc::NESTED_PAGE_FAULT),
                _ => Deed::Duty,
            },
            "vc-address",
        ),
        (
            |_, moment| match moment {
                Moment::Marker(4) => Deed::Raise(vc::CPUID),
                _ => Deed::Duty,
            },
            "vc-instruction",
        ),
        (
            |_, moment| match moment {
                Moment::Marker(1) => Deed::Raise(PAGE_NOT_VALIDATED),
                _ => Deed::Duty,
            },
            "vc-exit-code",
        ),
        // The supervisor's own: whether this is SNP at all.
        (
            |_, moment| match moment {
                Moment::ReadMsr(msr::SEV_STATUS) => Deed::Raise(vc::MSR),
                _ => Deed::Duty,
            },
            "vc-msr",
        ),
        // In the midst of another.
        (
            |_, moment| match moment {
                Moment::Request(vc::IOIO) => Deed::Raise(vc::MSR),
                _ => Deed::Duty,
            },
            "vc-nested",
        ),
        (
            |_, moment| match moment {
                Moment::Request(exit_code::PAGE_STATE_CHANGE) => Deed::Raise(vc::MSR),
                _ => Deed::Duty,
            },
            "vc-msr",
        ),
    ];
    for (mischief, cause) in made_up {
        assert_eq!(Host::new(mischief).cause(), cause);
    }
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn an_exception_that_the_host_would_like_the_guest_to_have_ends_it() {
    for code in [vc::IOIO, exit_code::MMIO_READ, exit_code::MMIO_WRITE] {
        let mischief: Mischief = match code {
            vc::IOIO => |_, moment| match moment {
                Moment::Request(vc::IOIO) => Deed::Answer(1, 0x8000_0b0d),
                _ => Deed::Duty,
            },
            exit_code::MMIO_READ => |_, moment| match moment {
                Moment::Request(exit_code::MMIO_READ) => Deed::Answer(2, 5),
                _ => Deed::Duty,
            },
            _ => |_, moment| match moment {
                Moment::Request(exit_code::MMIO_WRITE) => Deed::Answer(1, 0x8000_0306),
                _ => Deed::Duty,
            },
        };
        assert_eq!(Host::new(mischief).cause(), "hypervisor-answer", "{code:#x}");
    }
}

/// The supervisor writes to its APIC, which no KVM lets user space see: so another WRMSR is made that.
#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn the_supervisors_registers_are_asked_for_too() {
    let mut host = Host::new(|host, moment| match moment {
        Moment::Request(exit_code::PAGE_STATE_CHANGE) => {
            host.change(|registers| {
                (registers.rcx, registers.rax, registers.rdx) = (0x80b, 7, 0);
            });
            Deed::Raise(vc::MSR)
        }
        Moment::Request(vc::MSR) => Deed::Enough,
        _ => Deed::Duty,
    });
    assert_eq!(host.run(), None);
    let (_, page) = host.ghcb(GHCB);
    let fields = [Field::ExitInfo1, Field::Rcx, Field::Rax, Field::Rdx].map(|it| page.get(it));
    assert_eq!(fields, [Some(1), Some(0x80b), Some(7), Some(0)]);
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn a_guest_without_a_cpuid_page_does_not_take_the_hosts_word() {
    let mut host = Host::new(|_, _| Deed::Duty);
    host.vm.memory().private().write_obj(0_u64, GuestAddress(CPUID_PAGE)).unwrap();
    assert_eq!(host.cause(), "cpuid");
}
