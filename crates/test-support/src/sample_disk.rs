//! Disks to copy, made from a seed: the same layout and the same bytes every time.
//!
//! A [`SampleDisk`] is written to a sparse file: data in extents of 4 KiB to 1 MiB with holes between, or all over.
//! A [`Mutation`] then changes some of the data in place, as a running server would between two cycles, and
//! says what it changed. Content is random, so no grain is zero by accident and no two are equal.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use fastrand::Rng;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Extents and zero runs are whole grains: the cluster size of the common file systems.
const GRAIN: u64 = 4096;
const MAX_EXTENT: u64 = 1 << 20;

/// What a disk looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleDisk {
    /// Size of the disk in bytes.
    pub len: u64,
    /// How much of it is written, in whole grains of 4 KiB. Everything, when it is the size or more.
    pub data_bytes: u64,
    /// What layout and content are made from.
    pub seed: u64,
}

/// A stretch of a disk that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataExtent {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// Offset and length of a stretch inside that is written with zeros.
    pub zero_run: Option<(u64, u64)>,
}

impl SampleDisk {
    /// What is written, in order. A quarter of the longer extents hold a run of zeros, unless the disk is all data.
    pub fn extents(&self) -> Vec<DataExtent> {
        if self.data_bytes >= self.len {
            let extent = |offset| DataExtent { offset, len: MAX_EXTENT.min(self.len - offset), zero_run: None };
            return (0..self.len).step_by(MAX_EXTENT as usize).map(extent).collect();
        }
        let mut rng = Rng::with_seed(self.seed);
        let grains = self.len / GRAIN;
        let data = self.data_bytes.div_ceil(GRAIN).min(grains);
        let lengths = extent_lengths(data, &mut rng);
        // Each extent starts where all before it and its share of the hole end: random points of the hole, in order.
        let mut gaps: Vec<u64> = lengths.iter().map(|_| rng.u64(0..=grains - data)).collect();
        gaps.sort_unstable();
        let mut data_before = 0;
        let extents = lengths.into_iter().zip(gaps).map(|(grains, gap)| {
            let first = gap + data_before;
            data_before += grains;
            let zero_run = (grains >= 3 && rng.u8(..4) == 0).then(|| {
                let run = rng.u64(1..=grains - 2);
                ((first + rng.u64(1..grains - run)) * GRAIN, run * GRAIN)
            });
            DataExtent { offset: first * GRAIN, len: grains * GRAIN, zero_run }
        });
        extents.collect()
    }

    /// Writes the image to `path`, which is replaced.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        file.set_len(self.len)?;
        let mut buffer = vec![0; MAX_EXTENT as usize];
        for extent in self.extents() {
            let bytes = &mut buffer[..extent.len as usize];
            content(self.seed, extent.offset).fill(bytes);
            if let Some((offset, len)) = extent.zero_run {
                let start = (offset - extent.offset) as usize;
                bytes[start..start + len as usize].fill(0);
            }
            file.write_all_at(bytes, extent.offset)?;
        }
        Ok(())
    }
}

/// Lengths in grains that add up to `grains`: powers of two up to the largest extent, each as likely, then the rest.
fn extent_lengths(grains: u64, rng: &mut Rng) -> Vec<u64> {
    let mut left = grains;
    let mut lengths = Vec::new();
    while left > 0 {
        let len = (1 << rng.u32(0..=(MAX_EXTENT / GRAIN).ilog2())).min(left);
        lengths.push(len);
        left -= len;
    }
    lengths
}

/// How an image changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mutation {
    /// The share of the blocks with data that change, 0 to 1.
    pub share: f64,
    /// Bytes in a block.
    pub block_bytes: u64,
    /// The share of the changing blocks that become zeros, 0 to 1.
    pub zero_share: f64,
    /// What chooses the blocks and their new content.
    pub seed: u64,
}

/// Overwrites a share of the image's blocks that hold data, each with new bytes; the offsets and lengths.
pub fn mutate(path: &Path, share: f64, block_bytes: u64, seed: u64) -> io::Result<Vec<(u64, u64)>> {
    Mutation { share, block_bytes, zero_share: 0.0, seed }.apply(path)
}

impl Mutation {
    /// Changes the image at `path`. The returned offsets and lengths, one a block and in order, are exactly the
    /// blocks that differ now.
    ///
    /// # Panics
    /// When the block size is zero.
    pub fn apply(&self, path: &Path) -> io::Result<Vec<(u64, u64)>> {
        let file = File::options().read(true).write(true).open(path)?;
        let mut rng = Rng::with_seed(self.seed);
        let blocks = self.blocks_with_data(&file)?;
        #[expect(clippy::cast_sign_loss, reason = "the cast makes a negative share 0, as it should be")]
        let count = (blocks.len() as f64 * self.share).round() as usize;
        let mut chosen = rng.choose_multiple(blocks, count);
        chosen.sort_unstable();
        let (mut old, mut new) = (vec![0; self.block_bytes as usize], vec![0; self.block_bytes as usize]);
        for (offset, len) in &chosen {
            let (old, new) = (&mut old[..*len as usize], &mut new[..*len as usize]);
            file.read_exact_at(old, *offset)?;
            if rng.f64() < self.zero_share {
                new.fill(0);
            } else {
                content(self.seed, *offset).fill(new);
            }
            if old == new {
                new[0] = !new[0]; // this mutation ran before
            }
            file.write_all_at(new, *offset)?;
        }
        Ok(chosen)
    }

    /// Offset and length of each block that holds anything but zeros, in order.
    fn blocks_with_data(&self, file: &File) -> io::Result<Vec<(u64, u64)>> {
        let len = file.metadata()?.len();
        let mut block = vec![0; self.block_bytes as usize];
        let mut blocks = Vec::new();
        let mut next = 0;
        while let Some(data) = next_data(file, next * self.block_bytes)? {
            let end = seek(file, SeekFrom::Hole(data))?.div_ceil(self.block_bytes);
            for index in data / self.block_bytes..end {
                let offset = index * self.block_bytes;
                let block = &mut block[..self.block_bytes.min(len - offset) as usize];
                file.read_exact_at(block, offset)?;
                if block.iter().any(|byte| *byte != 0) {
                    blocks.push((offset, block.len() as u64));
                }
            }
            next = end;
        }
        Ok(blocks)
    }
}

/// The first byte at or after `offset` that does not lie in a hole.
fn next_data(file: &File, offset: u64) -> io::Result<Option<u64>> {
    match seek(file, SeekFrom::Data(offset)) {
        Ok(data) => Ok(Some(data)),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The stream of bytes that belongs at `offset`.
fn content(seed: u64, offset: u64) -> Rng {
    // Neighbouring seeds must not give neighbouring streams; the multiplier is the golden ratio's.
    Rng::with_seed(seed ^ (offset + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::PathBuf;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// The disk in a file of a folder of its own.
    fn written(disk: SampleDisk) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        disk.write(&path).unwrap();
        (folder, path)
    }

    /// The bytes of all grains that hold anything but zeros.
    fn nonzero_bytes(bytes: &[u8]) -> u64 {
        let grains = bytes.chunks(GRAIN as usize).filter(|grain| grain.iter().any(|byte| *byte != 0));
        grains.map(|grain| grain.len() as u64).sum()
    }

    /// Offset and length of each block in which two disks differ.
    fn differing(one: &[u8], two: &[u8], block: u64) -> Vec<(u64, u64)> {
        let blocks = one.chunks(block as usize).zip(two.chunks(block as usize)).enumerate();
        let differing = blocks.filter(|(_, (one, two))| one != two);
        differing.map(|(index, (one, _))| (index as u64 * block, one.len() as u64)).collect()
    }

    fn is_zero(disk: &[u8], (offset, len): (u64, u64)) -> bool {
        disk[offset as usize..][..len as usize].iter().all(|byte| *byte == 0)
    }

    #[test]
    fn the_same_seed_makes_the_same_disk_and_another_does_not() {
        let disk = SampleDisk { len: 16 * MIB, data_bytes: 4 * MIB, seed: 7 };
        let [one, again, other] = [disk, disk, SampleDisk { seed: 8, ..disk }].map(written);
        assert!(fs::read(&one.1).unwrap() == fs::read(again.1).unwrap());
        assert!(fs::read(&one.1).unwrap() != fs::read(other.1).unwrap());
    }

    #[test]
    fn extents_lie_in_order_within_the_disk_and_add_up() {
        let disk = SampleDisk { len: 1 << 30, data_bytes: 200 * MIB, seed: 1 };
        let extents = disk.extents();
        assert!(extents.windows(2).all(|pair| pair[0].offset + pair[0].len <= pair[1].offset));
        assert!(extents.iter().all(|extent| extent.offset + extent.len <= disk.len));
        assert!(extents.iter().all(|extent| (GRAIN..=MAX_EXTENT).contains(&extent.len)));
        assert!(extents.iter().all(|extent| extent.offset % GRAIN == 0 && extent.len % GRAIN == 0));
        assert_eq!(extents.iter().map(|extent| extent.len).sum::<u64>(), 200 * MIB);
        assert!(extents.len() > 500, "{}", extents.len());
    }

    #[test]
    fn some_extents_hold_a_run_of_zeros_that_is_not_at_their_edge() {
        let extents = SampleDisk { len: 1 << 30, data_bytes: 200 * MIB, seed: 1 }.extents();
        let runs: Vec<_> = extents.iter().filter_map(|extent| Some((extent, extent.zero_run?))).collect();
        assert!((extents.len() / 8..extents.len() / 3).contains(&runs.len()), "{} of {}", runs.len(), extents.len());
        assert!(runs.iter().all(|(extent, (offset, len))| {
            *len >= GRAIN && *offset > extent.offset && offset + len < extent.offset + extent.len
        }));
    }

    #[test]
    fn the_file_holds_the_planned_data_and_holes() {
        let disk = SampleDisk { len: 64 * MIB + 512, data_bytes: 8 * MIB, seed: 3 };
        let zeros: u64 = disk.extents().iter().filter_map(|extent| extent.zero_run).map(|(_, len)| len).sum();

        let (_folder, path) = written(disk);

        let allocated = path.metadata().unwrap().blocks() * 512;
        assert!((8 * MIB..10 * MIB).contains(&allocated), "{allocated}");
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, 64 * MIB + 512);
        assert!(zeros > 0);
        assert_eq!(nonzero_bytes(&bytes), 8 * MIB - zeros);
    }

    #[test]
    fn a_disk_of_nothing_but_data_has_no_zero_grain_and_keeps_an_odd_length() {
        let len = 3 * MIB + 5000;
        let (_folder, path) = written(SampleDisk { len, data_bytes: len, seed: 3 });
        assert_eq!(nonzero_bytes(&fs::read(&path).unwrap()), len);
    }

    #[test]
    fn data_up_to_an_odd_end_stays_within_the_disk() {
        let (_folder, path) = written(SampleDisk { len: 3 * MIB + 5000, data_bytes: 3 * MIB + 4999, seed: 3 });
        assert_eq!(path.metadata().unwrap().len(), 3 * MIB + 5000);
    }

    #[test]
    fn a_disk_without_data_is_one_hole() {
        let (_folder, path) = written(SampleDisk { len: MIB, data_bytes: 0, seed: 1 });
        assert_eq!(nonzero_bytes(&fs::read(&path).unwrap()), 0);
        assert_eq!(mutate(&path, 1.0, 4096, 1).unwrap(), []);
    }

    #[test]
    fn a_mutation_changes_exactly_the_blocks_that_it_names() {
        let (_folder, path) = written(SampleDisk { len: 64 * MIB + 512, data_bytes: 8 * MIB, seed: 5 });
        let before = fs::read(&path).unwrap();

        let changed = mutate(&path, 0.1, 4096, 9).unwrap();

        let after = fs::read(&path).unwrap();
        assert_eq!(changed, differing(&before, &after, 4096));
        assert_eq!(changed.len() as u64, (nonzero_bytes(&before) / 4096 + 5) / 10);
        assert!(!changed.iter().any(|block| is_zero(&after, *block)));
    }

    #[test]
    fn the_asked_share_of_the_changed_blocks_becomes_zeros() {
        let (_folder, path) = written(SampleDisk { len: 8 * MIB, data_bytes: 8 * MIB, seed: 5 });
        let mutation = Mutation { share: 0.5, block_bytes: 4096, zero_share: 0.25, seed: 9 };

        let changed = mutation.apply(&path).unwrap();

        let after = fs::read(&path).unwrap();
        let zeroed = changed.iter().filter(|block| is_zero(&after, **block)).count();
        assert_eq!(changed.len(), 1024);
        assert!((200..312).contains(&zeroed), "{zeroed}");
    }

    #[test]
    fn the_same_mutation_changes_the_same_blocks_again() {
        let (_folder, path) = written(SampleDisk { len: 4 * MIB + 512, data_bytes: 8 * MIB, seed: 5 });
        let first = mutate(&path, 1.0, 4096, 9).unwrap();
        let before = fs::read(&path).unwrap();

        let second = mutate(&path, 1.0, 4096, 9).unwrap();

        assert_eq!(first, second);
        assert_eq!(second, differing(&before, &fs::read(&path).unwrap(), 4096));
        assert_eq!(second.last(), Some(&(4 * MIB, 512)));
    }
}
