//! Reading what is there and doing what a plan says, against the fake of Azure Resource Manager.

mod observing;
mod world;
