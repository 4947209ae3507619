//! Every source of disks keeps one contract ([`contract`]), shown here on raw files, block devices, VHDs
//! and VHDXs; QEMU is the second opinion on what an image holds.

mod contract;
mod image;
mod raw;
mod recording;
mod vhd;
mod vhd_image;
mod vhdx;
mod vhdx_chain;
mod vhdx_damaged;
mod vhdx_hostile;
mod vhdx_image;
mod vhdx_log;
