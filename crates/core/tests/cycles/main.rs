//! Whole cycles through the public API, on the local target, on the in-process page-blob server, and on a
//! real Azurite.

mod bad_input;
mod damage;
mod delta;
mod interrupted;
mod proof;
mod push;
mod recovery_points;
mod world;
