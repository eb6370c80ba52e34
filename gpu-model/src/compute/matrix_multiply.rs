//! c = a * b, each element summed over k in ascending order, each product and sum rounded to f32.
//!
//! Tiles of b stay on the workbench while every row of a passes over them. A row of c leaves after
//! one block of k and comes back for the next; as it is f32 in between anyway, the order and the
//! rounding are those of one long sum. The inner loop runs over columns, so it is vectorized without
//! touching the order.

use super::{Error, Memory, Workbench, apart, steps, still};

/// Rows of a tile of b: products summed between two passes of c.
const BLOCK: usize = 128;
/// Columns of a tile of b. With [`BLOCK`] it fills half of a 512 KiB cache.
const COLUMNS: usize = 512;

pub(super) fn run(
    memory: Memory<'_>,
    workbench: &mut Workbench,
    live: &dyn Fn() -> bool,
    [a, b, c]: [u64; 3],
    [m, n, k]: [u64; 3],
) -> Result<(), Error> {
    let a = memory.elements(a, m, k)?;
    let b = memory.elements(b, k, n)?;
    let c = memory.elements(c, m, n)?;
    apart(&[(&c, &a), (&c, &b)])?;
    for (column, columns) in steps(n, COLUMNS) {
        let floats = workbench.floats(BLOCK * COLUMNS + BLOCK + COLUMNS);
        let (tile, rest) = floats.split_at_mut(BLOCK * COLUMNS);
        let (factors, sums) = rest.split_at_mut(BLOCK);
        let sums = &mut sums[..columns];
        if k == 0 {
            sums.fill(0.0);
            for row in 0..m {
                still(live)?;
                c.store(row * n + column, sums)?;
            }
        }
        for (depth, block) in steps(k, BLOCK) {
            let tile = &mut tile[..block * columns];
            let factors = &mut factors[..block];
            for (row, line) in (depth..).zip(tile.chunks_exact_mut(columns)) {
                b.load(row * n + column, line)?;
            }
            for row in 0..m {
                still(live)?;
                a.load(row * k + depth, factors)?;
                match depth {
                    0 => sums.fill(0.0),
                    _ => c.load(row * n + column, sums)?,
                }
                accumulate(sums, factors, tile);
                c.store(row * n + column, sums)?;
            }
        }
    }
    Ok(())
}

/// Adds to each sum the products of `factors` with its column of `tile`, in order.
fn accumulate(sums: &mut [f32], factors: &[f32], tile: &[f32]) {
    let columns = sums.len();
    let (fours, rest) = factors.as_chunks::<4>();
    let (tile_fours, tile_rest) = tile.split_at(fours.len() * 4 * columns);
    // Four rows at a time: a quarter of the loads and stores of sums, and still one addition after
    // the other.
    for (&[f0, f1, f2, f3], lines) in fours.iter().zip(tile_fours.chunks_exact(4 * columns)) {
        let (l0, lines) = lines.split_at(columns);
        let (l1, lines) = lines.split_at(columns);
        let (l2, l3) = lines.split_at(columns);
        for ((((sum, x0), x1), x2), x3) in sums.iter_mut().zip(l0).zip(l1).zip(l2).zip(l3) {
            *sum = *sum + f0 * x0 + f1 * x1 + f2 * x2 + f3 * x3;
        }
    }
    for (factor, line) in rest.iter().zip(tile_rest.chunks_exact(columns)) {
        for (sum, x) in sums.iter_mut().zip(line) {
            *sum += factor * x;
        }
    }
}
