//! What the fake of Azure Resource Manager does, seen by a client.

mod client;
mod compute;
mod hyper_v;
mod manners;
mod network;
mod project;
mod steps;
mod vmware;
