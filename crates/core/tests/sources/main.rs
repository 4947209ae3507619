//! Every source of disks keeps one contract ([`contract`]), shown here on raw files, block devices, fixed
//! and dynamic VHDs; QEMU is the second opinion on what an image holds.

mod contract;
mod image;
mod raw;
mod recording;
mod vhd;
mod vhd_image;
