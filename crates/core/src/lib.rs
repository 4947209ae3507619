//! libmigrate copies a server's disks into Azure page blobs, keeps them in step, and proves that they
//! are equal.

pub mod extent;
pub mod secret;
pub mod size;
pub mod source;
pub mod target;
mod vhd_footer;
