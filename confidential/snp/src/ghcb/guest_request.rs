//! SNP Guest Request and SNP Extended Guest Request (GHCB standard, 4.1.7 and 4.1.8): a guest message
//! goes to the AMD-SP and its answer comes back.
//!
//! SW_EXITINFO1 and SW_EXITINFO2 are the guest-physical addresses of the question's page and the
//! answer's, two shared pages. The extended request also has RAX and RBX, address and number of further
//! shared pages, which the hypervisor fills with a [`certificate_table`](super::certificate_table). Back
//! comes SW_EXITINFO2, a [`Status`]; where there are too few pages, RBX says how many it takes. The
//! hypervisor sees no more of it than that: what the pages hold is sealed.

/// What became of the request: SW_EXITINFO2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// There is an answer.
    Done,
    /// The AMD-SP did not take the message: its status.
    Firmware(u32),
    /// The certificates take more pages. The AMD-SP was not asked.
    TooFewPages,
    /// The hypervisor has no time: the same page may be sent again. The AMD-SP was not asked.
    Busy,
    /// Another error of the hypervisor's, other than 0.
    Hypervisor(u32),
}

const TOO_FEW_PAGES: u32 = 1;
const BUSY: u32 = 2;

impl Status {
    /// The value for SW_EXITINFO2: the hypervisor's error above, the AMD-SP's status below.
    pub const fn encode(self) -> u64 {
        match self {
            Status::Done => 0,
            Status::Firmware(status) => status as u64,
            Status::TooFewPages => (TOO_FEW_PAGES as u64) << 32,
            Status::Busy => (BUSY as u64) << 32,
            Status::Hypervisor(error) => (error as u64) << 32,
        }
    }

    /// The status of this value.
    pub const fn decode(value: u64) -> Status {
        match ((value >> 32) as u32, value as u32) {
            (0, 0) => Status::Done,
            (0, status) => Status::Firmware(status),
            (TOO_FEW_PAGES, _) => Status::TooFewPages,
            (BUSY, _) => Status::Busy,
            (error, _) => Status::Hypervisor(error),
        }
    }
}

/// Statuses of the AMD-SP's for SNP_GUEST_REQUEST (ABI, "Status Codes").
pub mod firmware_status {
    /// INVALID_PARAM: the header, the sequence number or the message is none that it takes.
    pub const INVALID_PARAM: u32 = 0x16;
    /// BAD_MEASUREMENT: the message is not authentic.
    pub const BAD_MEASUREMENT: u32 = 0x0b;
    /// AEAD_OFLOW: the key has sealed all messages that it may.
    pub const AEAD_OFLOW: u32 = 0x1d;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values as Linux has them (`SNP_GUEST_VMM_ERR_INVALID_LEN`, `..._BUSY`).
    #[test]
    fn statuses_are_laid_out_as_in_the_standard() {
        for (status, value) in [
            (Status::Done, 0),
            (Status::Firmware(0x16), 0x16),
            (Status::TooFewPages, 0x1_0000_0000),
            (Status::Busy, 0x2_0000_0000),
            (Status::Hypervisor(3), 0x3_0000_0000),
        ] {
            assert_eq!(status.encode(), value);
            assert_eq!(Status::decode(value), status);
        }
        assert_eq!(Status::decode(0xffff_ffff_0000_0000), Status::Hypervisor(u32::MAX));
    }
}
