//! The attacker's moves in a conversation, as a fuzz target reads them from its input.
//!
//! A move is a byte that tells which, and what it needs. Everything is a script: what breaks off is
//! filled up with nothing.

use ravelin_spdm::Message;

/// A move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move<'a> {
    /// Lets the next message of the conversation through, changed like this.
    Pass(Change),
    /// Says this in clear, in place of the next message.
    Clear(&'a [u8]),
    /// Says this as a secured message.
    Secured(&'a [u8]),
}

/// What becomes of a message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// A byte is another one.
    Flip {
        /// Which, from the front; behind the end, nothing is changed.
        at: u16,
        /// What it is xored with.
        with: u8,
    },
    /// Only so many bytes arrive.
    Cut(u16),
    /// So many bytes are appended.
    Grow(u8),
    /// It arrives as the other kind of message: in clear or secured.
    Mistake,
}

/// The moves in these bytes.
pub fn moves(bytes: &[u8]) -> impl Iterator<Item = Move<'_>> {
    let mut reader = Reader(bytes);
    std::iter::from_fn(move || reader.next())
}

/// A script of these moves.
pub fn encode<'a>(moves: impl IntoIterator<Item = Move<'a>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for step in moves {
        match step {
            Move::Pass(Change::None) => bytes.push(0),
            Move::Pass(Change::Flip { at, with }) => {
                bytes.push(1);
                bytes.extend(at.to_le_bytes());
                bytes.push(with);
            }
            Move::Pass(Change::Cut(length)) => {
                bytes.push(2);
                bytes.extend(length.to_le_bytes());
            }
            Move::Pass(Change::Grow(by)) => bytes.extend([3, by]),
            Move::Pass(Change::Mistake) => bytes.push(4),
            Move::Clear(said) | Move::Secured(said) => {
                bytes.push(if matches!(step, Move::Clear(_)) { 5 } else { 6 });
                bytes.extend(u16::try_from(said.len()).unwrap().to_le_bytes());
                bytes.extend(said);
            }
        }
    }
    bytes
}

impl Change {
    /// The message as it arrives.
    pub fn apply(self, message: &Message) -> Message {
        let mut bytes = message.as_bytes().to_vec();
        match self {
            Change::None | Change::Mistake => {}
            Change::Flip { at, with } => {
                if let Some(byte) = bytes.get_mut(usize::from(at)) {
                    *byte ^= with;
                }
            }
            Change::Cut(length) => bytes.truncate(usize::from(length)),
            Change::Grow(by) => bytes.resize(bytes.len() + usize::from(by), 0xa5),
        }
        match (message, self) {
            (Message::Clear(_), Change::Mistake) => Message::Secured(bytes),
            (Message::Clear(_), _) => Message::Clear(bytes),
            (Message::Secured(_), Change::Mistake) => Message::Clear(bytes),
            (Message::Secured(_), _) => Message::Secured(bytes),
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Move<'a>> {
        let kind = *self.take(1).first()?;
        Some(match kind % 7 {
            0 => Move::Pass(Change::None),
            1 => Move::Pass(Change::Flip { at: self.u16(), with: self.u8() }),
            2 => Move::Pass(Change::Cut(self.u16())),
            3 => Move::Pass(Change::Grow(self.u8())),
            4 => Move::Pass(Change::Mistake),
            5 => Move::Clear(self.said()),
            _ => Move::Secured(self.said()),
        })
    }

    fn said(&mut self) -> &'a [u8] {
        let length = self.u16();
        self.take(usize::from(length))
    }

    fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
