//! Layer 2: bytes <-> model. Each file is the specification of what it encodes.
