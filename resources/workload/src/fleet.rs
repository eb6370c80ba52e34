//! All GPUs of a guest: trusted together or not at all, used in turn.
//!
//! Work is one secret: a single bad GPU among good ones would get its share. So no work is done
//! before every GPU has its verdict and all are good, and the same device must not stand at two
//! places, where nobody could tell it from a relay. This is what `ravelin_attestation::verify_all`
//! asks, in a guest whose driver judges each GPU in the session that it then uses.
//!
//! With a [`Witness`] the guest also testifies to what all of them have presented together, each time
//! that one has presented something new.

use alloc::vec::Vec;

use rand_core::CryptoRng;
use ravelin_driver::{Bus, Clock, SharedMemory};

use crate::guarded::{Guarded, Judged};
use crate::task::{Error, Host};
use crate::witness::Witness;

/// The GPUs of a guest, in the order of their places.
pub struct Fleet<'a, B, M, C, R, H> {
    gpus: Vec<Guarded<'a, B, M, C, R, H>>,
    /// Whether all have been attested together.
    met: bool,
    witness: Option<Witness<'a>>,
}

impl<'a, B: Bus, M: SharedMemory, C: Clock, R: CryptoRng, H: Host> Fleet<'a, B, M, C, R, H> {
    /// These GPUs, none attested.
    pub fn new(gpus: Vec<Guarded<'a, B, M, C, R, H>>) -> Self {
        Fleet { gpus, met: false, witness: None }
    }

    /// The same, with somebody who testifies to them.
    pub fn with_witness(self, witness: Option<Witness<'a>>) -> Self {
        Fleet { witness, ..self }
    }

    /// Does `work` with each GPU in turn. Before the first time, all are attested together. A GPU
    /// that has to be attested again on the way must still be none of the others.
    ///
    /// # Errors
    /// A GPU is refused, or the work's own; the GPUs behind it do nothing then.
    pub fn on_each(
        &mut self,
        mut work: impl FnMut(&mut Guarded<'a, B, M, C, R, H>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if !self.met {
            self.meet()?;
            self.met = true;
        }
        for place in 0..self.gpus.len() {
            let all = self.gpus.iter().enumerate();
            let others = all.filter(|(other, _)| *other != place);
            let others = others.filter_map(|(_, gpu)| gpu.identity()).collect();
            if let Some(gpu) = self.gpus.get_mut(place) {
                gpu.set_others(others);
                let worked = work(gpu);
                self.testify()?;
                worked?;
            }
        }
        Ok(())
    }

    /// Does nothing for so many microseconds.
    pub fn pause(&mut self, microseconds: u64) {
        if let Some(gpu) = self.gpus.first_mut() {
            gpu.host.pause(microseconds);
        }
    }

    /// Attests every GPU, reports a verdict on each, and keeps the sessions only if all are good.
    fn meet(&mut self) -> Result<(), Error> {
        let mut judged: Vec<Judged> = self.gpus.iter_mut().map(Guarded::judge).collect();
        let identities: Vec<_> = judged.iter().map(Judged::identity).collect();
        for (place, judged) in judged.iter_mut().enumerate() {
            let all = identities.iter().enumerate();
            let others = all.filter(|(other, _)| *other != place);
            let others: Vec<_> = others.filter_map(|(_, identity)| *identity).collect();
            judged.must_not_be(&others);
        }
        let mut whole = Ok(());
        for (gpu, judged) in self.gpus.iter_mut().zip(judged) {
            let verdict = gpu.conclude(judged);
            whole = whole.and(verdict);
        }
        let testified = self.testify();
        let whole = whole.and(testified);
        if whole.is_err() {
            self.gpus.iter_mut().for_each(|gpu| gpu.gpu.end_session());
        }
        whole
    }

    /// Reports the witness's word, if it has something new to say. A GPU that presents nothing, which
    /// only one without protection may, leaves nothing to be said about all.
    fn testify(&mut self) -> Result<(), Error> {
        let Some(witness) = &mut self.witness else { return Ok(()) };
        let presented: Option<Vec<_>> = self.gpus.iter().map(Guarded::presented).collect();
        if let (Some(presented), Some(first)) = (presented, self.gpus.first_mut())
            && let Some(event) = witness.testify(presented)?
        {
            first.host.report(&event);
        }
        Ok(())
    }
}
