//! What the fake of Azure Resource Manager does, seen by a client.

mod client;
mod manners;
mod network;
mod steps;
