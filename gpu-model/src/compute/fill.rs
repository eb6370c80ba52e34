//! One value to many words.

use super::{Error, Memory, Workbench, steps, still};

/// Words written at a time.
const WORDS: usize = 16384;

pub(super) fn run(
    memory: Memory<'_>,
    workbench: &mut Workbench,
    live: &dyn Fn() -> bool,
    address: u64,
    count: u64,
    value: u32,
) -> Result<(), Error> {
    let target = memory.elements(address, 1, count)?;
    let words = workbench.words(count.min(WORDS as u64) as usize);
    words.fill(value);
    for (at, count) in steps(count, WORDS) {
        still(live)?;
        target.store(at, &words[..count])?;
    }
    Ok(())
}
