//! Evidence, reference values, policy, verdict: what a relying party checks before it trusts a GPU.
