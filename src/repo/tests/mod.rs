//! A repository on a disk that loses its power, fills up and fails.

mod crash;
mod faults;
mod verify;
mod world;
