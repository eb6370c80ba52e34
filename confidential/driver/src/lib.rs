//! The guest's GPU driver, over small traits for bus and memory.
