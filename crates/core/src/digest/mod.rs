//! What the target holds, block by block, and how a block that was read differs from it.
//!
//! - [`block`]: the zero test and the digest of one block;
//! - [`map`]: states of consecutive blocks as bytes, for the checkpoint and the sealed map;
//! - [`diff`]: old states + fresh bytes → page runs to put and to clear;
//! - [`sealed`]: the digest tree of a recovery point.

pub mod block;
pub mod diff;
pub mod map;
pub mod sealed;
