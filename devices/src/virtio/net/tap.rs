//! A tap of the host's, opened by name: what the guest sends comes out of it as from a wire.
//!
//! The tap must be there. Opening one that is not would make it, with nobody at its other end.

// The tap is chosen by an ioctl with a structure of the kernel's.
#![allow(unsafe_code)]

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use vmm_sys_util::ioctl::ioctl_with_ref;

const DEVICE: &str = "/dev/net/tun";

/// Why there is no tap.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No interface can have this name.
    #[error("{0:?} is no name of a tap: use 1 to 15 characters without '/' and spaces")]
    Name(String),
    /// The kernel has no taps.
    #[error("{DEVICE} does not exist: load the tun module")]
    NoDevice,
    /// There is no such interface.
    #[error("tap {0:?} does not exist: make it with `ip tuntap add dev {0} mode tap user $USER`")]
    Missing(String),
    /// An interface, but no tap.
    #[error("{0:?} is no tap of one queue: make one with `ip tuntap add dev NAME mode tap`")]
    NotATap(String),
    /// Someone has it open.
    #[error("tap {0:?} is in use: stop the VM that has it, or make another tap")]
    InUse(String),
    /// This user may not.
    #[error(
        "no permission on tap {0:?}: make it for this user with `ip tuntap add dev {0} mode tap user $USER`"
    )]
    Permission(String),
    /// Something else.
    #[error("cannot open tap {0:?}")]
    Open(String, #[source] io::Error),
}

/// Opens the tap of this name for Ethernet frames: a read is one frame, and so is a write.
///
/// # Errors
/// It is missing, in use, out of reach or no tap.
pub fn open(name: &str) -> Result<File, Error> {
    let field = field(name).ok_or_else(|| Error::Name(name.into()))?;
    let other = |error: io::Error| Error::Open(name.into(), error);
    let query = socket(AddressFamily::UNIX, SocketType::DGRAM, None);
    let query = query.map_err(|errno| other(errno.into()))?;
    netdevice::name_to_index(&query, name).map_err(|errno| match errno {
        Errno::NODEV => Error::Missing(name.into()),
        errno => other(errno.into()),
    })?;
    let tap = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(DEVICE);
    let tap = tap.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => Error::NoDevice,
        Some(libc::EACCES | libc::EPERM) => Error::Permission(name.into()),
        _ => other(error),
    })?;
    let request = libc::ifreq {
        ifr_name: field,
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            // Bits below 2^15.
            ifru_flags: (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short,
        },
    };
    // SAFETY: TUNSETIFF reads a `struct ifreq`, which this is, and keeps no pointer to it.
    let done = unsafe { ioctl_with_ref(&tap, libc::TUNSETIFF as libc::c_ulong, &request) };
    if done < 0 {
        let error = io::Error::last_os_error();
        return Err(match error.raw_os_error() {
            Some(libc::EBUSY) => Error::InUse(name.into()),
            Some(libc::EPERM) => Error::Permission(name.into()),
            Some(libc::EINVAL) => Error::NotATap(name.into()),
            _ => other(error),
        });
    }
    Ok(tap)
}

/// A name as the kernel takes it, if an interface can have it.
fn field(name: &str) -> Option<[libc::c_char; libc::IFNAMSIZ]> {
    let legal = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%');
    // With room for the NUL behind it.
    let fits = (1..libc::IFNAMSIZ).contains(&name.len()) && !matches!(name, "." | "..");
    if !fits || !name.bytes().all(legal) {
        return None;
    }
    let mut field = [0; libc::IFNAMSIZ];
    field.iter_mut().zip(name.bytes()).for_each(|(place, byte)| *place = byte as libc::c_char);
    Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_interface_has_are_refused() {
        for name in ["", "sixteen-letters-", "a b", "a/b", "tap%d", "..", "täp0", "a\0b"] {
            assert!(matches!(open(name), Err(Error::Name(_))), "{name:?}");
        }
    }

    #[test]
    fn a_tap_that_is_not_there_is_not_made() {
        let name = "ravelin-none";
        assert!(matches!(open(name), Err(Error::Missing(_))));
        assert!(matches!(open(name), Err(Error::Missing(_))));
    }

    #[test]
    fn an_interface_that_is_no_tap_is_refused() {
        match open("lo") {
            Err(Error::NotATap(_) | Error::Permission(_) | Error::NoDevice) => {}
            other => panic!("{other:?}"),
        }
    }
}
