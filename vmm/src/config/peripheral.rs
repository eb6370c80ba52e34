//! A Linux guest's disks, network cards and socket device, as their user describes them.

use super::Error;
use super::pairs::Form;
use ravelin_devices::virtio::net::mac::MacAddress;
use ravelin_devices::virtio::vsock::host::check_cid;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::str::FromStr;

/// Most disks and network cards together: the PCI bus has room for no more besides the rest.
pub const MAX_PERIPHERALS: usize = 16;

const DISK: Form = Form { option: "--disk", form: "path=FILE[,readonly=on|off]" };
const NET: Form = Form { option: "--net", form: "tap=NAME[,mac=52:54:00:12:34:56]" };
const VSOCK: Form = Form { option: "--vsock", form: "cid=N[,socket=PATH]" };

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DiskSpec {
    /// A raw image, or a block device.
    pub path: PathBuf,
    /// Whether the guest may only read it.
    #[serde(default)]
    pub readonly: bool,
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NetSpec {
    /// Name of a tap that is there.
    pub tap: String,
    /// The card's address; made up where absent.
    #[serde(default, with = "mac")]
    pub mac: Option<MacAddress>,
}

/// The socket device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VsockSpec {
    /// The guest's context id, from 3.
    pub cid: u64,
    /// The Unix socket that the host's clients connect to; `vsock` in the VM's runtime directory
    /// where absent.
    #[serde(default)]
    pub socket: Option<PathBuf>,
}

impl VsockSpec {
    /// Checks what a file may have got wrong.
    ///
    /// # Errors
    /// The context id is no guest's.
    pub fn check(&self) -> Result<(), Error> {
        let checked = check_cid(self.cid);
        checked
            .map(drop)
            .map_err(|error| VSOCK.wrong(&format!("cid={}", self.cid), error.to_string()))
    }
}

impl FromStr for DiskSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (mut path, mut readonly) = (None, false);
        for (key, value) in DISK.read(text)? {
            match (key, value) {
                ("path", value) => path = Some(value.into()),
                ("readonly", "on") => readonly = true,
                ("readonly", "off") => readonly = false,
                ("readonly", _) => return Err(DISK.wrong(text, "readonly is on or off")),
                _ => return Err(DISK.unknown(text, key)),
            }
        }
        let path = path.ok_or_else(|| DISK.wrong(text, "it has no path"))?;
        Ok(Self { path, readonly })
    }
}

impl FromStr for NetSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (mut tap, mut mac) = (None, None);
        for (key, value) in NET.read(text)? {
            match key {
                "tap" => tap = Some(value.into()),
                "mac" => {
                    let address: Result<MacAddress, _> = value.parse();
                    mac = Some(address.map_err(|error| NET.wrong(text, error.to_string()))?);
                }
                _ => return Err(NET.unknown(text, key)),
            }
        }
        Ok(Self { tap: tap.ok_or_else(|| NET.wrong(text, "it has no tap"))?, mac })
    }
}

impl FromStr for VsockSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (mut cid, mut socket) = (None, None);
        for (key, value) in VSOCK.read(text)? {
            match key {
                "cid" => {
                    let number = value.parse().ok();
                    cid = Some(number.ok_or_else(|| VSOCK.wrong(text, "cid is no number"))?);
                }
                "socket" => socket = Some(value.into()),
                _ => return Err(VSOCK.unknown(text, key)),
            }
        }
        let cid = cid.ok_or_else(|| VSOCK.wrong(text, "it has no cid"))?;
        check_cid(cid).map_err(|error| VSOCK.wrong(text, error.to_string()))?;
        Ok(Self { cid, socket })
    }
}

/// Serde by the text of an address.
mod mac {
    use super::MacAddress;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        mac: &Option<MacAddress>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match mac {
            Some(mac) => to.collect_str(mac),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<MacAddress>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(de::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem<T: FromStr<Err = Error> + std::fmt::Debug>(text: &str) -> String {
        text.parse::<T>().unwrap_err().to_string()
    }

    #[test]
    fn what_is_said_is_what_is_meant() {
        let disk = DiskSpec { path: "/a b".into(), readonly: true };
        assert_eq!("path=/a b,readonly=on".parse(), Ok(disk.clone()));
        assert_eq!("readonly=off,path=/a b".parse(), Ok(DiskSpec { readonly: false, ..disk }));
        let mac = Some("52:54:00:12:34:56".parse().unwrap());
        assert_eq!("tap=t0".parse(), Ok(NetSpec { tap: "t0".into(), mac: None }));
        assert_eq!("tap=t0,mac=52:54:00:12:34:56".parse(), Ok(NetSpec { tap: "t0".into(), mac }));
        assert_eq!("cid=3".parse(), Ok(VsockSpec { cid: 3, socket: None }));
        let spec = VsockSpec { cid: 4, socket: Some("/s".into()) };
        assert_eq!("socket=/s,cid=4".parse(), Ok(spec));
    }

    #[test]
    fn what_makes_no_sense_is_an_error_with_the_form() {
        for text in [
            "",
            "path",
            "path=",
            "readonly=on",
            "path=a,path=b",
            "path=a,readonly=yes",
            "path=a,b=c",
        ] {
            assert!(problem::<DiskSpec>(text).ends_with(DISK.form), "{text}");
        }
        for text in
            ["", "tap=", "mac=52:54:00:12:34:56", "tap=a,mac=5", "tap=a,mac=ff:ff:ff:ff:ff:ff"]
        {
            assert!(problem::<NetSpec>(text).ends_with(NET.form), "{text}");
        }
        for text in ["", "cid=", "cid=x", "socket=/a", "cid=2", "cid=0", "cid=4294967295", "cid=-1"]
        {
            assert!(problem::<VsockSpec>(text).ends_with(VSOCK.form), "{text}");
        }
        assert!(problem::<VsockSpec>("cid=2").contains("from 3"));
        assert!(problem::<NetSpec>("tap=a,mac=ff:ff:ff:ff:ff:ff").contains("group address"));
    }
}
