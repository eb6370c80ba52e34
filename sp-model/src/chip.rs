//! What the emulated AMD-SP says that it is, in reports and in certificates.
//!
//! Its processor has the family and model of a Milan, because verifiers judge a report by its processor;
//! everything with room for words says that there is none.

use ravelin_snp::report::{FirmwareVersion, Processor, TcbVersion};

/// CHIP_ID, which a VCEK's certificate repeats.
pub const CHIP_ID: [u8; 64] = *b"RAVELIN EMULATED AMD-SP: NO PROCESSOR, PROTECTS NOTHING ........";
/// FAMILY_ID. On hardware the owner of a guest chooses it, in an id block; here there is none.
pub const FAMILY_ID: [u8; 16] = *b"RAVELIN EMULATED";
/// IMAGE_ID.
pub const IMAGE_ID: [u8; 16] = *b"NOT PRODUCTION..";

/// The versions of its firmware.
pub const TCB: TcbVersion = TcbVersion { bootloader: 1, tee: 1, snp: 1, microcode: 1 };
/// The version of its SNP firmware.
pub const FIRMWARE: FirmwareVersion = FirmwareVersion { major: 1, minor: 55, build: 0 };
/// A Milan, B0.
pub const PROCESSOR: Processor = Processor { family: 0x19, model: 0x01, stepping: 0 };
/// The same, as certificates name it.
pub const PRODUCT: &str = "Milan-B0";
/// The same, as CPUID 1 EAX: for the secrets page.
pub const FMS: u32 = 0x00a0_0f10;
/// PLATFORM_INFO: nothing is on.
pub const PLATFORM: u64 = 0;
