//! What carries messages: data objects, their discovery, MCTP, and no transport at all.
//!
//! What a transport takes it gives back as it came; a data object as it came but for reserved bits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_spdm::transport::carrier::{Carrier, Transport};
use ravelin_spdm::transport::doe::{self, Discovered, Discovery};
use ravelin_spdm::transport::socket::{HEADER_SIZE, Header};

fuzz_target!(|data: &[u8]| {
    for transport in [Transport::Doe, Transport::Mctp] {
        let mut carrier = Carrier::new(transport);
        if let Ok(message) = carrier.decode(data) {
            let carried = carrier.encode(&message).unwrap();
            assert_eq!(carried.len(), data.len());
            assert_eq!(carrier.decode(&carried), Ok(message));
        }
    }
    // Without a transport, what a message is depends on those before it.
    let mut wire = Carrier::new(Transport::None);
    for payload in data.chunks(32) {
        let message = wire.decode(payload).unwrap();
        assert_eq!(message.as_bytes(), payload);
        assert_eq!(wire.encode(&message).unwrap(), payload);
    }
    if let Ok((object_type, payload)) = doe::decode(data) {
        assert_eq!(doe::encode(object_type, payload).unwrap().len(), data.len());
    }
    if let Ok(discovery) = Discovery::decode(data) {
        let answer = discovery.answer().encode();
        assert_eq!(Discovered::decode(&answer), Ok(discovery.answer()));
    }
    if let Ok(discovered) = Discovered::decode(data) {
        assert_eq!(Discovered::decode(&discovered.encode()), Ok(discovered));
    }
    if let Some(header) = data.first_chunk::<HEADER_SIZE>() {
        assert_eq!(Header::decode(header).encode(), *header);
    }
});
