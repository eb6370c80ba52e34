//! Processors by name, and the state in which VMMs leave a vCPU.

use ravelin_snp::ghcb::PAGE_SIZE;
use ravelin_snp::vmsa::{Register, Vmsa};
use std::fmt;
use std::str::FromStr;

/// Where a processor begins after a reset (APM volume 2, 14.1).
pub const RESET_VECTOR: u32 = 0xffff_fff0;

/// EAX of CPUID 1: family, model and stepping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature(pub u32);

impl Signature {
    /// Of a family, a model and a stepping (AMD 25481, "Fn0000_0001_EAX").
    pub const fn new(family: u8, model: u8, stepping: u8) -> Signature {
        let (base, extended) = if family > 0xf { (0xf, family - 0xf) } else { (family, 0) };
        Signature(
            (extended as u32) << 20
                | (model as u32 >> 4) << 16
                | (base as u32) << 8
                | (model as u32 & 0xf) << 4
                | stepping as u32 & 0xf,
        )
    }
}

/// Processors by the names that QEMU has for them, and those that it gave up for versions.
const NAMES: [(&str, Signature); 20] = [
    ("EPYC", Signature::new(23, 1, 2)),
    ("EPYC-v1", Signature::new(23, 1, 2)),
    ("EPYC-v2", Signature::new(23, 1, 2)),
    ("EPYC-v3", Signature::new(23, 1, 2)),
    ("EPYC-v4", Signature::new(23, 1, 2)),
    ("EPYC-IBPB", Signature::new(23, 1, 2)),
    ("EPYC-Rome", Signature::new(23, 49, 0)),
    ("EPYC-Rome-v1", Signature::new(23, 49, 0)),
    ("EPYC-Rome-v2", Signature::new(23, 49, 0)),
    ("EPYC-Rome-v3", Signature::new(23, 49, 0)),
    ("EPYC-Rome-v4", Signature::new(23, 49, 0)),
    ("EPYC-Milan", Signature::new(25, 1, 1)),
    ("EPYC-Milan-v1", Signature::new(25, 1, 1)),
    ("EPYC-Milan-v2", Signature::new(25, 1, 1)),
    ("EPYC-Milan-v3", Signature::new(25, 1, 1)),
    ("EPYC-Genoa", Signature::new(25, 17, 0)),
    ("EPYC-Genoa-v1", Signature::new(25, 17, 0)),
    ("EPYC-Genoa-v2", Signature::new(25, 17, 0)),
    ("EPYC-Turin", Signature::new(26, 0, 0)),
    ("EPYC-Turin-v1", Signature::new(26, 0, 0)),
];

/// A processor of this name is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no processor is called {0:?}: say EPYC, EPYC-Rome, EPYC-Milan, EPYC-Genoa or EPYC-Turin, as QEMU \
     does, or the hexadecimal EAX of CPUID 1, such as 0xa00f11"
)]
pub struct UnknownProcessor(String);

impl FromStr for Signature {
    type Err = UnknownProcessor;

    fn from_str(name: &str) -> Result<Self, UnknownProcessor> {
        let named = NAMES.iter().find(|(known, _)| *known == name).map(|(_, signature)| *signature);
        let number = || u32::from_str_radix(name.strip_prefix("0x")?, 16).ok().map(Signature);
        named.or_else(number).ok_or_else(|| UnknownProcessor(name.into()))
    }
}

/// A VMM, for the state in which it leaves vCPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vmm {
    /// QEMU, and Ravelin.
    #[default]
    Qemu,
    /// Amazon's.
    Ec2,
    /// Google's.
    Gce,
}

impl Vmm {
    /// The state after a reset, with the first instruction at `instruction`.
    pub fn reset(self, instruction: u32, signature: Signature, sev_features: u64) -> Vmsa {
        let mut vmsa = Vmsa::reset(instruction, signature.0, sev_features);
        if self == Vmm::Qemu {
            return vmsa;
        }
        // Both leave the FPU's registers and EDX as KVM has them at first.
        (vmsa.mxcsr, vmsa.x87_fcw) = (0, 0);
        vmsa.set(Register::Rdx, 0x600);
        if self == Vmm::Gce {
            vmsa.g_pat = 0x0007_0106;
            return vmsa;
        }
        if instruction == RESET_VECTOR {
            vmsa.cs.attributes = 0x9a;
        }
        (vmsa.ss.attributes, vmsa.tr.attributes) = (0x92, 0x83);
        vmsa
    }

    /// VMSA pages of so many vCPUs: the first at the reset vector, the others at `others`.
    pub fn vcpus(
        self,
        count: u32,
        others: u32,
        signature: Signature,
        sev_features: u64,
    ) -> Vec<Box<[u8; PAGE_SIZE]>> {
        let page = |instruction| self.reset(instruction, signature, sev_features).encode();
        let (first, other) = (page(RESET_VECTOR), page(others));
        (0..count).map(|number| Box::new(if number == 0 { first } else { other })).collect()
    }
}

/// There is no VMM of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no VMM is called {0:?}: say qemu, ec2 or gce")]
pub struct UnknownVmm(String);

impl FromStr for Vmm {
    type Err = UnknownVmm;

    fn from_str(name: &str) -> Result<Self, UnknownVmm> {
        [Vmm::Qemu, Vmm::Ec2, Vmm::Gce]
            .into_iter()
            .find(|vmm| vmm.to_string().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownVmm(name.into()))
    }
}

impl fmt::Display for Vmm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Vmm::Qemu => "qemu",
            Vmm::Ec2 => "ec2",
            Vmm::Gce => "gce",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_have_the_signatures_of_amds_table() {
        let signature = |name: &str| name.parse::<Signature>().map(|signature| signature.0);
        assert_eq!(signature("EPYC-v4"), Ok(0x0080_0f12));
        assert_eq!(signature("EPYC-Rome"), Ok(0x0083_0f10));
        assert_eq!(signature("EPYC-Milan"), Ok(0x00a0_0f11));
        assert_eq!(signature("EPYC-Genoa"), Ok(0x00a1_0f10));
        assert_eq!(signature("EPYC-Turin"), Ok(0x00b0_0f00));
        assert_eq!(signature("0xa00f11"), signature("EPYC-Milan"));
        for unknown in ["", "epyc", "a00f11", "0x1_0000_0000"] {
            assert!(signature(unknown).is_err(), "{unknown}");
        }
    }

    #[test]
    fn vmms_are_known_by_name() {
        assert_eq!("QEMU".parse(), Ok(Vmm::Qemu));
        assert_eq!("gce".parse(), Ok(Vmm::Gce));
        assert!("xen".parse::<Vmm>().is_err());
    }
}
