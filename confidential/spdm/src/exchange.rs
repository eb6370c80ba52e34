//! Diffie-Hellman on secp384r1, in the form that SPDM gives to shares.

use p384::PublicKey;
use p384::ecdh::EphemeralSecret;
use p384::elliptic_curve::Generate;
use p384::elliptic_curve::sec1::ToSec1Point;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::message::key_exchange::EXCHANGE_DATA_SIZE;

/// Tag of an uncompressed point in SEC 1, which SPDM leaves out.
const UNCOMPRESSED: u8 = 4;

/// One side's secret for one key exchange. It wipes itself.
pub(crate) struct Exchange(EphemeralSecret);

impl Exchange {
    pub(crate) fn new(rng: &mut impl CryptoRng) -> Exchange {
        Exchange(EphemeralSecret::generate_from_rng(rng))
    }

    /// The share to send: x and y.
    pub(crate) fn share(&self) -> [u8; EXCHANGE_DATA_SIZE] {
        let point = self.0.public_key().to_sec1_point(false);
        let mut share = [0; EXCHANGE_DATA_SIZE];
        share.iter_mut().zip(point.as_bytes().iter().skip(1)).for_each(|(to, from)| *to = *from);
        share
    }

    /// The shared secret; `None` where the peer's share is no point of the curve.
    pub(crate) fn agree(&self, peer: &[u8; EXCHANGE_DATA_SIZE]) -> Option<Zeroizing<[u8; 48]>> {
        let mut point = [UNCOMPRESSED; EXCHANGE_DATA_SIZE + 1];
        point.iter_mut().skip(1).zip(peer).for_each(|(to, from)| *to = *from);
        let peer = PublicKey::from_sec1_bytes(&point).ok()?;
        Some(Zeroizing::new((*self.0.diffie_hellman(&peer).raw_secret_bytes()).into()))
    }
}
