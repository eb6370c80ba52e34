//! The first column of the largest element, row by row.

use super::{Error, Memory, Workbench, apart, steps, still};

/// Columns looked at at a time.
const COLUMNS: usize = 4096;

pub(super) fn run(
    memory: Memory<'_>,
    workbench: &mut Workbench,
    live: &dyn Fn() -> bool,
    [x, out]: [u64; 2],
    [rows, columns]: [u64; 2],
) -> Result<(), Error> {
    // A row of no elements has no largest one; a column behind 2^32 has no u32 to be named by.
    if columns == 0 || columns > 1 << 32 {
        return Err(Error::Operand);
    }
    let x = memory.elements(x, rows, columns)?;
    let out = memory.elements(out, rows, 1)?;
    apart(&[(&x, &out)])?;
    for row in 0..rows {
        let mut largest = Largest { column: 0, value: f32::NAN };
        for (column, count) in steps(columns, COLUMNS) {
            still(live)?;
            let line = workbench.floats(count);
            x.load(row * columns + column, line)?;
            for (column, value) in (column..).zip(&*line) {
                largest.see(column as u32, *value);
            }
        }
        out.store(row, &[largest.column])?;
    }
    Ok(())
}

struct Largest {
    column: u32,
    value: f32,
}

impl Largest {
    /// NaN is never larger, and anything else is larger than NaN.
    fn see(&mut self, column: u32, value: f32) {
        if value > self.value || (self.value.is_nan() && !value.is_nan()) {
            *self = Largest { column, value };
        }
    }
}
