//! The workload `digits`: handwriting recognised on each GPU, round after round.
//!
//! Each round carries weights and images to a GPU, computes there, and carries outputs and
//! predictions back. The report has a digest of the outputs; whether it equals the plain
//! reference's is for the launcher to say, which has the reference too.

use alloc::vec;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use ravelin_digits::{CLASSES, HIDDEN, PIXELS, Payload, float_bytes, floats, reference, words};
use ravelin_driver::{Bus, Clock, Gpu, SharedMemory};
use ravelin_gpu_abi::command::{Activation, Command};
use ravelin_report::{Event, Round};

use crate::fleet::Fleet;
use crate::guarded::transfer;
use crate::place::Places;
use crate::task::{Error, Host, Repeat, hex};

/// Between two rounds that are repeated forever: someone may want to watch.
const PAUSE_US: u64 = 200_000;
const ELEMENT: u64 = 4;

/// Runs the workload.
pub fn run<B: Bus, M: SharedMemory, C: Clock, R: CryptoRng, H: Host>(
    fleet: &mut Fleet<'_, B, M, C, R, H>,
    payload: &[u8],
    repeat: Repeat,
) -> Result<(), Error> {
    let payload = Payload::parse(payload)?;
    let upload = Upload::new(&payload);
    let mut number = 1;
    while repeat.includes(number) {
        fleet.on_each(|guarded| {
            let place = guarded.index();
            let round = guarded.work(|gpu| upload.round(gpu, place, number))?;
            guarded.host.report(&Event::Round(round));
            Ok(())
        })?;
        if repeat == Repeat::Forever {
            fleet.pause(PAUSE_US);
        }
        number += 1;
    }
    Ok(())
}

/// The payload, as the GPU wants it.
struct Upload {
    samples: u64,
    w1: Vec<u8>,
    b1: Vec<u8>,
    w2: Vec<u8>,
    b2: Vec<u8>,
    images: Vec<u8>,
}

impl Upload {
    fn new(payload: &Payload) -> Upload {
        let network = payload.network();
        Upload {
            samples: payload.samples() as u64,
            w1: float_bytes(network.w1()),
            b1: float_bytes(network.b1()),
            w2: float_bytes(network.w2()),
            b2: float_bytes(network.b2()),
            images: float_bytes(payload.images()),
        }
    }

    /// One round, all of it on the GPU at this place.
    fn round<B: Bus, M: SharedMemory, C: Clock>(
        &self,
        gpu: &mut Gpu<B, M, C>,
        place: u32,
        number: u64,
    ) -> Result<Round, Error> {
        let before = gpu.traffic();
        let mut places = Places::new(gpu.memory_range());
        let mut upload = |bytes: &[u8], gpu: &mut Gpu<B, M, C>| -> Result<u64, Error> {
            let place = places.take(bytes.len() as u64)?;
            gpu.copy_in(place, bytes)?;
            Ok(place)
        };
        let w1 = upload(&self.w1, gpu)?;
        let b1 = upload(&self.b1, gpu)?;
        let w2 = upload(&self.w2, gpu)?;
        let b2 = upload(&self.b2, gpu)?;
        let images = upload(&self.images, gpu)?;
        let rows = self.samples;
        let hidden = places.take(rows * HIDDEN as u64 * ELEMENT)?;
        let outputs = places.take(rows * CLASSES as u64 * ELEMENT)?;
        let predictions = places.take(rows * ELEMENT)?;

        let (pixels, columns, classes) = (PIXELS as u64, HIDDEN as u64, CLASSES as u64);
        let (relu, none) = (Activation::Relu, Activation::None);
        gpu.launch_all(&[
            Command::MatrixMultiply { a: images, b: w1, c: hidden, m: rows, n: columns, k: pixels },
            Command::BiasActivation { x: hidden, bias: b1, rows, columns, activation: relu },
            Command::MatrixMultiply {
                a: hidden,
                b: w2,
                c: outputs,
                m: rows,
                n: classes,
                k: columns,
            },
            Command::BiasActivation {
                x: outputs,
                bias: b2,
                rows,
                columns: classes,
                activation: none,
            },
            Command::ArgMaxRows { x: outputs, out: predictions, rows, columns: classes },
        ])?;

        let mut output_bytes = vec![0; self.samples as usize * CLASSES * ELEMENT as usize];
        gpu.copy_out(outputs, &mut output_bytes)?;
        let mut prediction_bytes = vec![0; self.samples as usize * ELEMENT as usize];
        gpu.copy_out(predictions, &mut prediction_bytes)?;
        Ok(Round {
            gpu: place,
            number,
            predictions: words(&prediction_bytes),
            outputs_sha384: hex(&reference::outputs_sha384(&floats(&output_bytes))),
            transfer: transfer(before, gpu.traffic()),
        })
    }
}
