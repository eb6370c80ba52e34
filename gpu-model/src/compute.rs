//! The compute engine: one file a kernel, and what they share.
//!
//! Every operand is a range of HBM that the firewall admitted before the first byte is written, so a
//! command that is refused has changed nothing. Kernels work on tiles that they copy to a private
//! workbench and back, since HBM lies in chunks; they ask between tiles whether they still may.
//! What comes in a record and how a reply is sealed is the [`worker`](crate::worker)'s.

use ravelin_gpu_abi::command::Command;

use crate::firewall::{Admitted, Firewall, Initiator};
use crate::hbm::Hbm;

mod arg_max;
mod bias_activation;
mod copy;
mod fill;
mod matrix_multiply;
mod workbench;

pub(crate) use workbench::Workbench;

/// Bytes of an element: f32 or u32.
const ELEMENT: u64 = 4;

/// Why a kernel did not run to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// An operand is misaligned, overlaps where it must not, or reaches where the engine may not.
    /// Nothing was written.
    Operand,
    /// The lease ended. What was written until then is scrubbed with the rest.
    Stopped,
}

/// HBM, as the compute engine may touch it.
#[derive(Clone, Copy)]
pub(crate) struct Memory<'a> {
    pub(crate) firewall: &'a Firewall,
    pub(crate) hbm: &'a Hbm,
}

/// Runs `command` to its end, or until `live` says no more.
pub(crate) fn run(
    command: Command,
    memory: Memory<'_>,
    workbench: &mut Workbench,
    live: &dyn Fn() -> bool,
) -> Result<(), Error> {
    let done = match command {
        Command::MatrixMultiply { a, b, c, m, n, k } => {
            matrix_multiply::run(memory, workbench, live, [a, b, c], [m, n, k])
        }
        Command::BiasActivation { x, bias, rows, columns, activation } => {
            bias_activation::run(memory, workbench, live, [x, bias], [rows, columns], activation)
        }
        Command::ArgMaxRows { x, out, rows, columns } => {
            arg_max::run(memory, workbench, live, [x, out], [rows, columns])
        }
        Command::Fill { address, count, value } => {
            fill::run(memory, workbench, live, address, count, value)
        }
        Command::Copy { source, destination, length } => {
            copy::run(memory, workbench, live, source, destination, length)
        }
        Command::Nop => Ok(()),
    };
    workbench.wipe();
    done
}

impl<'a> Memory<'a> {
    /// `rows` times `columns` elements from `address`.
    fn elements(self, address: u64, rows: u64, columns: u64) -> Result<Operand<'a>, Error> {
        let length = rows
            .checked_mul(columns)
            .and_then(|count| count.checked_mul(ELEMENT))
            .ok_or(Error::Operand)?;
        if !address.is_multiple_of(ELEMENT) {
            return Err(Error::Operand);
        }
        self.bytes(address, length)
    }

    /// `length` bytes from `address`.
    fn bytes(self, address: u64, length: u64) -> Result<Operand<'a>, Error> {
        let place = self
            .firewall
            .admit(Initiator::ComputeEngine, address, length)
            .map_err(|_| Error::Operand)?;
        Ok(Operand { hbm: self.hbm, place })
    }
}

/// An admitted range of HBM.
struct Operand<'a> {
    hbm: &'a Hbm,
    place: Admitted<'a>,
}

impl Operand<'_> {
    /// Copies elements (or bytes, for `T` = `u8`) from index `at` out of HBM.
    fn load<T: bytemuck::Pod>(&self, at: u64, to: &mut [T]) -> Result<(), Error> {
        let place = self.part(at, to)?;
        self.hbm.read(&place, bytemuck::cast_slice_mut(to)).map_err(|_| Error::Operand)
    }

    /// Copies elements (or bytes) to HBM, from index `at`.
    fn store<T: bytemuck::Pod>(&self, at: u64, from: &[T]) -> Result<(), Error> {
        let place = self.part(at, from)?;
        self.hbm.write(&place, bytemuck::cast_slice(from)).map_err(|_| Error::Operand)
    }

    /// Whether the two have a byte in common.
    fn overlaps(&self, other: &Operand<'_>) -> bool {
        let end = |operand: &Operand<'_>| operand.place.address() + operand.place.length();
        let empty = self.place.length() == 0 || other.place.length() == 0;
        !empty && self.place.address() < end(other) && other.place.address() < end(self)
    }

    fn part<T>(&self, at: u64, slice: &[T]) -> Result<Admitted<'_>, Error> {
        // Kernels ask only for what is inside; were one not to, it stops instead of straying.
        let offset = at.checked_mul(size_of::<T>() as u64).ok_or(Error::Operand)?;
        self.place.part(offset, size_of_val(slice) as u64).ok_or(Error::Operand)
    }
}

/// Refuses operands that must not overlap.
fn apart(pairs: &[(&Operand<'_>, &Operand<'_>)]) -> Result<(), Error> {
    match pairs.iter().any(|(one, other)| one.overlaps(other)) {
        true => Err(Error::Operand),
        false => Ok(()),
    }
}

/// Goes on only while the lease is in force.
fn still(live: &dyn Fn() -> bool) -> Result<(), Error> {
    if live() { Ok(()) } else { Err(Error::Stopped) }
}

/// Cuts `total` into steps of at most `step`: where each begins and how long it is.
fn steps(total: u64, step: usize) -> impl Iterator<Item = (u64, usize)> {
    (0..total).step_by(step).map(move |at| (at, (total - at).min(step as u64) as usize))
}

#[cfg(target_endian = "big")]
compile_error!("HBM is little-endian and so must the machine be that plays the engines");

#[cfg(test)]
mod tests;
