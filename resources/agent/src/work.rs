//! What is done with the GPUs: the workloads of every guest, with this one's surroundings.

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use ravelin_digits::EMBEDDED;
use ravelin_driver::{Gpu, Layout, SharedMemory};
use ravelin_workload::documents::{self, Documents};
use ravelin_workload::fleet::Fleet;
use ravelin_workload::guarded::Guarded;
use ravelin_workload::task::{self, Repeat};
use ravelin_workload::{bench, digits, idle};

use crate::account::Account;
use crate::clock::Monotonic;
use crate::machine::{Found, Machine};
use crate::sysfs;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Attest the GPUs, and nothing else.
    Attest,
    /// Keep the GPUs attested.
    Idle,
    /// Recognise digits on each GPU.
    Digits(Repeat),
    /// Measure the encrypted path to the first GPU with so many bytes.
    Bench(u64),
}

/// How to go about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Most bytes of a record; the driver's choice without.
    pub chunk: Option<u32>,
    /// A relying party's nonce for the GPUs to answer.
    pub nonce: Option<[u8; 32]>,
    /// Whether what the GPUs present is reported.
    pub show_evidence: bool,
    /// Whether a GPU in plain mode will do: nothing is protected then.
    pub unprotected_allowed: bool,
}

/// Why the work is not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are no GPUs to work with.
    #[error(transparent)]
    Machine(#[from] sysfs::Error),
    /// A GPU does not open, or does not pass, or the work fails.
    #[error(transparent)]
    Task(#[from] task::Error),
    /// The agent was built from bad documents.
    #[error(transparent)]
    Documents(#[from] documents::Error),
}

impl Error {
    /// The stable code that the guest's last report gives as its result.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Machine(sysfs::Error::NoWindow(_)) => "no-shared-memory",
            Error::Machine(_) => "no-gpu",
            Error::Task(error) => error.code(),
            Error::Documents(_) => documents::Error::CODE,
        }
    }
}

/// Does it, and tells `account` what comes of it.
///
/// # Errors
/// There is no GPU, one is refused, or the work fails.
pub fn run(
    machine: &impl Machine,
    task: Task,
    terms: Terms,
    account: &Account,
) -> Result<(), Error> {
    let documents = Documents::pinned(terms.unprotected_allowed)?;
    let gpus = machine.gpus()?;
    account.set_places(gpus.iter().map(|gpu| gpu.address.clone()).collect());
    let opened = (0..).zip(gpus).map(|(place, gpu)| {
        let mut gpu = open(gpu, terms)?;
        if let Some(nonce) = terms.nonce {
            gpu.set_challenge(nonce);
        }
        let rng = UnwrapErr(SysRng);
        let mut guarded = Guarded::new(gpu, place, rng, documents.trust(), account.clone());
        if terms.show_evidence {
            guarded.show_evidence();
        }
        Ok(guarded)
    });
    let mut gpus = opened.collect::<Result<Vec<_>, task::Error>>()?;
    Ok(match task {
        Task::Attest => idle::run(&mut Fleet::new(gpus), Repeat::Times(1)),
        Task::Idle => idle::run(&mut Fleet::new(gpus), Repeat::Forever),
        Task::Digits(repeat) => digits::run(&mut Fleet::new(gpus), EMBEDDED, repeat),
        Task::Bench(size) => match gpus.first_mut() {
            Some(first) => bench::run(first, size),
            // A machine has at least one.
            None => Ok(()),
        },
    }?)
}

fn open<B: ravelin_driver::Bus, M: SharedMemory>(
    found: Found<B, M>,
    terms: Terms,
) -> Result<Gpu<B, M, Monotonic>, ravelin_driver::Error> {
    let layout = terms.chunk.map_or(Ok(Layout::default()), Layout::for_records)?;
    let layout = layout.within(found.memory.length())?;
    Gpu::open(found.bus, found.memory, Monotonic::new(), layout)
}
