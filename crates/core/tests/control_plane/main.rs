//! Reading what is there and doing what a plan says, against the fake of Azure Resource Manager.

mod applying;
mod approvals;
mod faults;
mod journals;
mod killed;
mod killer;
mod observing;
mod templates;
mod world;
