//! `--rego`: the relying party's own rules, in builds that have them.

use super::Common;
use super::input::Error;
use crate::result::Verdict;

/// The verdict with the rules' answers, if there are rules.
#[cfg(feature = "rego")]
pub(super) fn apply(verdict: Verdict, common: &Common) -> Result<Verdict, Error> {
    use super::input;
    use crate::rego::Rego;
    use std::path::PathBuf;

    if common.rego.is_empty() {
        return Ok(verdict);
    }
    let text = |path: &PathBuf| {
        String::from_utf8(input::read(path)?).map_err(|_| Error::content(path, "not UTF-8"))
    };
    let named = |path: &PathBuf| Ok((path.display().to_string(), text(path)?));
    let policies = common.rego.iter().map(named).collect::<Result<Vec<_>, Error>>()?;
    let data = common.rego_data.iter().map(text).collect::<Result<Vec<_>, Error>>()?;
    let at = input::time(common.at.as_deref())?.to_string();
    Rego::new(&policies, &data)
        .and_then(|mut rego| rego.judge(verdict, &at))
        .map_err(|error| Error::Rules(error.to_string()))
}

/// Without the feature, rules that cannot be asked are not passed over.
#[cfg(not(feature = "rego"))]
pub(super) fn apply(verdict: Verdict, common: &Common) -> Result<Verdict, Error> {
    if common.rego.is_empty() {
        return Ok(verdict);
    }
    Err(Error::Rules(
        "this build has no Rego: build it with `cargo build --release -p ravelin-verifier \
         --features rego` (Rust 1.95 or newer)"
            .to_owned(),
    ))
}
