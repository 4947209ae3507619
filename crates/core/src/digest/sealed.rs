//! The sealed digest map: a digest tree over the disk, kept beside the replica.
//!
//! Leaves are the blocks' digests. [`PART_BLOCKS`] consecutive blocks make a **part**, encoded as in
//! [`super::map`] and named by its BLAKE3 hash, so that parts which did not change between recovery
//! points are stored once. The **manifest** is a JSON object that lists the parts' hashes; its own BLAKE3
//! hash is the **root**, which the recovery point carries. Whoever has the root can check the whole disk
//! with any BLAKE3 tool: manifest against root, parts against manifest, blocks against parts.

use serde::{Deserialize, Serialize};

use crate::size::BlockSize;

/// Blocks in one part: at most 1 MiB of digests.
pub const PART_BLOCKS: u64 = 1 << 16;

/// No manifest of a disk that fits a page blob is longer (8 TiB in 4 KiB blocks: 32768 parts).
pub const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// No part is longer: every block data, every run one block long.
pub const MAX_PART_BYTES: u64 = PART_BLOCKS * (16 + 5);

/// The form that this version writes.
const FORMAT: u32 = 1;

/// A BLAKE3 hash, written as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hash(blake3::Hash);

impl Hash {
    /// The hash of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes))
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        blake3::Hash::from_hex(text).ok().map(Self)
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_hex())
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a BLAKE3 hash in 64 hexadecimal digits"))
    }
}

/// The list of a sealed map's parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    digest: String,
    disk_bytes: u64,
    block_bytes: u64,
    part_blocks: u64,
    parts: Vec<Hash>,
}

/// Why bytes are not the manifest that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The bytes are not those that the root was computed from.
    #[error("its hash is {found}, not {root}")]
    Root {
        /// What was asked for.
        root: Hash,
        /// What the bytes hash to.
        found: Hash,
    },
    /// Not a manifest, of a newer format, or of another disk.
    #[error("{0}")]
    Content(String),
}

impl Manifest {
    /// A manifest of `parts`, in order, that cover the disk.
    pub fn new(disk_bytes: u64, block_size: BlockSize, parts: Vec<Hash>) -> Self {
        Self {
            format: FORMAT,
            digest: "blake3-128".into(),
            disk_bytes,
            block_bytes: block_size.bytes(),
            part_blocks: PART_BLOCKS,
            parts,
        }
    }

    /// The bytes that are stored; the root is their hash.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest has only strings and numbers")
    }

    /// The manifest in `bytes`, which must hash to `root` and cover a disk of `disk_bytes`.
    pub fn from_bytes(bytes: &[u8], root: Hash, disk_bytes: u64, block_size: BlockSize) -> Result<Self, ManifestError> {
        let found = Hash::of(bytes);
        if found != root {
            return Err(ManifestError::Root { root, found });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| ManifestError::Content(e.to_string()))?;
        if manifest != Self::new(disk_bytes, block_size, manifest.parts.clone())
            || manifest.parts.len() as u64 != part_count(disk_bytes, block_size)
        {
            return Err(ManifestError::Content(format!(
                "format {}, {} bytes in blocks of {}: not of this replica, or of a newer version",
                manifest.format, manifest.disk_bytes, manifest.block_bytes
            )));
        }
        Ok(manifest)
    }

    /// The hashes of the parts, in order.
    pub fn parts(&self) -> &[Hash] {
        &self.parts
    }
}

/// How many parts a disk has.
pub const fn part_count(disk_bytes: u64, block_size: BlockSize) -> u64 {
    block_size.count(disk_bytes).div_ceil(PART_BLOCKS)
}

/// The name of a part's object.
pub fn part_name(hash: Hash) -> String {
    format!("part-{hash}")
}

/// The name of a manifest's object.
pub fn manifest_name(root: Hash) -> String {
    format!("map-{root}.json")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK: BlockSize = BlockSize::MIN;

    #[test]
    fn a_manifest_is_read_back_only_under_its_root() {
        let disk = 3 * PART_BLOCKS * BLOCK.bytes();
        let manifest = Manifest::new(disk, BLOCK, vec![Hash::of(b"a"), Hash::of(b"b"), Hash::of(b"c")]);
        let bytes = manifest.to_bytes();
        let root = Hash::of(&bytes);
        assert_eq!(Manifest::from_bytes(&bytes, root, disk, BLOCK).unwrap(), manifest);
        assert!(matches!(Manifest::from_bytes(&bytes, Hash::of(b"x"), disk, BLOCK), Err(ManifestError::Root { .. })));
        assert!(matches!(
            Manifest::from_bytes(&bytes, root, disk - crate::size::MIB, BLOCK),
            Err(ManifestError::Content(_))
        ));
    }

    proptest! {
        /// Whoever can write the object can also name it by its hash.
        #[test]
        fn a_hostile_manifest_under_its_own_root_is_refused_or_of_this_disk(
            field in 0..6usize,
            number in prop_oneof![any::<u64>(), Just(0), Just(1), Just(u64::MAX)],
            parts in 0..5usize,
        ) {
            let disk = 3 * PART_BLOCKS * BLOCK.bytes();
            let mut json = serde_json::to_value(Manifest::new(disk, BLOCK, vec![Hash::of(b"a"); parts])).unwrap();
            let names = ["format", "digest", "disk_bytes", "block_bytes", "part_blocks", "parts"];
            json[names[field]] = number.into();
            let bytes = json.to_string().into_bytes();
            let read = Manifest::from_bytes(&bytes, Hash::of(&bytes), disk, BLOCK);
            prop_assert!(read.is_err() || read.unwrap().parts().len() == 3);
        }

        #[test]
        fn any_bytes_as_a_manifest_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Manifest::from_bytes(&bytes, Hash::of(&bytes), 1 << 30, BLOCK).is_err());
        }
    }

    #[test]
    fn the_largest_manifest_fits_its_limit() {
        let parts = part_count(crate::size::MAX_DISK_BYTES, BLOCK) as usize;
        let manifest = Manifest::new(crate::size::MAX_DISK_BYTES, BLOCK, vec![Hash::of(b""); parts]);
        assert!(manifest.to_bytes().len() as u64 <= MAX_MANIFEST_BYTES);
    }
}
