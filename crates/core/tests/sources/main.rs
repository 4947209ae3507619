//! Every source of disks keeps one contract ([`contract`]), shown here on raw files, block devices and disk
//! images; QEMU, libvhdi, libvmdk and dissect are the second opinions on what an image holds.

mod contract;
mod device;
mod image;
mod in_use;
mod judges;
mod ova;
mod qcow2;
mod qcow2_damaged;
mod qcow2_image;
mod raw;
mod recording;
mod vhd;
mod vhd_chain;
mod vhd_chain_image;
mod vhd_image;
mod vhdx;
mod vhdx_chain;
mod vhdx_damaged;
mod vhdx_hostile;
mod vhdx_image;
mod vhdx_log;
mod vmdk;
mod vmdk_chain;
mod vmdk_damaged;
mod vmdk_image;
