//! `key=value` pairs behind an option, separated by commas.

use super::Error;

/// An option that takes pairs, and the form that its errors show.
#[derive(Clone, Copy)]
pub(super) struct Form {
    /// Such as `--disk`.
    pub(super) option: &'static str,
    /// Such as `path=FILE[,readonly=on|off]`.
    pub(super) form: &'static str,
}

impl Form {
    /// The pairs in the text, each key once.
    pub(super) fn read<'a>(&self, text: &'a str) -> Result<Vec<(&'a str, &'a str)>, Error> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for word in text.split(',') {
            let pair = word.split_once('=');
            let pair = pair.ok_or_else(|| self.wrong(text, format!("{word:?} is no key=value")))?;
            if pairs.iter().any(|(key, _)| *key == pair.0) {
                return Err(self.wrong(text, format!("{} is said twice", pair.0)));
            }
            if pair.1.is_empty() {
                return Err(self.wrong(text, format!("{} has no value", pair.0)));
            }
            pairs.push(pair);
        }
        Ok(pairs)
    }

    /// The error of a text with this problem.
    pub(super) fn wrong(&self, text: &str, problem: impl Into<String>) -> Error {
        let Form { option, form } = *self;
        Error::Device { option, text: text.into(), problem: problem.into(), form }
    }

    /// The error of a key that the option does not have.
    pub(super) fn unknown(&self, text: &str, key: &str) -> Error {
        self.wrong(text, format!("there is no {key:?}"))
    }
}
