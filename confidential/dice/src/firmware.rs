//! What a GPU measures at boot, and the one number that it amounts to.
//!
//! Both sides need this: the root of trust, which measures, and the verifier, which compares.

use core::fmt;
use sha2::{Digest as _, Sha384};

/// A SHA-384 digest.
pub type Digest = [u8; 48];

/// The firmware components, by the SPDM measurement index of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Component {
    /// The first code that runs; immutable.
    BootRom = 1,
    /// The root of trust's own firmware.
    Hrot = 2,
    /// The security processor that speaks SPDM and moves sealed records.
    Sec2 = 3,
    /// Microcode of the copy and compute engines.
    Engines = 4,
    /// The video BIOS: board configuration.
    Vbios = 5,
}

impl Component {
    /// Every component, in the order of their indices.
    pub const ALL: [Component; 5] = [
        Component::BootRom,
        Component::Hrot,
        Component::Sec2,
        Component::Engines,
        Component::Vbios,
    ];

    /// SPDM measurement index, from 1.
    pub fn index(self) -> u8 {
        self as u8
    }

    /// The component of this measurement index.
    pub fn from_index(index: u8) -> Option<Component> {
        Component::ALL.get(usize::from(index.checked_sub(1)?)).copied()
    }

    /// Place in [`Component::ALL`], from 0.
    pub fn position(self) -> usize {
        usize::from(self.index() - 1)
    }
}

impl fmt::Display for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Component::BootRom => "boot ROM",
            Component::Hrot => "HRoT firmware",
            Component::Sec2 => "SEC2 firmware",
            Component::Engines => "engine microcode",
            Component::Vbios => "VBIOS",
        })
    }
}

/// The firmware id: SHA-384 over the components' digests, in the order of [`Component::ALL`].
pub fn firmware_id(components: &[Digest; Component::ALL.len()]) -> Digest {
    let mut hash = Sha384::new();
    for digest in components {
        hash.update(digest);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_stand_at_their_index() {
        for component in Component::ALL {
            assert_eq!(Component::from_index(component.index()), Some(component));
            assert_eq!(Component::ALL[component.position()], component);
        }
        assert_eq!(Component::from_index(0), None);
        assert_eq!(Component::from_index(6), None);
    }

    #[test]
    fn the_firmware_id_depends_on_every_component_and_on_their_order() {
        let components: [Digest; 5] = core::array::from_fn(|index| [index as u8; 48]);
        let id = firmware_id(&components);
        for at in 0..5 {
            let mut changed = components;
            changed[at][47] ^= 1;
            assert_ne!(firmware_id(&changed), id);
        }
        let mut swapped = components;
        swapped.swap(1, 2);
        assert_ne!(firmware_id(&swapped), id);
    }
}
