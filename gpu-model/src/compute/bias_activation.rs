//! x = activation(x + bias), in place, the bias by columns.

use ravelin_gpu_abi::command::Activation;

use super::{Error, Memory, Workbench, apart, steps, still};

/// Columns done at a time.
const COLUMNS: usize = 4096;

pub(super) fn run(
    memory: Memory<'_>,
    workbench: &mut Workbench,
    live: &dyn Fn() -> bool,
    [x, bias]: [u64; 2],
    [rows, columns]: [u64; 2],
    activation: Activation,
) -> Result<(), Error> {
    let x = memory.elements(x, rows, columns)?;
    let bias = memory.elements(bias, 1, columns)?;
    apart(&[(&x, &bias)])?;
    for (column, count) in steps(columns, COLUMNS) {
        let (bias_part, line) = workbench.floats(2 * count).split_at_mut(count);
        bias.load(column, bias_part)?;
        for row in 0..rows {
            still(live)?;
            x.load(row * columns + column, line)?;
            for (element, bias) in line.iter_mut().zip(&*bias_part) {
                *element = activate(activation, *element + bias);
            }
            x.store(row * columns + column, line)?;
        }
    }
    Ok(())
}

fn activate(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::None => x,
        // Positive zero for -0 and NaN: one result whatever the order of a maximum's operands.
        Activation::Relu if x > 0.0 => x,
        Activation::Relu => 0.0,
    }
}
