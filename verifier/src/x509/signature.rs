//! The two signature algorithms that device makers use here: ECDSA on P-384 with SHA-384 (NVIDIA,
//! and every attestation key), and RSASSA-PSS with SHA-384 (AMD's roots). Anything else is refused,
//! so that no weaker algorithm can be smuggled in by a certificate that names it.

use der::Encode;
use der::asn1::ObjectIdentifier;
use p384::ecdsa::signature::Verifier;
use p384::ecdsa::{DerSignature, VerifyingKey};
use rsa::pkcs8::DecodePublicKey;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// Why a signature does not stand.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither ECDSA with SHA-384 nor RSASSA-PSS.
    #[error("signature algorithm {0} is not accepted: expected ECDSA or RSASSA-PSS with SHA-384")]
    Algorithm(ObjectIdentifier),
    /// The signer's key is not of the algorithm's kind.
    #[error("the signer's key does not fit the signature algorithm")]
    Key,
    /// The signature is not the signer's over these bytes.
    #[error("the signature does not verify")]
    Mismatch,
}

/// The P-384 key that a certificate carries.
pub fn p384_key(key: &SubjectPublicKeyInfoOwned) -> Result<VerifyingKey, Error> {
    let curve = key.algorithm.parameters.as_ref().and_then(|any| any.decode_as().ok());
    if key.algorithm.oid != EC_PUBLIC_KEY || curve != Some(SECP384R1) {
        return Err(Error::Key);
    }
    VerifyingKey::from_sec1_bytes(key.subject_public_key.raw_bytes()).map_err(|_| Error::Key)
}

/// Checks that `signature` is the key holder's over `message`.
pub fn verify(
    algorithm: &AlgorithmIdentifierOwned,
    key: &SubjectPublicKeyInfoOwned,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Error> {
    match algorithm.oid {
        ECDSA_WITH_SHA384 => {
            let signature = DerSignature::from_bytes(signature).map_err(|_| Error::Mismatch)?;
            p384_key(key)?.verify(message, &signature).map_err(|_| Error::Mismatch)
        }
        RSASSA_PSS => {
            // SHA-384, MGF1 with SHA-384 and a 48-byte salt are fixed here, whatever parameters
            // the certificate names.
            let key = key.to_der().map_err(|_| Error::Key)?;
            let key = rsa::RsaPublicKey::from_public_key_der(&key).map_err(|_| Error::Key)?;
            let signature =
                rsa::pss::Signature::try_from(signature).map_err(|_| Error::Mismatch)?;
            let key = rsa::pss::VerifyingKey::<rsa::sha2::Sha384>::new(key);
            rsa::signature::Verifier::verify(&key, message, &signature).map_err(|_| Error::Mismatch)
        }
        other => Err(Error::Algorithm(other)),
    }
}
