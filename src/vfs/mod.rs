//! To be filled.

pub mod acl;
