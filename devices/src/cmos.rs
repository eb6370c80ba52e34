//! The CMOS clock of a PC, at ports 0x70 and 0x71: the date, and nothing to set.
//!
//! Linux guests have kvmclock and are told that there is no such clock; whoever asks all the same
//! gets an answer, since a kernel that reads all ones waits for seconds for an update to end. The
//! clock counts in BCD and 24 hours; alarms, interrupts and memory are absent.

use crate::bus::BusDevice;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The index port; the data port follows.
pub const INDEX: u64 = 0x70;
/// Index and data.
pub const PORTS: u64 = 2;

const SECONDS: u8 = 0x00;
const MINUTES: u8 = 0x02;
const HOURS: u8 = 0x04;
const WEEKDAY: u8 = 0x06;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const STATUS_D: u8 = 0x0d;
const CENTURY: u8 = 0x32;

/// Status A: a divider of 32.768 kHz, no update in progress.
const DIVIDER: u8 = 0x20;
/// Status B: 24 hours.
const HOURS_24: u8 = 0x02;
/// Status D: the battery is good.
const VALID: u8 = 0x80;
/// Index: bit 7 masks the NMI.
const INDEX_MASK: u8 = 0x7f;

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// The clock.
pub struct Cmos {
    index: AtomicU8,
    now: fn() -> SystemTime,
}

impl Cmos {
    /// A clock that shows this machine's time, UTC.
    pub fn new() -> Self {
        Self { index: AtomicU8::new(0), now: SystemTime::now }
    }

    fn register(&self, index: u8) -> u8 {
        let since = (self.now)().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let second = since % DAY_SECONDS;
        let days = since / DAY_SECONDS;
        let (year, month, day) = date(days);
        match index {
            SECONDS => bcd(second % 60),
            MINUTES => bcd(second / 60 % 60),
            HOURS => bcd(second / 3600),
            // 1 is Sunday; the first of January 1970 was a Thursday.
            WEEKDAY => bcd((days + 4) % 7 + 1),
            DAY => bcd(day),
            MONTH => bcd(month),
            YEAR => bcd(year % 100),
            CENTURY => bcd(year / 100),
            STATUS_A => DIVIDER,
            STATUS_B => HOURS_24,
            STATUS_D => VALID,
            _ => 0,
        }
    }
}

impl Default for Cmos {
    fn default() -> Self {
        Self::new()
    }
}

impl BusDevice for Cmos {
    fn read(&self, offset: u64, data: &mut [u8]) {
        if let (1, [byte]) = (offset, data) {
            *byte = self.register(self.index.load(Ordering::Relaxed));
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if let (0, [index]) = (offset, data) {
            self.index.store(index & INDEX_MASK, Ordering::Relaxed);
        }
    }
}

/// Two decimal digits in a byte.
fn bcd(number: u64) -> u8 {
    (((number / 10 % 10) << 4) | (number % 10)) as u8
}

/// Year, month and day of a day counted from the first of January 1970 (H. Hinnant,
/// "chrono-compatible low-level date algorithms": years begin with March there).
fn date(days: u64) -> (u64, u64, u64) {
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn read(clock: &Cmos, index: u8) -> u8 {
        clock.write(0, &[index]);
        let mut byte = [0xff];
        clock.read(1, &mut byte);
        byte[0]
    }

    #[test]
    fn the_clock_shows_the_date_in_bcd() {
        // Thursday, 29 February 2024, 23:59:58 UTC.
        let now = || UNIX_EPOCH + Duration::from_secs(1_709_251_198);
        let clock = Cmos { index: AtomicU8::new(0), now };
        let shown = [CENTURY, YEAR, MONTH, DAY, WEEKDAY, HOURS, MINUTES, SECONDS];
        let shown = shown.map(|index| read(&clock, index));
        assert_eq!(shown, [0x20, 0x24, 0x02, 0x29, 0x05, 0x23, 0x59, 0x58]);
    }

    #[test]
    fn no_update_is_ever_in_progress_and_the_index_ignores_the_nmi_bit() {
        let clock = Cmos::new();
        assert_eq!(read(&clock, STATUS_A | 0x80) & 0x80, 0);
        assert_eq!(read(&clock, STATUS_D), VALID);
    }

    #[test]
    fn days_become_dates() {
        for (days, expected) in
            [(0, (1970, 1, 1)), (59, (1970, 3, 1)), (10_957, (2000, 1, 1)), (11_016, (2000, 2, 29))]
        {
            assert_eq!(date(days), expected);
        }
    }
}
