use proptest::prelude::*;
use ravelin_gpu_abi::command::Activation;
use ravelin_gpu_abi::registers::Mode;
use std::cell::Cell;

use super::*;
use crate::hbm::{CHUNK, SIZE_MIN};

const SIZE: u64 = 2 * SIZE_MIN;
/// First protected byte of a GPU of that size.
const BASE: u64 = SIZE / 4;

struct Gpu {
    firewall: Firewall,
    hbm: Hbm,
}

impl Gpu {
    fn new() -> Gpu {
        Gpu { firewall: Firewall::lock(Mode::On, SIZE), hbm: Hbm::new(SIZE).unwrap() }
    }

    fn run(&self, command: Command) -> Result<(), Error> {
        let memory = Memory { firewall: &self.firewall, hbm: &self.hbm };
        run(command, memory, &mut Workbench::default(), &|| true)
    }

    fn put<T: bytemuck::Pod>(&self, address: u64, elements: &[T]) {
        let bytes = bytemuck::cast_slice(elements);
        let place = self.firewall.admit(Initiator::Sec2, address, bytes.len() as u64).unwrap();
        self.hbm.write(&place, bytes).unwrap();
    }

    fn get<T: bytemuck::Pod>(&self, address: u64, count: usize) -> Vec<T> {
        let mut elements = vec![T::zeroed(); count];
        let bytes = bytemuck::cast_slice_mut(&mut elements);
        let place = self.firewall.admit(Initiator::Sec2, address, bytes.len() as u64).unwrap();
        self.hbm.read(&place, bytes).unwrap();
        elements
    }
}

/// Numbers whose sums depend on the order in which they are added.
fn numbers(count: u64, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| next() * 10_f32.powi((next() * 4.0) as i32)).collect()
}

fn reference(a: &[f32], b: &[f32], [m, n, k]: [usize; 3]) -> Vec<f32> {
    let mut c = vec![0.0; m * n];
    for row in 0..m {
        for column in 0..n {
            let mut sum = 0.0_f32;
            for depth in 0..k {
                sum += a[row * k + depth] * b[depth * n + column];
            }
            c[row * n + column] = sum;
        }
    }
    c
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn multiply(gpu: &Gpu, [m, n, k]: [u64; 3]) {
    let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
    // Across the boundary of two chunks, so that rows are cut by it.
    let at = [BASE + CHUNK - 8, BASE + 2 * CHUNK - 12, BASE + 3 * CHUNK - 16];
    gpu.put(at[0], &a);
    gpu.put(at[1], &b);
    gpu.run(Command::MatrixMultiply { a: at[0], b: at[1], c: at[2], m, n, k }).unwrap();
    let c = gpu.get(at[2], (m * n) as usize);
    let expected = reference(&a, &b, [m, n, k].map(|count| count as usize));
    assert!(bits(&c) == bits(&expected), "{m} x {n} x {k}");
}

#[test]
fn matrix_multiplication_is_exact_in_every_bit() {
    // Around the tile sizes: 128 rows, 512 columns, four at a time.
    for shape in [
        [1, 1, 1],
        [2, 3, 0],
        [3, 5, 7],
        [17, 10, 64],
        [2, 513, 129],
        [5, 512, 128],
        [3, 511, 127],
        [2, 1030, 261],
    ] {
        multiply(&Gpu::new(), shape);
    }
}

#[test]
fn an_empty_product_is_zero_not_what_stood_there() {
    let gpu = Gpu::new();
    gpu.put(BASE, &[7.0_f32; 6]);
    let c = BASE;
    gpu.run(Command::MatrixMultiply { a: BASE, b: BASE, c, m: 2, n: 3, k: 0 }).unwrap();
    assert_eq!(gpu.get::<f32>(BASE, 6), [0.0; 6]);
}

#[test]
fn bias_and_activation_go_by_columns() {
    let gpu = Gpu::new();
    let (x, bias) = (BASE, BASE + 4096);
    gpu.put(x, &[1.0_f32, -2.0, f32::NAN, -0.0, 5.0, 1.0]);
    gpu.put(bias, &[-3.0_f32, 1.0, -0.0]);
    let command = |activation| Command::BiasActivation { x, bias, rows: 2, columns: 3, activation };
    gpu.run(command(Activation::None)).unwrap();
    let sums = gpu.get::<f32>(x, 6);
    assert_eq!(sums[..2], [-2.0, -1.0]);
    assert!(sums[2].is_nan());
    assert_eq!(sums[3..], [-3.0, 6.0, 1.0]);
    gpu.run(command(Activation::Relu)).unwrap();
    assert_eq!(bits(&gpu.get(x, 6)), bits(&[0.0, 0.0, 0.0, 0.0, 7.0, 1.0]));
}

#[test]
fn arg_max_takes_the_first_of_equals_and_no_nan() {
    let gpu = Gpu::new();
    let (x, out) = (BASE, BASE + 4096);
    let rows = [
        [1.0, 3.0, 3.0],
        [f32::NAN, f32::NEG_INFINITY, -1.0],
        [2.0, f32::NAN, 1.0],
        [f32::NAN, f32::NAN, f32::NAN],
    ];
    gpu.put(x, rows.as_flattened());
    gpu.run(Command::ArgMaxRows { x, out, rows: 4, columns: 3 }).unwrap();
    assert_eq!(gpu.get::<u32>(out, 4), [1, 2, 0, 0]);
}

#[test]
fn arg_max_looks_past_its_first_step() {
    let gpu = Gpu::new();
    let mut line = vec![0.0_f32; 10_000];
    line[9_999] = 1.0;
    gpu.put(BASE, &line);
    let out = BASE + CHUNK;
    gpu.run(Command::ArgMaxRows { x: BASE, out, rows: 1, columns: 10_000 }).unwrap();
    assert_eq!(gpu.get::<u32>(out, 1), [9_999]);
}

#[test]
fn fill_writes_each_word_and_no_more() {
    let gpu = Gpu::new();
    gpu.run(Command::Fill { address: BASE + 4, count: 40_000, value: 9 }).unwrap();
    assert_eq!(gpu.get::<u32>(BASE + 4, 40_000), vec![9; 40_000]);
    assert_eq!(gpu.get::<u32>(BASE, 1), [0]);
    assert_eq!(gpu.get::<u32>(BASE + 4 + 160_000, 1), [0]);
}

#[test]
fn operands_that_must_not_be_are_refused_before_a_byte_is_written() {
    let (x, y) = (BASE, BASE + 4096);
    let wide = 1 << 62;
    let multiply = |a, b, c, m, n, k| Command::MatrixMultiply { a, b, c, m, n, k };
    let bias = |x, bias, rows, columns| Command::BiasActivation {
        x,
        bias,
        rows,
        columns,
        activation: Activation::Relu,
    };
    for command in [
        // Misaligned.
        multiply(x + 1, y, y + 64, 1, 1, 1),
        Command::Fill { address: x + 2, count: 1, value: 1 },
        // The result over a factor.
        multiply(x, y, x, 2, 2, 2),
        multiply(x, y, y + 12, 2, 2, 2),
        bias(x, x + 4, 2, 2),
        Command::ArgMaxRows { x, out: x + 4, rows: 2, columns: 2 },
        // Counts that overflow, each pair.
        multiply(x, y, x, wide, 1, wide),
        multiply(x, y, x, 1, wide, wide),
        multiply(x, y, x, wide, wide, 1),
        bias(x, y, u64::MAX, u64::MAX),
        Command::Fill { address: x, count: u64::MAX, value: 1 },
        Command::Copy { source: x, destination: y, length: u64::MAX },
        // Rows of nothing, and columns without a name.
        Command::ArgMaxRows { x, out: y, rows: 1, columns: 0 },
        Command::ArgMaxRows { x, out: y, rows: 0, columns: (1 << 32) + 1 },
        // Past the end, and before the beginning: what the window shows is not the engine's.
        Command::Fill { address: SIZE - 4, count: 2, value: 1 },
        Command::Fill { address: BASE - 4, count: 2, value: 1 },
        Command::Fill { address: 0, count: 1, value: 1 },
        Command::Copy { source: x, destination: 0, length: 4 },
        Command::Copy { source: 0, destination: x, length: 4 },
    ] {
        let gpu = Gpu::new();
        assert_eq!(gpu.run(command), Err(Error::Operand), "{command:?}");
        assert_eq!(gpu.hbm.resident(), 0, "{command:?}");
    }
}

#[test]
fn a_kernel_stops_when_its_lease_ends() {
    let gpu = Gpu::new();
    let left = Cell::new(3);
    let live = || left.replace(left.get() - 1) > 0;
    let memory = Memory { firewall: &gpu.firewall, hbm: &gpu.hbm };
    let command = Command::Fill { address: BASE, count: (SIZE - BASE) / 4, value: 1 };
    let stopped = run(command, memory, &mut Workbench::default(), &live);
    assert_eq!(stopped, Err(Error::Stopped));
    assert_eq!(gpu.get::<u32>(SIZE - 4, 1), [0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_copy_is_as_if_through_a_buffer(
        source in 0_u64..300_000, destination in 0_u64..300_000, length in 0_usize..200_000,
    ) {
        let gpu = Gpu::new();
        let all: Vec<u8> = (0..500_000_u32).map(|n| (n ^ n >> 8 ^ n >> 16) as u8).collect();
        gpu.put(BASE, &all);
        gpu.run(Command::Copy {
            source: BASE + source,
            destination: BASE + destination,
            length: length as u64,
        }).unwrap();
        let mut expected = all.clone();
        expected.copy_within(source as usize..source as usize + length, destination as usize);
        prop_assert!(gpu.get::<u8>(BASE, 500_000) == expected);
    }

    #[test]
    fn no_command_panics_or_leaves_the_protected_region(
        bytes in prop::collection::vec(any::<u8>(), 64), operation in 0_u8..7, small: bool,
    ) {
        let mut bytes = bytes;
        bytes[..8].fill(0);
        bytes[0] = operation;
        if small {
            // Counts and addresses that often are valid.
            for operand in bytes[8..].chunks_exact_mut(8) {
                operand[3..].fill(0);
            }
        }
        let gpu = Gpu::new();
        if let Some(command) = Command::decode(&bytes) {
            let deadline = std::time::Instant::now() + std::time::Duration::from_millis(50);
            let live = || std::time::Instant::now() < deadline;
            let memory = Memory { firewall: &gpu.firewall, hbm: &gpu.hbm };
            let _ = run(command, memory, &mut Workbench::default(), &live);
        }
        let open = Firewall::lock(Mode::Off, SIZE);
        let place = open.admit(Initiator::Sec2, 0, BASE).unwrap();
        let mut unprotected = vec![1; BASE as usize];
        gpu.hbm.read(&place, &mut unprotected).unwrap();
        prop_assert!(unprotected.iter().all(|byte| *byte == 0));
    }
}
