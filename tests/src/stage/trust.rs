//! What a guest holds a GPU's evidence against, as the development maker publishes it.

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use ravelin_attestation::{Clock, Policy, ReferenceValues, RevocationList, TrustAnchor};
use ravelin_driver::attest::{Attested, Trust};
use ravelin_driver::{Bus, Error, Gpu, SharedMemory};
use ravelin_maker::Maker;
use ravelin_maker::publication::{REFERENCE_VALUES, REVOCATION_LIST, publication};

/// The maker's documents, verified, and a policy.
pub struct Documents {
    /// What is asked of a GPU.
    pub policy: Policy,
    /// Known firmware.
    pub references: ReferenceValues,
    /// Revoked certificates.
    pub revocations: RevocationList,
}

impl Documents {
    /// Of this maker, for a guest without a clock.
    pub fn of(maker: &Maker) -> Documents {
        let files = publication(maker).unwrap();
        let file = |name| &files.iter().find(|file| file.name == name).unwrap().bytes;
        let root = || TrustAnchor::new(maker.root().certificate()).unwrap();
        Documents {
            policy: Policy::guest(0),
            references: ReferenceValues::verify(file(REFERENCE_VALUES), root()).unwrap(),
            revocations: RevocationList::verify(file(REVOCATION_LIST), &root()).unwrap(),
        }
    }

    /// Of the development maker.
    pub fn development() -> Documents {
        Documents::of(&Maker::development().unwrap())
    }

    /// As the driver takes them.
    pub fn trust(&self) -> Trust<'_> {
        Trust {
            policy: &self.policy,
            references: &self.references,
            revocations: &self.revocations,
            time: Clock::UNKNOWN,
        }
    }
}

/// The operating system's randomness.
pub fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// Attests a GPU by the development maker's documents.
pub fn attest<B: Bus, M: SharedMemory, C: ravelin_driver::Clock>(
    driver: &mut Gpu<B, M, C>,
) -> Result<Attested, Error> {
    driver.attest(&mut rng(), &Documents::development().trust())
}
