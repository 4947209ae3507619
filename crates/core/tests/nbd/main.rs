//! The NBD client against the servers that are in use (qemu-nbd, nbdkit), and against servers that should not
//! be ([`hostile`]).

#[path = "../sources/contract.rs"]
mod contract;
mod hostile;
mod scripted_server;
mod servers;
mod tls;
