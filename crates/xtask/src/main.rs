//! Chores of this repository, one command each.
fn main() {}
