//! Layer 1: BLAKE3, one input at a time and many in a SIMD batch.
