//! The command line and the hints: space-separated `key=value`.

/// Why a parameter cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is needed and not there.
    #[error("the command line has no {0}=")]
    Missing(&'static str),
    /// It is no number.
    #[error("{0}= on the command line is no number")]
    NotANumber(&'static str),
    /// It is not so many bytes.
    #[error("{0}= on the command line is not {1} bytes in hexadecimal digits")]
    NotBytes(&'static str, usize),
}

/// The guest's parameters.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a>(&'a str);

impl<'a> Parameters<'a> {
    /// The parameters of this command line.
    pub fn new(command_line: &'a str) -> Self {
        Self(command_line)
    }

    /// The value of a key; the last one where there are several.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        let pairs = self.0.split_ascii_whitespace().rev().filter_map(|word| word.split_once('='));
        pairs.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// A number, decimal or with 0x; `None` where the key is not there.
    ///
    /// # Errors
    /// The value is no number.
    pub fn number(&self, key: &'static str) -> Result<Option<u64>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = match value.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => value.parse(),
        };
        number.map(Some).map_err(|_| Error::NotANumber(key))
    }

    /// Bytes in hexadecimal digits; `None` where the key is not there.
    ///
    /// # Errors
    /// The value is anything but `N` bytes.
    pub fn bytes<const N: usize>(&self, key: &'static str) -> Result<Option<[u8; N]>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wrong = Error::NotBytes(key, N);
        if value.len() != 2 * N {
            return Err(wrong);
        }
        let mut bytes = [0; N];
        let nibble = |digit: u8| char::from(digit).to_digit(16).ok_or(wrong);
        for (byte, digits) in bytes.iter_mut().zip(value.as_bytes().as_chunks::<2>().0) {
            let [high, low] = *digits;
            *byte = (nibble(high)? << 4 | nibble(low)?) as u8;
        }
        Ok(Some(bytes))
    }

    /// A number that must be there.
    ///
    /// # Errors
    /// It is not there, or none.
    pub fn required(&self, key: &'static str) -> Result<u64, Error> {
        self.number(key)?.ok_or(Error::Missing(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_whole_words_and_the_last_one_counts() {
        let parameters = Parameters::new("platform=none  a=1 aa=2 a=0x10 word url=x=y");
        assert_eq!(parameters.get("platform"), Some("none"));
        assert_eq!(parameters.number("a"), Ok(Some(16)));
        assert_eq!(parameters.get("url"), Some("x=y"));
        assert_eq!(parameters.get("word"), None);
    }

    #[test]
    fn bytes_are_as_many_as_asked_for_in_digits() {
        let parameters = Parameters::new("a=00fF b=00f c=00f+ d=0x00 e=");
        assert_eq!(parameters.bytes("a"), Ok(Some([0, 255])));
        for key in ["b", "c", "d", "e"] {
            assert_eq!(parameters.bytes::<2>(key), Err(Error::NotBytes(key, 2)), "{key}");
        }
        assert_eq!(parameters.bytes::<2>("f"), Ok(None));
    }

    #[test]
    fn what_is_no_number_or_not_there_is_told_by_name() {
        let parameters = Parameters::new("a=ten b=0x c=-1");
        for key in ["a", "b", "c"] {
            assert_eq!(parameters.required(key), Err(Error::NotANumber(key)));
        }
        assert_eq!(parameters.required("d"), Err(Error::Missing("d")));
    }
}
