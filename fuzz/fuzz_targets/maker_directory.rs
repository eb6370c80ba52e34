//! The directory of a provisioned device: its key's file, and its chain's. An identity is made of the
//! two only where they fit each other, and what is read can be written.
//!
//! The first two bytes are the length of the key's file; where it is 0 that is the key of the device
//! whose chain is among the seeds.
#![no_main]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use libfuzzer_sys::fuzz_target;
use ravelin_fuzz::device::DEVICE_KEY;
use ravelin_fuzz::folder::folder;
use ravelin_maker::DeviceIdentity;

fuzz_target!(|data: &[u8]| {
    let Some((length, rest)) = data.split_first_chunk() else { return };
    let (key, chain) = rest.split_at(rest.len().min(u16::from_le_bytes(*length).into()));
    let path = folder().join("key.pem");
    let genuine = DEVICE_KEY.as_bytes();
    fs::write(&path, if key.is_empty() { genuine } else { key }).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(folder().join("chain.der"), chain).unwrap();
    if let Ok(identity) = DeviceIdentity::read(folder()) {
        assert_eq!(identity.chain(), chain);
        assert!(identity.digest().is_some());
        assert!(chain.starts_with(identity.root_certificate()));
    }
});
