//! The GHCB MSR protocol (GHCB standard, 2.3.1): requests and responses of 64 bits.
//!
//! Bits 11:0 (GHCBInfo) name the request or response, bits 63:12 (GHCBData) carry it. What both
//! sides do about them is theirs; a value with reserved bits set or an unknown name decodes to
//! `None`.

use super::page_state::Operation;

/// Highest guest frame number that fits the page-state change request: 40 bits.
pub const MAX_GFN: u64 = (1 << 40) - 1;

const INFO: u64 = 0xfff;
/// GHCBData of a refusal of the GHCB's address, 52 bits.
const NO_GFN: u64 = u64::MAX >> 12;

/// A register that CPUID returns, by the protocol's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CpuidRegister {
    /// EAX.
    Eax = 0,
    /// EBX.
    Ebx = 1,
    /// ECX.
    Ecx = 2,
    /// EDX.
    Edx = 3,
}

impl CpuidRegister {
    fn from_bits(bits: u64) -> CpuidRegister {
        match bits & 3 {
            0 => CpuidRegister::Eax,
            1 => CpuidRegister::Ebx,
            2 => CpuidRegister::Ecx,
            _ => CpuidRegister::Edx,
        }
    }
}

/// What the guest asks by writing the MSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// 0x000: not a request of the MSR protocol but the address of the GHCB, whose contents are
    /// the request. In bytes.
    Ghcb(u64),
    /// 0x002: which versions of the protocol, and which C-bit.
    SevInformation,
    /// 0x004: one register of one CPUID leaf, subleaf 0.
    Cpuid {
        /// The leaf.
        function: u32,
        /// Which of its registers.
        register: CpuidRegister,
    },
    /// 0x010: where the hypervisor wants the GHCB.
    PreferredGhcb,
    /// 0x012: the frame number at which the GHCB will be.
    RegisterGhcb(u64),
    /// 0x014: change one 4 KiB page.
    PageStateChange {
        /// The page's guest frame number, 40 bits.
        gfn: u64,
        /// To what.
        operation: Operation,
    },
    /// 0x080: which features.
    Features,
    /// 0x100: the guest gives up.
    Terminate {
        /// Set of reason codes, 4 bits: 0 is the standard's own.
        set: u8,
        /// Why, in that set.
        reason: u8,
    },
}

impl Request {
    /// The value that the guest writes. Fields wider than their place are cut to it.
    #[inline(always)]
    pub const fn encode(self) -> u64 {
        match self {
            Request::Ghcb(address) => address & !INFO,
            Request::SevInformation => 0x002,
            Request::Cpuid { function, register } => {
                (function as u64) << 32 | (register as u64) << 30 | 0x004
            }
            Request::PreferredGhcb => 0x010,
            Request::RegisterGhcb(gfn) => gfn << 12 | 0x012,
            Request::PageStateChange { gfn, operation } => {
                (operation as u64) << 52 | (gfn & MAX_GFN) << 12 | 0x014
            }
            Request::Features => 0x080,
            Request::Terminate { set, reason } => {
                (reason as u64) << 16 | ((set & 0xf) as u64) << 12 | 0x100
            }
        }
    }

    /// The request in this value.
    pub fn decode(value: u64) -> Option<Request> {
        let request = match value & INFO {
            0x000 => Request::Ghcb(value),
            0x002 => Request::SevInformation,
            0x004 => Request::Cpuid {
                function: (value >> 32) as u32,
                register: CpuidRegister::from_bits(value >> 30),
            },
            0x010 => Request::PreferredGhcb,
            0x012 => Request::RegisterGhcb(value >> 12),
            0x014 => Request::PageStateChange {
                gfn: value >> 12 & MAX_GFN,
                operation: Operation::from_value((value >> 52 & 0xf) as u8)?,
            },
            0x080 => Request::Features,
            0x100 => {
                Request::Terminate { set: (value >> 12 & 0xf) as u8, reason: (value >> 16) as u8 }
            }
            _ => return None,
        };
        // One encoding for each request: reserved bits are zero.
        (request.encode() == value).then_some(request)
    }
}

bitflags::bitflags! {
    /// Hypervisor features (GHCB standard, 4.1.7).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u64 {
        /// SEV-SNP: page-state change and registration of the GHCB.
        const SNP = 1 << 0;
        /// SEV-SNP AP creation.
        const AP_CREATION = 1 << 1;
        /// Restricted injection.
        const RESTRICTED_INJECTION = 1 << 2;
    }
}

/// GHCBData for a frame number or its absence.
const fn gfn_or_none(gfn: Option<u64>) -> u64 {
    match gfn {
        Some(gfn) => gfn,
        None => NO_GFN,
    }
}

/// What the guest reads back from the MSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// 0x001: versions of the protocol and the place of the C-bit.
    SevInformation {
        /// Newest version spoken.
        maximum: u16,
        /// Oldest version spoken.
        minimum: u16,
        /// Which bit of a page-table entry selects encrypted memory.
        c_bit: u8,
    },
    /// 0x005: the register's value.
    Cpuid {
        /// The register's value.
        value: u32,
        /// Which register.
        register: CpuidRegister,
    },
    /// 0x011: frame number at which the hypervisor wants the GHCB; `None` for no preference.
    PreferredGhcb(Option<u64>),
    /// 0x013: the frame number registered; `None` for a refusal.
    RegisteredGhcb(Option<u64>),
    /// 0x015: 0, or why the page was not changed.
    PageStateChange(u32),
    /// 0x081: the features there are.
    Features(Features),
}

impl Response {
    /// The value that the guest reads.
    #[inline(always)]
    pub const fn encode(self) -> u64 {
        match self {
            Response::SevInformation { maximum, minimum, c_bit } => {
                (maximum as u64) << 48 | (minimum as u64) << 32 | (c_bit as u64) << 24 | 0x001
            }
            Response::Cpuid { value, register } => {
                (value as u64) << 32 | (register as u64) << 30 | 0x005
            }
            Response::PreferredGhcb(gfn) => gfn_or_none(gfn) << 12 | 0x011,
            Response::RegisteredGhcb(gfn) => gfn_or_none(gfn) << 12 | 0x013,
            Response::PageStateChange(error) => (error as u64) << 32 | 0x015,
            Response::Features(features) => features.bits() << 12 | 0x081,
        }
    }

    /// The response in this value. Features that this crate does not know are left out.
    #[inline(always)]
    pub fn decode(value: u64) -> Option<Response> {
        let gfn = |value: u64| Some(value >> 12).filter(|gfn| *gfn != NO_GFN);
        Some(match value & INFO {
            0x001 => Response::SevInformation {
                maximum: (value >> 48) as u16,
                minimum: (value >> 32) as u16,
                c_bit: (value >> 24) as u8,
            },
            0x005 => Response::Cpuid {
                value: (value >> 32) as u32,
                register: CpuidRegister::from_bits(value >> 30),
            },
            0x011 => Response::PreferredGhcb(gfn(value)),
            0x013 => Response::RegisteredGhcb(gfn(value)),
            0x015 => Response::PageStateChange((value >> 32) as u32),
            0x081 => Response::Features(Features::from_bits_truncate(value >> 12)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
