//! Descriptions of reference values: what a maker writes by hand, or its build system, in TOML or
//! JSON.
//!
//! ```toml
//! id = "Acme G1 2026-11"
//! vendor = "Acme"
//! model = "G1"
//!
//! [[release]]
//! version = "1.1.0"
//! svn = 2
//! boot-rom = "<96 hexadecimal digits, SHA-384>"
//! hrot = "..."
//! sec2 = "..."
//! engines = "..."
//! vbios = "..."
//! ```

use ravelin_attestation::corim::Release;
use ravelin_dice::Digest;
use serde::Deserialize;

/// A description as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    /// Name of the document.
    pub(super) id: String,
    vendor: String,
    model: String,
    release: Vec<Written>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    version: String,
    svn: u32,
    boot_rom: Measurement,
    hrot: Measurement,
    sec2: Measurement,
    engines: Measurement,
    vbios: Measurement,
}

/// SHA-384 as hexadecimal digits.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Measurement(Digest);

impl TryFrom<String> for Measurement {
    type Error = String;

    fn try_from(text: String) -> Result<Measurement, String> {
        let mut digest = [0; 48];
        match hex::decode_to_slice(&text, &mut digest) {
            Ok(()) => Ok(Measurement(digest)),
            Err(_) => Err(format!("{text:?} is no SHA-384 digest: write 96 hexadecimal digits")),
        }
    }
}

impl Description {
    /// The description in a file: TOML, or JSON where it begins with a brace.
    pub(super) fn parse(bytes: &[u8]) -> Result<Description, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| error.to_string())
        } else {
            toml::from_str(text).map_err(|error| error.to_string())
        }
    }

    /// The releases that it describes, in their order.
    pub(super) fn releases(&self) -> Vec<Release> {
        let release = |written: &Written| Release {
            vendor: self.vendor.clone(),
            model: self.model.clone(),
            version: written.version.clone(),
            svn: written.svn,
            components: [
                written.boot_rom.0,
                written.hrot.0,
                written.sec2.0,
                written.engines.0,
                written.vbios.0,
            ],
        };
        self.release.iter().map(release).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FirmwareSet;

    fn toml_of(digest: &str) -> String {
        let components = ["boot-rom", "hrot", "sec2", "engines", "vbios"]
            .map(|name| format!("{name} = '{digest}'\n"))
            .concat();
        format!(
            "id = 'X'\nvendor = 'V'\nmodel = 'M'\n[[release]]\nversion = '1'\nsvn = 2\n{components}"
        )
    }

    #[test]
    fn toml_and_json_say_the_same() {
        let text = toml_of(&"ab".repeat(48));
        let described = Description::parse(text.as_bytes()).unwrap();
        let releases = described.releases();
        assert_eq!(releases.len(), 1);
        assert_eq!((releases[0].vendor.as_str(), releases[0].svn), ("V", 2));
        assert_eq!(releases[0].components, [[0xab; 48]; 5]);
        let json: toml::Value = toml::from_str(&text).unwrap();
        let json = serde_json::to_string(&json).unwrap();
        assert_eq!(Description::parse(json.as_bytes()).unwrap().releases(), releases);
    }

    #[test]
    fn components_stand_at_their_places() {
        let set = FirmwareSet::current();
        let digests = set.measurements().map(|digest| crate::tool::show::hex(&digest));
        let names = ["boot-rom", "hrot", "sec2", "engines", "vbios"];
        let components: String = names
            .iter()
            .zip(digests)
            .map(|(name, digest)| format!("{name} = '{digest}'\n"))
            .collect();
        let text = format!(
            "id = 'X'\nvendor = 'Ravelin'\nmodel = 'APM'\n[[release]]\nversion = '1.1.0'\nsvn = 2\n{components}"
        );
        let releases = Description::parse(text.as_bytes()).unwrap().releases();
        assert_eq!(releases, [set.to_release()]);
    }

    #[test]
    fn a_short_digest_and_a_misspelt_field_are_refused() {
        assert!(Description::parse(toml_of(&"ab".repeat(47)).as_bytes()).is_err());
        let misspelt = toml_of(&"ab".repeat(48)).replace("hrot", "hort");
        assert!(Description::parse(misspelt.as_bytes()).is_err());
        assert!(Description::parse(b"\xff").is_err());
    }
}
