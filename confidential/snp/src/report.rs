//! The attestation report (AMD SEV-SNP firmware ABI, 56860, "ATTESTATION_REPORT"), version 3: where its
//! fields stand.
//!
//! A guest reads one field of it, [`report_data`], to see that the report is the one that it asked for.
//! Whoever signs reports fills in a [`Report`]. Judging one is a verifier's business, which reads every
//! version, and by a parser of its own.

/// Bytes of a report.
pub const SIZE: usize = 0x4a0;
/// Bytes of REPORT_DATA.
pub const REPORT_DATA_SIZE: usize = 64;
/// The part that is signed: everything before the signature.
pub const SIGNED: usize = 0x2a0;

const REPORT_DATA: usize = 0x50;
/// SIGNATURE: R and S, 72 bytes each, little-endian.
const NUMBER: usize = 72;
/// VERSION.
const VERSION: u32 = 3;
/// SIGNATURE_ALGO: ECDSA P-384 with SHA-384.
const ECDSA_P384_SHA384: u32 = 1;

/// Version numbers of the processor's firmware, as Milan and Genoa have them (TCB_VERSION).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcbVersion {
    /// PSP bootloader.
    pub bootloader: u8,
    /// PSP operating system.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Microcode.
    pub microcode: u8,
}

impl TcbVersion {
    /// The version in 64 bits.
    pub fn encode(self) -> u64 {
        u64::from_le_bytes([self.bootloader, self.tee, 0, 0, 0, 0, self.snp, self.microcode])
    }
}

/// Family, model and stepping of a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processor {
    /// Family, extended one included.
    pub family: u8,
    /// Model, extended one included.
    pub model: u8,
    /// Stepping.
    pub stepping: u8,
}

/// A version of the SNP firmware: build, minor, major.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirmwareVersion {
    /// Major.
    pub major: u8,
    /// Minor.
    pub minor: u8,
    /// Build.
    pub build: u8,
}

/// What a report says. One TCB stands for all four, and one firmware version for both: those of a
/// processor whose firmware was not changed since the guest began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// GUEST_SVN.
    pub guest_svn: u32,
    /// POLICY.
    pub policy: u64,
    /// FAMILY_ID.
    pub family_id: [u8; 16],
    /// IMAGE_ID.
    pub image_id: [u8; 16],
    /// VMPL.
    pub vmpl: u32,
    /// PLATFORM_INFO.
    pub platform: u64,
    /// REPORT_DATA.
    pub report_data: [u8; REPORT_DATA_SIZE],
    /// MEASUREMENT: the launch digest.
    pub measurement: [u8; 48],
    /// HOST_DATA.
    pub host_data: [u8; 32],
    /// REPORT_ID.
    pub report_id: [u8; 32],
    /// CURRENT_TCB, REPORTED_TCB, COMMITTED_TCB and LAUNCH_TCB.
    pub tcb: TcbVersion,
    /// CPUID_FAM_ID, CPUID_MOD_ID, CPUID_STEP.
    pub processor: Processor,
    /// CHIP_ID.
    pub chip_id: [u8; 64],
    /// CURRENT and COMMITTED firmware.
    pub firmware: FirmwareVersion,
}

impl Report {
    /// The report without a signature, signed by the VCEK (SIGNING_KEY 0).
    pub fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let mut put = |at: usize, value: &[u8]| {
            if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..value.len())) {
                place.copy_from_slice(value);
            }
        };
        let tcb = self.tcb.encode().to_le_bytes();
        let Processor { family, model, stepping } = self.processor;
        let FirmwareVersion { major, minor, build } = self.firmware;
        put(0x000, &VERSION.to_le_bytes());
        put(0x004, &self.guest_svn.to_le_bytes());
        put(0x008, &self.policy.to_le_bytes());
        put(0x010, &self.family_id);
        put(0x020, &self.image_id);
        put(0x030, &self.vmpl.to_le_bytes());
        put(0x034, &ECDSA_P384_SHA384.to_le_bytes());
        put(0x038, &tcb);
        put(0x040, &self.platform.to_le_bytes());
        put(REPORT_DATA, &self.report_data);
        put(0x090, &self.measurement);
        put(0x0c0, &self.host_data);
        put(0x140, &self.report_id);
        // REPORT_ID_MA: there is no migration agent.
        put(0x160, &[0xff; 32]);
        put(0x180, &tcb);
        put(0x188, &[family, model, stepping]);
        put(0x1a0, &self.chip_id);
        put(0x1e0, &tcb);
        put(0x1e8, &[build, minor, major, 0, build, minor, major]);
        put(0x1f0, &tcb);
        bytes
    }
}

/// REPORT_DATA of a report.
pub fn report_data(report: &[u8; SIZE]) -> [u8; REPORT_DATA_SIZE] {
    core::array::from_fn(|at| report[REPORT_DATA + at])
}

/// Puts a signature into a report: R and S, big-endian, as most of the world writes them.
pub fn set_signature(report: &mut [u8; SIZE], r: &[u8; 48], s: &[u8; 48]) {
    for (number, at) in [(r, SIGNED), (s, SIGNED + NUMBER)] {
        for (place, byte) in report[at..at + 48].iter_mut().zip(number.iter().rev()) {
            *place = *byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets from the ABI's table. That the whole is what the `sev` crate reads is tested where
    /// reports are made.
    #[test]
    fn fields_stand_where_the_abi_puts_them() {
        let report = Report {
            guest_svn: 1,
            policy: 0x3_0000,
            family_id: [2; 16],
            image_id: [3; 16],
            vmpl: 1,
            platform: 1,
            report_data: [4; 64],
            measurement: [5; 48],
            host_data: [6; 32],
            report_id: [7; 32],
            tcb: TcbVersion { bootloader: 1, tee: 2, snp: 3, microcode: 4 },
            processor: Processor { family: 0x19, model: 1, stepping: 0 },
            chip_id: [8; 64],
            firmware: FirmwareVersion { major: 1, minor: 55, build: 3 },
        };
        let mut bytes = report.encode();
        assert_eq!(bytes[..0x0c], [3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 3, 0]);
        assert_eq!(bytes[0x38..0x40], [1, 2, 0, 0, 0, 0, 3, 4]);
        assert_eq!((bytes[0x4f], bytes[0x50], bytes[0x8f], bytes[0x90]), (0, 4, 4, 5));
        assert_eq!((bytes[0xbf], bytes[0xc0], bytes[0xe0], bytes[0x140]), (5, 6, 0, 7));
        assert_eq!(bytes[0x188..0x18b], [0x19, 1, 0]);
        assert_eq!(bytes[0x1e8..0x1ef], [3, 55, 1, 0, 3, 55, 1]);
        assert_eq!(report_data(&bytes), [4; 64]);
        let mut r = [0; 48];
        r[47] = 9;
        set_signature(&mut bytes, &r, &[1; 48]);
        assert_eq!((bytes[0x2a0], bytes[0x2a1], bytes[0x2e8], bytes[0x317]), (9, 0, 1, 1));
    }
}
