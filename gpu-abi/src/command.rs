//! The records that the compute engine obeys, and its replies.
//!
//! A command is 64 bytes, little-endian: an operation number (u32), an activation or zero (u32),
//! and seven 64-bit operands. Matrices are f32, row-major, contiguous, at multiples of 4 bytes.

use crate::ring::{u32_at, u64_at};

/// Bytes of a [`Command`] in a record.
pub const COMMAND_SIZE: usize = 64;
/// Bytes of a [`Reply`] in a record.
pub const REPLY_SIZE: usize = 8;

/// The function applied to each element after the bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Activation {
    /// x
    None = 0,
    /// max(x, 0)
    Relu = 1,
}

/// One kernel launch. Addresses are in HBM, in bytes; counts are in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// c\[m,n\] = sum over k, ascending, of a\[m,k\] * b\[k,n\]; each product and each sum rounded
    /// to f32, starting from 0. The order is part of the interface: it makes results reproducible
    /// bit for bit.
    MatrixMultiply {
        /// a: m rows, k columns.
        a: u64,
        /// b: k rows, n columns.
        b: u64,
        /// c: m rows, n columns.
        c: u64,
        /// Rows of a and c.
        m: u64,
        /// Columns of b and c.
        n: u64,
        /// Columns of a, rows of b.
        k: u64,
    },
    /// x\[r,c\] = activation(x\[r,c\] + bias\[c\]), in place.
    BiasActivation {
        /// x: `rows` rows, `columns` columns.
        x: u64,
        /// bias: `columns` elements.
        bias: u64,
        /// Rows of x.
        rows: u64,
        /// Columns of x.
        columns: u64,
        /// What follows the addition.
        activation: Activation,
    },
    /// out\[r\] = the first column of the largest element in row r of x, as u32. NaN is never
    /// larger.
    ArgMaxRows {
        /// x: `rows` rows, `columns` columns.
        x: u64,
        /// out: `rows` elements of u32.
        out: u64,
        /// Rows of x.
        rows: u64,
        /// Columns of x; at least 1.
        columns: u64,
    },
    /// Writes `value` to `count` 32-bit words.
    Fill {
        /// First word.
        address: u64,
        /// Number of words.
        count: u64,
        /// Each word.
        value: u32,
    },
    /// Copies `length` bytes within HBM, as if through a buffer of its own.
    Copy {
        /// First byte read.
        source: u64,
        /// First byte written.
        destination: u64,
        /// Number of bytes.
        length: u64,
    },
    /// Does nothing and replies: a round trip.
    Nop,
}

impl Command {
    /// The command as it stands in a record.
    pub fn encode(&self) -> [u8; COMMAND_SIZE] {
        let (operation, extra, operands) = match *self {
            Command::Nop => (0, 0, [0; 7]),
            Command::MatrixMultiply { a, b, c, m, n, k } => (1, 0, [a, b, c, m, n, k, 0]),
            Command::BiasActivation { x, bias, rows, columns, activation } => {
                (2, activation as u32, [x, bias, rows, columns, 0, 0, 0])
            }
            Command::ArgMaxRows { x, out, rows, columns } => {
                (3, 0, [x, out, rows, columns, 0, 0, 0])
            }
            Command::Fill { address, count, value } => {
                (4, 0, [address, count, u64::from(value), 0, 0, 0, 0])
            }
            Command::Copy { source, destination, length } => {
                (5, 0, [source, destination, length, 0, 0, 0, 0])
            }
        };
        let mut bytes = [0; COMMAND_SIZE];
        bytes[0..4].copy_from_slice(&u32::to_le_bytes(operation));
        bytes[4..8].copy_from_slice(&u32::to_le_bytes(extra));
        for (place, operand) in bytes[8..].chunks_exact_mut(8).zip(operands) {
            place.copy_from_slice(&operand.to_le_bytes());
        }
        bytes
    }

    /// The command in these bytes. `None` if they are none: an unknown operation or activation, a
    /// value too large for its field, an unused operand that is not zero, or a wrong length.
    pub fn decode(bytes: &[u8]) -> Option<Command> {
        let bytes: &[u8; COMMAND_SIZE] = bytes.try_into().ok()?;
        let extra = u32_at(bytes, 4);
        let operands: [u64; 7] = core::array::from_fn(|index| u64_at(bytes, 8 + 8 * index));
        let command = match (u32_at(bytes, 0), operands) {
            (0, [..]) => Command::Nop,
            (1, [a, b, c, m, n, k, _]) => Command::MatrixMultiply { a, b, c, m, n, k },
            (2, [x, bias, rows, columns, ..]) => Command::BiasActivation {
                x,
                bias,
                rows,
                columns,
                activation: match extra {
                    0 => Activation::None,
                    1 => Activation::Relu,
                    _ => return None,
                },
            },
            (3, [x, out, rows, columns, ..]) => Command::ArgMaxRows { x, out, rows, columns },
            (4, [address, count, value, ..]) => {
                Command::Fill { address, count, value: u32::try_from(value).ok()? }
            }
            (5, [source, destination, length, ..]) => Command::Copy { source, destination, length },
            _ => return None,
        };
        // One encoding for each command: what is not used is zero.
        (command.encode() == *bytes).then_some(command)
    }
}

/// What the compute engine answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reply {
    /// The kernel ran to its end.
    Done = 0,
    /// An operand reaches past HBM, overlaps where it must not, or is misaligned. Nothing was
    /// written.
    BadOperand = 1,
    /// The record is no command.
    BadCommand = 2,
}

impl Reply {
    /// The reply as it stands in a record.
    pub fn encode(self) -> [u8; REPLY_SIZE] {
        u64::from(self as u32).to_le_bytes()
    }

    /// The reply in these bytes.
    pub fn decode(bytes: &[u8]) -> Option<Reply> {
        Some(match u64::from_le_bytes(bytes.try_into().ok()?) {
            0 => Reply::Done,
            1 => Reply::BadOperand,
            2 => Reply::BadCommand,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_survive_a_record() {
        for command in [
            Command::Nop,
            Command::MatrixMultiply { a: 4, b: 8, c: 12, m: 1, n: 2, k: 3 },
            Command::BiasActivation {
                x: 4,
                bias: 8,
                rows: 1,
                columns: 2,
                activation: Activation::Relu,
            },
            Command::ArgMaxRows { x: 4, out: 8, rows: 1, columns: 2 },
            Command::Fill { address: 4, count: 2, value: u32::MAX },
            Command::Copy { source: 1, destination: 2, length: u64::MAX },
        ] {
            assert_eq!(Command::decode(&command.encode()), Some(command));
        }
    }

    #[test]
    fn what_a_command_does_not_use_must_be_zero() {
        let mut bytes = Command::Fill { address: 4, count: 2, value: 7 }.encode();
        bytes[63] = 1;
        assert_eq!(Command::decode(&bytes), None);
        let mut bytes = Command::Nop.encode();
        bytes[4] = 1;
        assert_eq!(Command::decode(&bytes), None);
    }

    #[test]
    fn no_other_length_is_a_command() {
        let bytes = Command::Nop.encode();
        assert_eq!(Command::decode(&bytes[..COMMAND_SIZE - 1]), None);
        assert_eq!(Command::decode(&[]), None);
    }
}
