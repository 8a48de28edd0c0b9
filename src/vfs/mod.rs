//! To be filled.

pub mod acl;
pub mod text;
