//! SPDM (DSP0274) and secured messages (DSP0277) as sans-I/O state machines.
