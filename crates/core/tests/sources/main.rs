//! Every source of disks keeps one contract ([`contract`]), shown here on raw files, block devices, VHDs
//! and VMDKs; QEMU is the second opinion on what an image holds.

mod contract;
mod image;
mod ova;
mod raw;
mod recording;
mod vhd;
mod vhd_image;
mod vmdk;
mod vmdk_chain;
mod vmdk_damaged;
mod vmdk_image;
