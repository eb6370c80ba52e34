//! The names of messages (DSP0274, tables "SPDM request codes" and "SPDM response codes").

pub(super) const CHALLENGE: u8 = 0x83;
pub(super) const CHALLENGE_AUTH: u8 = 0x03;
pub(super) const CHUNK_SEND: u8 = 0x85;
pub(super) const CHUNK_SEND_ACK: u8 = 0x05;
pub(super) const CHUNK_GET: u8 = 0x86;
pub(super) const CHUNK_RESPONSE: u8 = 0x06;
pub(super) const HEARTBEAT: u8 = 0xe8;
pub(super) const HEARTBEAT_ACK: u8 = 0x68;
pub(super) const KEY_UPDATE: u8 = 0xe9;
pub(super) const KEY_UPDATE_ACK: u8 = 0x69;
pub(super) const VENDOR_DEFINED_REQUEST: u8 = 0xfe;
pub(super) const VENDOR_DEFINED_RESPONSE: u8 = 0x7e;

/// The name of a message's code.
pub(super) fn message(code: u8) -> &'static str {
    match code {
        0x01 => "DIGESTS",
        0x02 => "CERTIFICATE",
        CHALLENGE_AUTH => "CHALLENGE_AUTH",
        0x04 => "VERSION",
        CHUNK_SEND_ACK => "CHUNK_SEND_ACK",
        CHUNK_RESPONSE => "CHUNK_RESPONSE",
        0x60 => "MEASUREMENTS",
        0x61 => "CAPABILITIES",
        0x63 => "ALGORITHMS",
        0x64 => "KEY_EXCHANGE_RSP",
        0x65 => "FINISH_RSP",
        0x66 => "PSK_EXCHANGE_RSP",
        0x67 => "PSK_FINISH_RSP",
        HEARTBEAT_ACK => "HEARTBEAT_ACK",
        KEY_UPDATE_ACK => "KEY_UPDATE_ACK",
        0x6a => "ENCAPSULATED_REQUEST",
        0x6b => "ENCAPSULATED_RESPONSE_ACK",
        0x6c => "END_SESSION_ACK",
        0x6d => "CSR",
        0x6e => "SET_CERTIFICATE_RSP",
        VENDOR_DEFINED_RESPONSE => "VENDOR_DEFINED_RESPONSE",
        0x7f => "ERROR",
        0x81 => "GET_DIGESTS",
        0x82 => "GET_CERTIFICATE",
        CHALLENGE => "CHALLENGE",
        0x84 => "GET_VERSION",
        CHUNK_SEND => "CHUNK_SEND",
        CHUNK_GET => "CHUNK_GET",
        0xe0 => "GET_MEASUREMENTS",
        0xe1 => "GET_CAPABILITIES",
        0xe3 => "NEGOTIATE_ALGORITHMS",
        0xe4 => "KEY_EXCHANGE",
        0xe5 => "FINISH",
        0xe6 => "PSK_EXCHANGE",
        0xe7 => "PSK_FINISH",
        HEARTBEAT => "HEARTBEAT",
        KEY_UPDATE => "KEY_UPDATE",
        0xea => "GET_ENCAPSULATED_REQUEST",
        0xeb => "DELIVER_ENCAPSULATED_RESPONSE",
        0xec => "END_SESSION",
        0xed => "GET_CSR",
        0xee => "SET_CERTIFICATE",
        VENDOR_DEFINED_REQUEST => "VENDOR_DEFINED_REQUEST",
        0xff => "RESPOND_IF_READY",
        _ => "a message without a name here",
    }
}
