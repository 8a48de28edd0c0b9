//! Tests of the built `vst` on stores that are not mounted, and of what it says to those who ask
//! for what cannot be.

mod change;
mod collect;
mod config;
#[path = "../support/contract.rs"]
mod contract;
mod export;
mod history;
mod json;
mod manual;
mod store;
mod tag;
#[path = "../support/transcript.rs"]
mod transcript;
mod transcripts;
mod undo;
mod usage;
mod verify;
