//! The `[snp]` table of a policy.

use serde::{Deserialize, Deserializer};

use super::Hex;

/// What is accepted of an SEV-SNP guest. A list that is not there accepts any value.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Snp {
    /// Launch measurements.
    pub measurements: Option<Vec<Hex<48>>>,
    /// Processors: `milan`, `genoa`, `turin`.
    pub products: Option<Vec<String>>,
    /// Kinds of signing key: `vcek`, `vlek`.
    pub signing_keys: Option<Vec<String>>,
    /// HOST_DATA.
    pub host_data: Option<Vec<Hex<32>>>,
    /// FAMILY_ID.
    pub family_ids: Option<Vec<Hex<16>>>,
    /// IMAGE_ID.
    pub image_ids: Option<Vec<Hex<16>>>,
    /// ID_KEY_DIGEST: who signed the guest's identity block.
    pub id_key_digests: Option<Vec<Hex<48>>>,
    /// AUTHOR_KEY_DIGEST.
    pub author_key_digests: Option<Vec<Hex<48>>>,
    /// CHIP_ID.
    pub chip_ids: Option<Vec<Hex<64>>>,
    /// Whether the host may hide the chip's id. The signing key is then not tied to a chip.
    pub masked_chip_id_allowed: bool,
    /// Highest (least privileged) VMPL that may have asked for the report. 0 where absent.
    pub maximum_vmpl: u32,
    /// Floor of GUEST_SVN.
    pub minimum_guest_svn: u32,
    /// Floor of each version number in each of the report's TCBs.
    pub minimum_tcb: TcbFloor,
    /// Floor of the firmware's version, current and committed, as `major.minor.build`.
    pub minimum_firmware: Option<FirmwareVersion>,
    /// Bits that the launch and current mitigation vectors must have (reports from version 5 on).
    pub required_mitigations: u64,
    /// What the guest's policy may and must say.
    pub guest_policy: GuestPolicyBits,
    /// What the platform may and must be.
    pub platform: PlatformBits,
}

/// Floors of the TCB's components; 0 accepts any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcbFloor {
    /// FMC (Turin and later; a processor without one is below any floor but 0).
    pub fmc: u8,
    /// PSP bootloader.
    pub bootloader: u8,
    /// PSP operating system.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Microcode.
    pub microcode: u8,
}

/// A firmware version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FirmwareVersion {
    /// Major.
    pub major: u8,
    /// Minor.
    pub minor: u8,
    /// Build.
    pub build: u8,
}

impl<'de> Deserialize<'de> for FirmwareVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let groups: Option<Vec<u8>> = text.split('.').map(|group| group.parse().ok()).collect();
        match groups.as_deref() {
            Some(&[major, minor, build]) => Ok(FirmwareVersion { major, minor, build }),
            _ => Err(serde::de::Error::custom(format!(
                "{text:?} is no firmware version; expected major.minor.build"
            ))),
        }
    }
}

/// What the guest's policy may and must say (SNP ABI, table "Guest Policy").
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuestPolicyBits {
    /// DEBUG: the host may read the guest's memory.
    pub debug_allowed: bool,
    /// MIGRATE_MA: a migration agent may be associated.
    pub migration_agent_allowed: bool,
    /// SMT: the guest accepts sibling threads.
    pub smt_allowed: bool,
    /// CXL_ALLOW: the guest accepts CXL memory and devices.
    pub cxl_allowed: bool,
    /// SINGLE_SOCKET must be set.
    pub require_single_socket: bool,
    /// MEM_AES_256_XTS must be set.
    pub require_aes_256_xts: bool,
    /// RAPL_DIS must be set.
    pub require_rapl_disabled: bool,
    /// CIPHERTEXT_HIDING must be set.
    pub require_ciphertext_hiding: bool,
    /// PAGE_SWAP_DISABLE must be set.
    pub require_page_swap_disabled: bool,
}

impl Default for GuestPolicyBits {
    fn default() -> GuestPolicyBits {
        GuestPolicyBits {
            debug_allowed: false,
            migration_agent_allowed: false,
            smt_allowed: true,
            cxl_allowed: false,
            require_single_socket: false,
            require_aes_256_xts: false,
            require_rapl_disabled: false,
            require_ciphertext_hiding: false,
            require_page_swap_disabled: false,
        }
    }
}

/// What the platform may and must be (SNP ABI, PLATFORM_INFO).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlatformBits {
    /// SMT_EN: sibling threads may be on.
    pub smt_allowed: bool,
    /// TIO_EN: trusted I/O may be on.
    pub tio_allowed: bool,
    /// TSME_EN must be set.
    pub require_tsme: bool,
    /// ECC_EN must be set.
    pub require_ecc: bool,
    /// RAPL_DIS must be set.
    pub require_rapl_disabled: bool,
    /// CIPHERTEXT_HIDING_DRAM_EN must be set.
    pub require_ciphertext_hiding: bool,
    /// ALIAS_CHECK_COMPLETE must be set (reports from version 3 on).
    pub require_alias_check: bool,
}

impl Default for PlatformBits {
    fn default() -> PlatformBits {
        PlatformBits {
            smt_allowed: true,
            tio_allowed: true,
            require_tsme: false,
            require_ecc: false,
            require_rapl_disabled: false,
            require_ciphertext_hiding: false,
            require_alias_check: false,
        }
    }
}
