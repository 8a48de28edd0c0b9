//! A repository on a disk that loses its power, fills up and fails.

mod auto_commit;
mod crash;
mod damage;
mod faults;
mod ignored;
mod keep;
mod nameless;
mod provenance;
mod restore;
#[cfg(shuttle)]
mod schedules;
mod space;
mod undo;
mod verify;
mod world;
