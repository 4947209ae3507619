//! libmigrate copies a server's disks into Azure page blobs, keeps them in step, and proves that they
//! are equal.

pub(crate) mod checkpoint;
pub mod digest;
pub mod error;
pub mod extent;
pub mod progress;
pub mod secret;
pub mod size;
pub mod source;
pub mod target;
mod vhd_footer;
