//! What stands in shared memory and in records: descriptors, commands, replies. Each has one
//! spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::command::{Command, Reply};
use ravelin_gpu_abi::registers::{Mode, Status};
use ravelin_gpu_abi::ring::{DESCRIPTOR_SIZE, Descriptor, Outcome};

fuzz_target!(|data: &[u8]| {
    if let Some(bytes) = data.first_chunk::<DESCRIPTOR_SIZE>()
        && let Some(descriptor) = Descriptor::decode(bytes)
    {
        assert_eq!(descriptor.encode(), *bytes);
        if let Some(outcome) = Outcome::from_value(descriptor.outcome) {
            assert_eq!(outcome as u32, descriptor.outcome);
        }
        if let Some(engine) = Engine::from_index(descriptor.engine) {
            assert_eq!(engine.index(), descriptor.engine as usize);
        }
    }
    if let Some(command) = Command::decode(data) {
        assert_eq!(command.encode(), *data);
    }
    if let Some(reply) = Reply::decode(data) {
        assert_eq!(reply.encode(), *data);
    }
    if let Some(word) = data.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)) {
        assert!(Status::from_value(word).is_none_or(|status| status as u32 == word));
        assert!(Mode::from_value(word).is_none_or(|mode| mode as u32 == word));
    }
});
