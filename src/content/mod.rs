//! Layer 2: the content of a regular file as bytes: where its chunks end, and which ranges were
//! written since they were cut. No I/O and no hashes.
