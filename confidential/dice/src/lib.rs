//! The certificate profile of a GPU's identity: DICE and SPDM extensions, written and read.
