//! States of consecutive blocks as bytes.
//!
//! A sequence of runs: one byte that says what (0 unknown, 1 zero, 2 data), the number of blocks as u32
//! little-endian, and for data that many 16-byte digests. So a hole of any size costs five bytes, and
//! data costs its digests. The same form stands in the checkpoint (a window's row) and in the sealed map
//! (a part). Decoding checks everything: the bytes may come from a damaged file.

use super::block::{BlockDigest, BlockState};

const UNKNOWN: u8 = 0;
const ZERO: u8 = 1;
const DATA: u8 = 2;

/// Why bytes are not a map of the expected number of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest map of {blocks} blocks: {problem}")]
pub struct MapError {
    blocks: usize,
    problem: &'static str,
}

/// The bytes of `states`.
pub fn encode(states: &[BlockState]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    for run in states.chunk_by(|a, b| tag(*a) == tag(*b)) {
        bytes.push(tag(run[0]));
        let count = u32::try_from(run.len()).expect("a window or part has fewer than 2^32 blocks");
        bytes.extend_from_slice(&count.to_le_bytes());
        for state in run {
            if let BlockState::Data(digest) = state {
                bytes.extend_from_slice(digest.as_bytes());
            }
        }
    }
    bytes
}

/// The states in `bytes`, which must be exactly `blocks`. Allocates for `blocks` at the most.
pub fn decode(mut bytes: &[u8], blocks: usize) -> Result<Vec<BlockState>, MapError> {
    let wrong = |problem| MapError { blocks, problem };
    let mut states = Vec::with_capacity(blocks);
    while let Some((&kind, rest)) = bytes.split_first() {
        let (count, rest) = rest.split_first_chunk::<4>().ok_or(wrong("cut short in a run's length"))?;
        let count = u32::from_le_bytes(*count) as usize;
        if count == 0 || count > blocks - states.len() {
            return Err(wrong("a run is empty or too long"));
        }
        bytes = rest;
        match kind {
            UNKNOWN => states.resize(states.len() + count, BlockState::Unknown),
            ZERO => states.resize(states.len() + count, BlockState::Zero),
            DATA => {
                let (digests, rest) =
                    bytes.split_at_checked(count * BlockDigest::LEN).ok_or(wrong("cut short in a run's digests"))?;
                let (digests, _) = digests.as_chunks::<{ BlockDigest::LEN }>();
                states.extend(digests.iter().map(|digest| BlockState::Data(BlockDigest::from_bytes(*digest))));
                bytes = rest;
            }
            _ => return Err(wrong("a run of an unknown kind")),
        }
    }
    if states.len() == blocks { Ok(states) } else { Err(wrong("too few blocks")) }
}

const fn tag(state: BlockState) -> u8 {
    match state {
        BlockState::Unknown => UNKNOWN,
        BlockState::Zero => ZERO,
        BlockState::Data(_) => DATA,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn any_state() -> impl Strategy<Value = BlockState> {
        prop_oneof![
            Just(BlockState::Unknown),
            Just(BlockState::Zero),
            any::<u8>().prop_map(|seed| BlockState::Data(BlockDigest::of(&[seed]))),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(states in prop::collection::vec(any_state(), 0..200)) {
            prop_assert_eq!(decode(&encode(&states), states.len()), Ok(states));
        }

        #[test]
        fn hostile_bytes_are_refused_or_decoded_whole(bytes in prop::collection::vec(0..4u8, 0..100), blocks in 0..64usize) {
            if let Ok(states) = decode(&bytes, blocks) {
                prop_assert_eq!(states.len(), blocks);
            }
        }

        #[test]
        fn a_map_of_another_length_is_refused(states in prop::collection::vec(any_state(), 1..50)) {
            prop_assert!(decode(&encode(&states), states.len() - 1).is_err());
            prop_assert!(decode(&encode(&states), states.len() + 1).is_err());
        }
    }

    #[test]
    fn a_hole_of_any_size_costs_five_bytes() {
        assert_eq!(encode(&vec![BlockState::Zero; 65_536]).len(), 5);
    }
}
