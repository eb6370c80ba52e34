//! Between numbers and their little-endian bytes, which is how HBM and files hold them.

use alloc::vec::Vec;

/// The bytes of these numbers.
pub fn float_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The numbers in these bytes; bytes behind the last whole number are left out.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The unsigned 32-bit words in these bytes; bytes behind the last whole word are left out.
pub fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
}
