//! Cutover without the service, against a stateful fake of Azure Resource Manager.

mod killed;
mod upload;
mod way_down;
mod way_up;
mod world;
