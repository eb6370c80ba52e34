//! The GPU maker, offline: roots, provisioned devices, signed reference values.
