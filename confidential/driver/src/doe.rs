//! The room `doe`: one data object into the GPU's mailbox, one out (PCIe 6.0, 6.30 and 7.9.24).
//!
//! Words and registers only; what the objects say is for `ravelin_spdm`.

use alloc::vec::Vec;

use crate::bus::Bus;
use crate::clock::Clock;

/// Registers, as offsets from the capability.
const CONTROL: u16 = 0x08;
const STATUS: u16 = 0x0c;
const WRITE_MAILBOX: u16 = 0x10;
const READ_MAILBOX: u16 = 0x14;

const CONTROL_ABORT: u32 = 1 << 0;
const CONTROL_GO: u32 = 1 << 31;
const STATUS_BUSY: u32 = 1 << 0;
const STATUS_ERROR: u32 = 1 << 2;
const STATUS_READY: u32 = 1 << 31;

/// Bits of a data object's length field, in words of 4 bytes.
const LENGTH_MASK: u32 = 0x3_ffff;
/// Words of a data object's header.
const HEADER_WORDS: u32 = 2;
/// Most words the driver takes: no SPDM message of a GPU comes near 64 KiB.
const MOST_WORDS: u32 = (64 << 10) / 4;

/// How long a GPU may take for an answer: PCIe says 1 s, signatures in software may need longer.
pub const TIMEOUT_US: u64 = 5_000_000;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The object is no whole number of words, or longer than the driver sends.
    #[error("A data object of {0} bytes cannot be sent; it has 8 to 65536, a multiple of 4")]
    Unsendable(usize),
    /// The mailbox stays occupied.
    #[error("The GPU's mailbox is busy with an earlier object; reset the GPU")]
    Busy,
    /// The GPU has set the error bit.
    #[error("The GPU refuses the data object: DOE status {0:#010x}")]
    Device(u32),
    /// The function reads all ones.
    #[error("The GPU has gone from the bus")]
    Gone,
    /// No answer in time.
    #[error("The GPU has not answered for {0} us; reset it")]
    Timeout(u64),
    /// The answer's header gives a length that is none.
    #[error("The GPU's data object claims {0} words; a mailbox holds 2 to 16384")]
    Length(u32),
    /// The answer ends before its length.
    #[error("The GPU's data object ends after {read} of {claimed} words")]
    Short {
        /// Words read.
        read: u32,
        /// Words that the header claims.
        claimed: u32,
    },
}

/// Sends a whole data object and returns the whole answer, padding included.
///
/// After an error the mailbox has been told to abort, so that the next exchange finds it empty.
pub fn exchange(
    bus: &mut impl Bus,
    clock: &impl Clock,
    mailbox: u16,
    object: &[u8],
) -> Result<Vec<u8>, Error> {
    let answer = send(bus, clock, mailbox, object).and_then(|()| receive(bus, clock, mailbox));
    if answer.is_err() {
        bus.config_write(mailbox + CONTROL, CONTROL_ABORT);
    }
    answer
}

fn send(bus: &mut impl Bus, clock: &impl Clock, mailbox: u16, object: &[u8]) -> Result<(), Error> {
    let (words, rest) = object.as_chunks::<4>();
    if !rest.is_empty() || !(HEADER_WORDS as usize..=MOST_WORDS as usize).contains(&words.len()) {
        return Err(Error::Unsendable(object.len()));
    }
    let status = bus.config_read(mailbox + STATUS);
    if status == u32::MAX {
        return Err(Error::Gone);
    }
    if status & (STATUS_BUSY | STATUS_ERROR | STATUS_READY) != 0 {
        // Someone left an exchange half done: a reset in the middle of the last attestation.
        bus.config_write(mailbox + CONTROL, CONTROL_ABORT);
        wait(bus, clock, mailbox, |status| status & (STATUS_BUSY | STATUS_ERROR) == 0)
            .map_err(|error| if error == Error::Gone { error } else { Error::Busy })?;
    }
    for word in words {
        bus.config_write(mailbox + WRITE_MAILBOX, u32::from_le_bytes(*word));
    }
    bus.config_write(mailbox + CONTROL, CONTROL_GO);
    Ok(())
}

fn receive(bus: &mut impl Bus, clock: &impl Clock, mailbox: u16) -> Result<Vec<u8>, Error> {
    wait(bus, clock, mailbox, |status| status & (STATUS_READY | STATUS_ERROR) != 0)?;
    let mut object = Vec::new();
    next_word(bus, mailbox, &mut object);
    let header = next_word(bus, mailbox, &mut object);
    let claimed = header & LENGTH_MASK;
    // In the length field 0 stands for 2^18: more than this driver takes, like the rest.
    if !(HEADER_WORDS..=MOST_WORDS).contains(&claimed) {
        return Err(Error::Length(claimed));
    }
    for read in HEADER_WORDS..claimed {
        // One look at the status for every 64 words: a look costs as much as a word.
        if read.is_multiple_of(64) && bus.config_read(mailbox + STATUS) & STATUS_READY == 0 {
            return Err(Error::Short { read, claimed });
        }
        next_word(bus, mailbox, &mut object);
    }
    let status = bus.config_read(mailbox + STATUS);
    if status & STATUS_ERROR != 0 {
        return Err(Error::Device(status));
    }
    Ok(object)
}

/// Takes a word out of the read mailbox: reading shows it, writing anything moves on.
fn next_word(bus: &mut impl Bus, mailbox: u16, object: &mut Vec<u8>) -> u32 {
    let word = bus.config_read(mailbox + READ_MAILBOX);
    bus.config_write(mailbox + READ_MAILBOX, 0);
    object.extend_from_slice(&word.to_le_bytes());
    word
}

/// Waits until the status satisfies `done`.
fn wait(
    bus: &mut impl Bus,
    clock: &impl Clock,
    mailbox: u16,
    done: impl Fn(u32) -> bool,
) -> Result<(), Error> {
    let start = clock.now_us();
    loop {
        let status = bus.config_read(mailbox + STATUS);
        if status == u32::MAX {
            return Err(Error::Gone);
        }
        if done(status) {
            if status & STATUS_ERROR != 0 {
                return Err(Error::Device(status));
            }
            return Ok(());
        }
        let waited = clock.now_us().saturating_sub(start);
        if waited > TIMEOUT_US {
            return Err(Error::Timeout(waited));
        }
        clock.relax();
    }
}

#[cfg(test)]
mod tests;
