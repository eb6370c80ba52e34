//! Bytes from one place in HBM to another, as if through a buffer of their own.

use super::{Error, Memory, Workbench, steps, still};

/// Bytes moved at a time.
const BYTES: usize = 65536;

pub(super) fn run(
    memory: Memory<'_>,
    workbench: &mut Workbench,
    live: &dyn Fn() -> bool,
    source: u64,
    destination: u64,
    length: u64,
) -> Result<(), Error> {
    let from = memory.bytes(source, length)?;
    let to = memory.bytes(destination, length)?;
    let buffer: &mut [u8] =
        bytemuck::cast_slice_mut(workbench.words(length.min(BYTES as u64).div_ceil(4) as usize));
    let mut step = |(at, count): (u64, usize)| {
        still(live)?;
        from.load(at, &mut buffer[..count])?;
        to.store(at, &buffer[..count])
    };
    // Upwards, a step could overwrite what a later one has yet to read if the destination lies
    // behind the source: then downwards, counting the same steps from the end.
    if destination <= source {
        steps(length, BYTES).try_for_each(&mut step)
    } else {
        steps(length, BYTES)
            .map(|(at, count)| (length - at - count as u64, count))
            .try_for_each(&mut step)
    }
}
