//! Sealed records between the guest and the GPU's protected region.
