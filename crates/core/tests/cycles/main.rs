//! Whole cycles through the public API, on the local target, on the in-process page-blob server, and on a
//! real Azurite.

mod bad_input;
mod behind_our_back;
mod checkpoint_damage;
mod damage;
mod delta;
mod faults;
mod garbage;
mod interrupted;
mod ownership;
mod pace;
mod proof;
mod push;
mod recovery_points;
mod unleased;
mod world;
