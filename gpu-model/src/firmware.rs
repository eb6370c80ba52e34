//! The firmware images that a GPU boots: what the HRoT measures, nothing that runs here.

use std::borrow::Cow;

/// The images and their security version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareSet {
    /// The first code that runs; immutable.
    pub boot_rom: Cow<'static, [u8]>,
    /// The root of trust's own firmware.
    pub hrot: Cow<'static, [u8]>,
    /// The security processor's firmware.
    pub sec2: Cow<'static, [u8]>,
    /// Microcode of the copy and compute engines.
    pub engines: Cow<'static, [u8]>,
    /// Board configuration.
    pub vbios: Cow<'static, [u8]>,
    /// Security version, which only rises.
    pub svn: u32,
}

impl FirmwareSet {
    /// The firmware that the maker ships with this model.
    pub fn release() -> FirmwareSet {
        let image = |text: &'static str| Cow::Borrowed(text.as_bytes());
        FirmwareSet {
            boot_rom: image("APM-1 boot ROM 1.0"),
            hrot: image("APM-1 HRoT 1.0"),
            sec2: image("APM-1 SEC2 1.0"),
            engines: image("APM-1 engines 1.0"),
            vbios: image("APM-1 VBIOS 1.0"),
            svn: 1,
        }
    }
}
