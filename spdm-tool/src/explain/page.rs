//! Fields read off a message, in order, each as a line. Where the bytes run out the page says so,
//! and all later fields are silent.

use std::fmt::Write;

/// Most bytes of a field that are shown.
const SHOWN: usize = 48;

/// The lines of one message.
pub(super) struct Page<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Set where a field does not fit into what is left.
    broken: bool,
    depth: usize,
    text: String,
}

impl<'a> Page<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Page<'a> {
        Page { bytes, at: 0, broken: false, depth: 0, text: String::new() }
    }

    /// Bytes not read yet.
    pub(super) fn left(&self) -> usize {
        if self.broken { 0 } else { self.bytes.len() - self.at }
    }

    /// Whether a field has not fit.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// The lines under a heading. What is left is shown too: up to a multiple of `alignment` it is
    /// the transport's.
    pub(super) fn finish(mut self, heading: &str, alignment: usize) -> String {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !self.broken && !rest.is_empty() {
            let padding = rest.len() < alignment && rest.iter().all(|byte| *byte == 0);
            self.bytes(if padding { "(padding)" } else { "(more)" }, rest.len());
        }
        format!("{heading}, {} bytes\n{}", self.bytes.len(), self.text)
    }

    /// Fields read by `read` belong to the line before.
    pub(super) fn nested(&mut self, read: impl FnOnce(&mut Self)) {
        self.depth += 1;
        read(self);
        self.depth -= 1;
    }

    pub(super) fn parameters(&mut self) {
        self.u8("Param1", |_| String::new());
        self.u8("Param2", |_| String::new());
    }

    pub(super) fn u8(&mut self, name: &str, mean: impl FnOnce(u8) -> String) -> u8 {
        let [value] = self.number(name, |[value]| (u64::from(value), mean(value)));
        value
    }

    pub(super) fn u16(&mut self, name: &str, mean: impl FnOnce(u16) -> String) -> u16 {
        u16::from_le_bytes(self.number(name, |bytes| {
            let value = u16::from_le_bytes(bytes);
            (value.into(), mean(value))
        }))
    }

    pub(super) fn u24(&mut self, name: &str) -> u32 {
        let [a, b, c] =
            self.number(name, |[a, b, c]| (u32::from_le_bytes([a, b, c, 0]).into(), String::new()));
        u32::from_le_bytes([a, b, c, 0])
    }

    pub(super) fn u32(&mut self, name: &str, mean: impl FnOnce(u32) -> String) -> u32 {
        u32::from_le_bytes(self.number(name, |bytes| {
            let value = u32::from_le_bytes(bytes);
            (value.into(), mean(value))
        }))
    }

    /// A field of so many bytes, which are shown as they are.
    pub(super) fn bytes(&mut self, name: &str, size: usize) -> &'a [u8] {
        let at = self.at;
        let Some(bytes) = self.take(name, size) else { return &[] };
        let shown = bytes.get(..SHOWN).unwrap_or(bytes);
        let more = if bytes.len() > SHOWN { "..." } else { "" };
        self.line(at, name, &format!("{}{more}", hex::encode(shown)), &format!("{size} bytes"));
        bytes
    }

    /// A line that is about the fields around it.
    pub(super) fn note(&mut self, note: &str) {
        let indent = 11 + 2 * self.depth;
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{:indent$}{note}", "");
    }

    fn number<const N: usize>(
        &mut self,
        name: &str,
        mean: impl FnOnce([u8; N]) -> (u64, String),
    ) -> [u8; N] {
        let at = self.at;
        let Some(bytes) = self.take(name, N) else { return [0; N] };
        let mut value = [0; N];
        value.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let (number, meaning) = mean(value);
        self.line(at, name, &format!("{number:#0width$x}", width = 2 + 2 * N), &meaning);
        value
    }

    fn take(&mut self, name: &str, size: usize) -> Option<&'a [u8]> {
        if self.broken {
            return None;
        }
        let end = self.at.checked_add(size)?;
        match self.bytes.get(self.at..end) {
            Some(bytes) => {
                self.at = end;
                Some(bytes)
            }
            None => {
                self.broken = true;
                let missing = end - self.bytes.len();
                self.note(&format!("the message breaks off: {name} lacks {missing} bytes"));
                None
            }
        }
    }

    fn line(&mut self, at: usize, name: &str, value: &str, meaning: &str) {
        let width = 30 - 2 * self.depth.min(10);
        let indent = 2 * self.depth;
        let gap = if meaning.is_empty() { "" } else { "  " };
        let _ =
            writeln!(self.text, "    {at:5}  {:indent$}{name:width$} {value}{gap}{meaning}", "");
    }
}
