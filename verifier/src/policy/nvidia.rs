//! The `[nvidia]` table of a policy.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::Hex;

/// Whether a report must carry a firmware id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// It is compared where the report has one. Older firmware sends none, and the attestation
    /// certificate names it in any case.
    #[default]
    IfPresent,
    /// It must be there.
    Required,
}

/// What is accepted of an NVIDIA GPU.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nvidia {
    /// Confidential modes that are accepted: `spt`, `mpt`, `ppcie`. Empty: any, and reports that
    /// name none.
    pub modes: Vec<String>,
    /// Whether reports without a firmware id are accepted.
    pub firmware_id: Firmware,
    /// Oldest driver that is accepted, such as `550.90.07`.
    pub minimum_driver_version: Option<String>,
    /// Oldest VBIOS that is accepted, such as `96.00.9F.00.01`.
    pub minimum_vbios_version: Option<String>,
    /// Measurements that must have one of these values, by manifest index, besides what the
    /// manifests say.
    #[serde(deserialize_with = "by_index")]
    pub measurements: BTreeMap<u8, Vec<Hex<48>>>,
    /// Whether a report may have measurements that no manifest speaks of. NVIDIA's manifests leave
    /// some out.
    pub unlisted_measurements: bool,
}

impl Default for Nvidia {
    fn default() -> Nvidia {
        Nvidia {
            modes: Vec::new(),
            firmware_id: Firmware::default(),
            minimum_driver_version: None,
            minimum_vbios_version: None,
            measurements: BTreeMap::new(),
            unlisted_measurements: true,
        }
    }
}

/// A table's keys are text in TOML.
fn by_index<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<u8, Vec<Hex<48>>>, D::Error> {
    BTreeMap::<String, Vec<Hex<48>>>::deserialize(deserializer)?
        .into_iter()
        .map(|(index, values)| {
            let index = index.parse().map_err(|_| {
                serde::de::Error::custom(format!("{index:?} is no measurement index (0 to 255)"))
            })?;
            Ok((index, values))
        })
        .collect()
}
