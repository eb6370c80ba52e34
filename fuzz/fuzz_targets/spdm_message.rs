//! Every message of every version. What is read can be written, and read again as the same.
//!
//! The first byte says what a reader has to know besides the bytes; the message's own header tells
//! version and type.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use ravelin_spdm::message::algorithms::{AlgorithmsResponse, NegotiateAlgorithms};
use ravelin_spdm::message::capabilities::{CapabilitiesResponse, GetCapabilities};
use ravelin_spdm::message::certificate::{Certificate, GetCertificate};
use ravelin_spdm::message::challenge::{Challenge, ChallengeAuth};
use ravelin_spdm::message::chunk::{ChunkGet, ChunkResponse, ChunkSend, ChunkSendAck};
use ravelin_spdm::message::digests::{Digests, GetDigests};
use ravelin_spdm::message::end_session::{EndSession, EndSessionAck};
use ravelin_spdm::message::error::{ErrorResponse, NotReady};
use ravelin_spdm::message::finish::{Finish, FinishResponse};
use ravelin_spdm::message::heartbeat::{Heartbeat, HeartbeatAck};
use ravelin_spdm::message::key_exchange::{KeyExchange, KeyExchangeResponse, SummaryType};
use ravelin_spdm::message::key_update::{KeyUpdate, KeyUpdateAck};
use ravelin_spdm::message::measurements::{GetMeasurements, MeasurementsResponse};
use ravelin_spdm::message::respond_if_ready::RespondIfReady;
use ravelin_spdm::message::vendor::{VendorDefinedRequest, VendorDefinedResponse};
use ravelin_spdm::message::version::{GetVersion, VersionResponse};
use ravelin_spdm::message::{Codec, Header, decode};
use ravelin_spdm::version::Version;

fn survives<M: Codec + Debug + PartialEq>(bytes: &[u8], version: Version, context: M::Context) {
    if let Ok(message) = decode::<M>(bytes, version, context) {
        let written = message.encode(version);
        let again = decode::<M>(&written, version, context);
        assert_eq!(again.as_ref(), Ok(&message), "{written:02x?}");
    }
}

macro_rules! by_code {
    ($bytes:expr, $version:expr, $code:expr; $($message:ty => $context:expr),+ $(,)?) => {
        $(if $code == <$message>::CODE {
            survives::<$message>($bytes, $version, $context);
        })+
    };
}

fuzz_target!(|data: &[u8]| {
    let Some((context, bytes)) = data.split_first() else { return };
    let Ok(header) = Header::peek(bytes) else { return };
    let version = match header.version {
        0x10 => Version::V1_0,
        byte => match Version::negotiable(byte) {
            Some(version) => version,
            None => return,
        },
    };
    let summaries = [SummaryType::None, SummaryType::All];
    let summary = summaries[usize::from(*context) % 2];
    by_code!(bytes, version, header.code;
        GetVersion => (),
        VersionResponse => (),
        GetCapabilities => (),
        CapabilitiesResponse => (),
        NegotiateAlgorithms => (),
        AlgorithmsResponse => (),
        GetDigests => (),
        Digests => (),
        GetCertificate => (),
        Certificate => (),
        Challenge => (),
        ChallengeAuth => summary,
        GetMeasurements => (),
        MeasurementsResponse => context & 1 == 1,
        KeyExchange => (),
        KeyExchangeResponse => summary,
        Finish => (),
        FinishResponse => (),
        Heartbeat => (),
        HeartbeatAck => (),
        KeyUpdate => (),
        KeyUpdateAck => (),
        EndSession => (),
        EndSessionAck => (),
        ChunkSend => (),
        ChunkSendAck => (),
        ChunkGet => (),
        ChunkResponse => (),
        VendorDefinedRequest => (),
        VendorDefinedResponse => (),
        RespondIfReady => (),
    );
    if let Ok(error) = decode::<ErrorResponse>(bytes, version, ()) {
        survives::<ErrorResponse>(bytes, version, ());
        let _ = NotReady::of(&error);
    }
});
