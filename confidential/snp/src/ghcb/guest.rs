//! The guest's end of the GHCB protocol: what is asked, in which order, and which answers are taken.
//!
//! A [`Hypervisor`] is the way there: the GHCB MSR and the words of the GHCB page. Everything in the page
//! can change at any moment, so a word is read once, and what was read is what is checked and returned.
//! Whatever is no answer, an exception that the hypervisor would like the guest to have among it, is
//! [`Cause::Answer`]: the guest asks for nothing that a sound hypervisor refuses that way.
//!
//! It is inlined: a guest's supervisor has its code in a section of its own.

use super::page::{
    Field, PROTOCOL_VERSION, SHARED_BUFFER, SHARED_BUFFER_SIZE, VALID_BITMAP, exit_code, ioio,
};
use super::page_state::{ENTRY_SIZE, Entry, HEADER_SIZE, MAX_ENTRIES, Operation, PageSize, Status};
use super::protocol::{Features, Request, Response};
use super::termination::Cause;
use super::{PAGE_SIZE, VERSION};
use crate::vc::exit_code as vc;
use crate::vc::instruction::Size;

const PAGE: u64 = PAGE_SIZE as u64;
/// A guest message travels in one page and its answer in the next.
pub const MESSAGE_PAGES: u64 = 2;

/// The way to the hypervisor.
pub trait Hypervisor {
    /// Writes the GHCB MSR, lets the hypervisor look at it, and reads it back.
    fn exchange(&mut self, request: u64) -> u64;
    /// Reads a word of the GHCB page; the offset is a multiple of 8 within it.
    fn read(&mut self, offset: usize) -> u64;
    /// Writes a word of the GHCB page; the offset is a multiple of 8 within it.
    fn write(&mut self, offset: usize, value: u64);
}

/// The guest's end, with a GHCB at a guest-physical address.
pub struct Guest<H> {
    hypervisor: H,
    address: u64,
}

impl<H: Hypervisor> Guest<H> {
    /// The guest's end of a GHCB at this address. Nothing is said yet.
    pub const fn new(hypervisor: H, address: u64) -> Self {
        Self { hypervisor, address }
    }

    /// Agrees on version and features, by the MSR protocol. What the hypervisor says of the C-bit is not
    /// looked at.
    ///
    /// # Errors
    /// The hypervisor does not speak the version, or has no page states.
    #[inline(always)]
    pub fn agree(&mut self) -> Result<(), Cause> {
        match Response::decode(self.hypervisor.exchange(Request::SevInformation.encode())) {
            Some(Response::SevInformation { maximum, minimum, .. })
                if minimum <= VERSION && VERSION <= maximum => {}
            _ => return Err(Cause::ProtocolVersion),
        }
        match Response::decode(self.hypervisor.exchange(Request::Features.encode())) {
            Some(Response::Features(features)) if features.bits() & Features::SNP.bits() != 0 => {
                Ok(())
            }
            _ => Err(Cause::Features),
        }
    }

    /// Makes the GHCB page shared and tells the hypervisor where it is. The guest has given the page up
    /// beforehand.
    ///
    /// # Errors
    /// The hypervisor does not.
    #[inline(always)]
    pub fn open(&mut self) -> Result<(), Cause> {
        let gfn = self.address / PAGE;
        let share = Request::PageStateChange { gfn, operation: Operation::Shared };
        let shared = Response::PageStateChange(0);
        if self.hypervisor.exchange(share.encode()) != shared.encode() {
            return Err(Cause::PageStateChange);
        }
        let registered = Response::RegisteredGhcb(Some(gfn));
        if self.hypervisor.exchange(Request::RegisterGhcb(gfn).encode()) != registered.encode() {
            return Err(Cause::RegisterGhcb);
        }
        // Version and usage; the rest of the page is not looked at.
        let version = u64::from(VERSION) << (8 * (PROTOCOL_VERSION & 7));
        self.hypervisor.write(PROTOCOL_VERSION & !7, version);
        Ok(())
    }

    /// Gives up. A hypervisor that lets the guest go on all the same is not this end's to stop.
    #[inline(always)]
    pub fn terminate(&mut self, cause: Cause) {
        let (set, reason) = cause.code();
        self.hypervisor.exchange(Request::Terminate { set, reason }.encode());
    }

    /// Asks for large pages to be made private or shared. On failure some may have changed.
    #[inline(always)]
    pub fn convert(&mut self, address: u64, length: u64, operation: Operation) -> bool {
        let mut page = address;
        let end = address + length;
        while page < end {
            let mut count = 0;
            while page < end && count < MAX_ENTRIES {
                let entry =
                    Entry { current_page: 0, gfn: page / PAGE, operation, size: PageSize::Large };
                let at = SHARED_BUFFER + HEADER_SIZE + ENTRY_SIZE * count;
                self.hypervisor.write(at, entry.encode());
                page += PageSize::Large.bytes();
                count += 1;
            }
            if !self.change(count as u64) {
                return false;
            }
        }
        true
    }

    /// Performs the first `count` entries of the structure in the GHCB.
    #[inline(always)]
    fn change(&mut self, count: u64) -> bool {
        // The header: current entry 0, last entry.
        self.hypervisor.write(SHARED_BUFFER, (count - 1) << 16);
        self.begin(exit_code::PAGE_STATE_CHANGE, 0, 0);
        self.set_scratch();
        if self.call().is_err() {
            return false;
        }
        let status = self.hypervisor.read(Field::ExitInfo2 as usize);
        let header = self.hypervisor.read(SHARED_BUFFER);
        let (current, last) = (header & 0xffff, header >> 16 & 0xffff);
        status == Status::Complete.encode() && current > last && last == count - 1
    }

    /// Sends the guest message in a page and has its answer in the next one, and the host's certificates
    /// in so many behind it. SW_EXITINFO2; `None` where the host does not know the request.
    #[inline(always)]
    pub fn guest_request(&mut self, address: u64, certificates: u64) -> Option<u64> {
        let code = match certificates {
            0 => exit_code::GUEST_REQUEST,
            _ => exit_code::EXTENDED_GUEST_REQUEST,
        };
        self.begin(code, address, address + PAGE);
        self.set(Field::Rax, address + MESSAGE_PAGES * PAGE);
        self.set(Field::Rbx, certificates);
        match self.call() {
            Ok(()) => Some(self.hypervisor.read(Field::ExitInfo2 as usize)),
            Err(_) => None,
        }
    }

    /// RDMSR.
    ///
    /// # Errors
    /// There is no answer.
    #[inline(always)]
    pub fn read_msr(&mut self, index: u32) -> Result<u64, Cause> {
        self.begin(vc::MSR, 0, 0);
        self.set(Field::Rcx, index.into());
        self.call()?;
        let (low, high) = (self.returned(Field::Rax)?, self.returned(Field::Rdx)?);
        Ok(high << 32 | low & 0xffff_ffff)
    }

    /// WRMSR.
    ///
    /// # Errors
    /// It was not done.
    #[inline(always)]
    pub fn write_msr(&mut self, index: u32, value: u64) -> Result<(), Cause> {
        self.begin(vc::MSR, 1, 0);
        self.set(Field::Rcx, index.into());
        self.set(Field::Rax, value & 0xffff_ffff);
        self.set(Field::Rdx, value >> 32);
        self.call()
    }

    /// IN.
    ///
    /// # Errors
    /// There is no answer.
    #[inline(always)]
    pub fn read_port(&mut self, port: u16, size: Size) -> Result<u64, Cause> {
        self.begin(vc::IOIO, port_information(port, size) | ioio::IN, 0);
        self.call()?;
        self.returned(Field::Rax)
    }

    /// OUT.
    ///
    /// # Errors
    /// It was not done.
    #[inline(always)]
    pub fn write_port(&mut self, port: u16, size: Size, value: u64) -> Result<(), Cause> {
        self.begin(vc::IOIO, port_information(port, size), 0);
        self.set(Field::Rax, size.of(value));
        self.call()
    }

    /// OUTS: the first `count` values of the [buffer](Self::put), which has room for
    /// [`SHARED_BUFFER_SIZE`] bytes.
    ///
    /// # Errors
    /// It was not done.
    #[inline(always)]
    pub fn write_string(&mut self, port: u16, size: Size, count: u64) -> Result<(), Cause> {
        let kind = ioio::STRING | ioio::REPEATED | ioio::ADDRESS_64;
        self.begin(vc::IOIO, port_information(port, size) | kind, count);
        self.set_scratch();
        self.call()
    }

    /// Reads a device's memory.
    ///
    /// # Errors
    /// There is no answer.
    #[inline(always)]
    pub fn read_memory(&mut self, address: u64, size: Size) -> Result<u64, Cause> {
        self.begin(exit_code::MMIO_READ, address, size as u64);
        self.set_scratch();
        self.call()?;
        Ok(size.of(self.hypervisor.read(SHARED_BUFFER)))
    }

    /// Writes a device's memory.
    ///
    /// # Errors
    /// It was not done.
    #[inline(always)]
    pub fn write_memory(&mut self, address: u64, size: Size, value: u64) -> Result<(), Cause> {
        self.hypervisor.write(SHARED_BUFFER, size.of(value));
        self.begin(exit_code::MMIO_WRITE, address, size as u64);
        self.set_scratch();
        self.call()
    }

    /// Puts a word into the shared buffer; behind its end nothing happens.
    #[inline(always)]
    pub fn put(&mut self, word: usize, value: u64) {
        if word < SHARED_BUFFER_SIZE / 8 {
            self.hypervisor.write(SHARED_BUFFER + 8 * word, value);
        }
    }

    #[inline(always)]
    fn begin(&mut self, code: u64, information1: u64, information2: u64) {
        self.hypervisor.write(VALID_BITMAP, 0);
        self.hypervisor.write(VALID_BITMAP + 8, 0);
        self.set(Field::ExitCode, code);
        self.set(Field::ExitInfo1, information1);
        self.set(Field::ExitInfo2, information2);
    }

    #[inline(always)]
    fn set_scratch(&mut self) {
        self.set(Field::Scratch, self.address + SHARED_BUFFER as u64);
    }

    #[inline(always)]
    fn set(&mut self, field: Field, value: u64) {
        let (word, bit) = valid_bit(field);
        let valid = self.hypervisor.read(word);
        self.hypervisor.write(word, valid | bit);
        self.hypervisor.write(field as usize, value);
    }

    /// Lets the hypervisor have the page.
    #[inline(always)]
    fn call(&mut self) -> Result<(), Cause> {
        self.hypervisor.exchange(Request::Ghcb(self.address).encode());
        match self.hypervisor.read(Field::ExitInfo1 as usize) as u32 {
            0 => Ok(()),
            // 1: an exception that the guest should have; 2: the request makes no sense.
            _ => Err(Cause::Answer),
        }
    }

    /// A field that the hypervisor has to return.
    #[inline(always)]
    fn returned(&mut self, field: Field) -> Result<u64, Cause> {
        let (word, bit) = valid_bit(field);
        if self.hypervisor.read(word) & bit == 0 {
            return Err(Cause::Answer);
        }
        Ok(self.hypervisor.read(field as usize))
    }
}

/// SW_EXITINFO1 of an access to a port.
#[inline(always)]
fn port_information(port: u16, size: Size) -> u64 {
    u64::from(port) << ioio::PORT | (size as u64) << ioio::SIZE
}

/// Which word of the bitmap says whether a field is valid, and which bit.
#[inline(always)]
fn valid_bit(field: Field) -> (usize, u64) {
    let bit = field as usize / 8;
    (VALID_BITMAP + bit / 64 * 8, 1 << (bit % 64))
}

#[cfg(test)]
pub(crate) mod tests;
