//! The APM GPU: protected memory, firewall, root of trust, SEC2 and engines, with no knowledge of any VMM.
