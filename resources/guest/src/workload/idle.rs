//! Does nothing, without keeping a processor busy, until the VM is stopped.

use super::Failure;
use crate::machine::Machine;

/// Between two looks at nothing.
const NAP_US: u32 = 1_000_000;

pub(super) fn run(machine: &mut Machine) -> Result<(), Failure> {
    loop {
        machine.wait(NAP_US);
    }
}
