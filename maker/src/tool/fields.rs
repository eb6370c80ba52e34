//! What a command has to say: named fields in an order that a person reads them in, as text and as
//! JSON.

use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;
use std::path::Path;

/// Version of the JSON form.
pub(super) const SCHEMA: &str = "ravelin.maker/1";

/// A field's value.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    Text(String),
    Number(u64),
    Truth(bool),
    List(Vec<Fields>),
}

/// Fields in order.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    /// Those of a result, which say what kind it is of.
    pub(super) fn of_kind(kind: &str) -> Fields {
        Fields::default().with("schema", SCHEMA).with("kind", kind)
    }

    pub(super) fn with(mut self, name: &'static str, text: impl ToString) -> Fields {
        self.0.push((name, Value::Text(text.to_string())));
        self
    }

    pub(super) fn number(mut self, name: &'static str, number: u64) -> Fields {
        self.0.push((name, Value::Number(number)));
        self
    }

    pub(super) fn truth(mut self, name: &'static str, truth: bool) -> Fields {
        self.0.push((name, Value::Truth(truth)));
        self
    }

    pub(super) fn list(mut self, name: &'static str, list: Vec<Fields>) -> Fields {
        self.0.push((name, Value::List(list)));
        self
    }

    /// A file that was written, and what it is for.
    pub(super) fn file(path: &Path, content: &str) -> Fields {
        Fields::default().with("path", path.display()).with("content", content)
    }

    /// JSON, with a line break.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    fn write(&self, formatter: &mut fmt::Formatter<'_>, indent: usize) -> fmt::Result {
        let lines = self.0.iter().filter(|(name, _)| *name != "schema");
        let width = lines.clone().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (place, (name, value)) in lines.enumerate() {
            // The first field of an element of a list stands behind its dash.
            let lead = if place == 0 && indent > 0 { "- " } else { "" };
            let space = indent.saturating_sub(lead.len());
            let name = name.replace('_', " ");
            match value {
                Value::List(list) if !list.is_empty() => {
                    writeln!(formatter, "{:space$}{lead}{name}", "")?;
                    list.iter().try_for_each(|fields| fields.write(formatter, indent + 4))?;
                    continue;
                }
                _ => write!(formatter, "{:space$}{lead}{name:width$}  ", "")?,
            }
            match value {
                Value::Text(text) => writeln!(formatter, "{text}")?,
                Value::Number(number) => writeln!(formatter, "{number}")?,
                Value::Truth(truth) => {
                    writeln!(formatter, "{}", if *truth { "yes" } else { "no" })?
                }
                Value::List(_) => writeln!(formatter, "none")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(formatter, 0)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}
