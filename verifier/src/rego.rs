//! A relying party's own rules, in Rego, over a verdict that is already there.
//!
//! A rule can refuse what the checks let pass and can never the other way round: what comes of it is
//! one more check of each device. The package is `ravelin.verify`; `allow` must be true for each
//! device, and undefined is not true. Every string in `reasons` goes into the check's detail. The
//! input is
//!
//! ```json
//! { "verdict": { "schema": "ravelin.verify/1", "...": "..." }, "device": { "...": "..." },
//!   "index": 0, "at": "2026-11-24T00:00:00Z" }
//! ```
//!
//! where `device` is `verdict.devices[index]`. A policy that is wrong (no Rego, no such package, an
//! `allow` that is no boolean) judges nothing: that is an error, not a refusal.

use regorus::{Engine, Value};

use crate::result::Verdict;

/// The check that a policy is.
pub const REGO_POLICY: &str = "rego-policy";
/// The package that a policy's rules are in.
const PACKAGE: &str = "data.ravelin.verify";

/// Why a policy cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a policy.
    #[error("not a Rego policy: {0}")]
    Policy(String),
    /// Not its data.
    #[error("not data for a Rego policy: {0}")]
    Data(String),
    /// No package of ours.
    #[error("no policy is in package ravelin.verify")]
    Package,
    /// It fails where it is asked.
    #[error("the Rego policy fails: {0}")]
    Evaluation(String),
    /// Its answer is none.
    #[error("allow is {0}, and must be true, false or undefined")]
    Allow(String),
}

/// Rules, and data for them.
pub struct Rego(Engine);

impl Rego {
    /// The rules in these files, each a name and a text, and the data, JSON.
    ///
    /// # Errors
    /// If one of them is none, or there is no package `ravelin.verify`.
    pub fn new(policies: &[(String, String)], data: &[String]) -> Result<Rego, Error> {
        let mut engine = Engine::new();
        engine.set_rego_v0(false);
        engine.set_strict_builtin_errors(true);
        let mut ours = false;
        for (name, text) in policies {
            let package = engine
                .add_policy(name.clone(), text.clone())
                .map_err(|error| Error::Policy(error.to_string()))?;
            ours |= package == PACKAGE;
        }
        for text in data {
            engine.add_data_json(text).map_err(|error| Error::Data(error.to_string()))?;
        }
        if ours { Ok(Rego(engine)) } else { Err(Error::Package) }
    }

    /// Asks about each device, and notes the answers.
    ///
    /// # Errors
    /// If the policy has no answer.
    pub fn judge(&mut self, verdict: Verdict, at: &str) -> Result<Verdict, Error> {
        let whole = serde_json::to_value(&verdict).map_err(|e| Error::Evaluation(e.to_string()))?;
        let mut answers = Vec::new();
        for (index, device) in verdict.devices.iter().enumerate() {
            let input = serde_json::json!({
                "verdict": whole, "device": device, "index": index, "at": at,
            });
            self.0
                .set_input_json(&input.to_string())
                .map_err(|error| Error::Evaluation(error.to_string()))?;
            answers.push(self.ask()?);
        }
        Ok(verdict.with_check(REGO_POLICY, answers))
    }

    /// Whether the policy allows its input, and what it says about that.
    fn ask(&mut self) -> Result<(bool, String), Error> {
        let allowed = match self.rule("allow")? {
            Value::Bool(allowed) => allowed,
            Value::Undefined => false,
            other => return Err(Error::Allow(other.to_string())),
        };
        let reasons: Vec<String> = match self.rule("reasons")? {
            Value::Set(reasons) => reasons.iter().map(text).collect(),
            Value::Array(reasons) => reasons.iter().map(text).collect(),
            _ => Vec::new(),
        };
        let answer = if allowed { "allow is true" } else { "allow is not true" };
        Ok((allowed, [&[answer.to_owned()][..], &reasons].concat().join("; ")))
    }

    /// The value of one of our rules; undefined where there is none.
    fn rule(&mut self, name: &str) -> Result<Value, Error> {
        let results = self
            .0
            .eval_query(format!("{PACKAGE}.{name}"), false)
            .map_err(|error| Error::Evaluation(error.to_string()))?;
        let value = results.result.first().and_then(|result| result.expressions.first());
        Ok(value.map_or(Value::Undefined, |expression| expression.value.clone()))
    }
}

fn text(value: &Value) -> String {
    let text = value.as_string().map_or_else(|_| value.to_string(), |text| text.to_string());
    crate::x509::Printable(text).to_string()
}
