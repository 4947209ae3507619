//! Whole cycles through the public API, on the local target, on the in-process page-blob server, and on a
//! real Azurite.

mod bad_input;
mod behind_our_back;
mod checkpoint_damage;
mod delta;
mod garbage;
mod interrupted;
mod ownership;
mod push;
mod recovery_points;
mod unleased;
mod world;
