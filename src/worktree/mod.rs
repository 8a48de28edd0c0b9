//! Layer 3: the working tree, a persistent value. No I/O: what is not in memory comes from an
//! [`ObjectSource`](crate::model::ObjectSource) that the caller hands in.

pub mod tree;
