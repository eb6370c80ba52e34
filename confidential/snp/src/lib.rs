//! What AMD SEV-SNP and the GHCB standard put on the wire between guest and host.
