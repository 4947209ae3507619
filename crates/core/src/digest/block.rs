//! One block: is it zero, and if not, what is its digest.
//!
//! The digest decides whether a block is sent, so a collision would lose data. It is BLAKE3 cut to 128
//! bits: a guest that wanted to hide a change would need about 2^64 hashes to build one pair, and an
//! accident needs no thought. BLAKE3's output may be cut at any length (BLAKE3 paper, section 2.6), so
//! any BLAKE3 tool can check it.

use serde::{Deserialize, Serialize};

/// The first 16 bytes of a block's BLAKE3 hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockDigest([u8; Self::LEN]);

impl BlockDigest {
    /// Bytes in a digest.
    pub const LEN: usize = 16;

    /// The digest of a block's bytes.
    pub fn of(block: &[u8]) -> Self {
        let mut cut = [0; Self::LEN];
        cut.copy_from_slice(&blake3::hash(block).as_bytes()[..Self::LEN]);
        Self(cut)
    }

    pub(crate) const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// What is known of one block of the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BlockState {
    /// Nothing: it must be written or compared.
    #[default]
    Unknown,
    /// It reads as zeros.
    Zero,
    /// It holds data with this digest.
    Data(BlockDigest),
}

impl BlockState {
    /// The state of a block that holds `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        if is_zero(bytes) { Self::Zero } else { Self::Data(BlockDigest::of(bytes)) }
    }
}

/// Whether all bytes are zero. Data is told apart within its first 64 bytes, mostly; zeros are folded 64
/// bytes at a time, which the compiler turns into vector code.
pub fn is_zero(bytes: &[u8]) -> bool {
    let (lanes, rest) = bytes.as_chunks::<64>();
    lanes.iter().all(|lane| lane.iter().fold(0, |all, byte| all | byte) == 0) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn zero_is_told_from_one_set_bit(len in 0..300usize, at in any::<prop::sample::Index>(), bit in 0..8u32) {
            let mut bytes = vec![0; len];
            prop_assert!(is_zero(&bytes));
            if len > 0 {
                bytes[at.index(len)] = 1 << bit;
                prop_assert!(!is_zero(&bytes));
            }
        }
    }

    #[test]
    fn the_digest_is_blake3_cut_short() {
        // `printf abc | b3sum` starts with these 16 bytes.
        let expected = [0x64, 0x37, 0xb3, 0xac, 0x38, 0x46, 0x51, 0x33, 0xff, 0xb6, 0x3b, 0x75, 0x27, 0x3a, 0x8d, 0xb5];
        assert_eq!(BlockDigest::of(b"abc"), BlockDigest::from_bytes(expected));
    }
}
