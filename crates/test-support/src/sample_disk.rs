//! Disks for examples, tests and benches: sparse, and the same for the same seed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use fastrand::Rng;

const GRAIN: u64 = 4096;
const PIECE: usize = 1 << 20;

/// A disk with data here and there: extents of 4 KiB to 1 MiB, in whole grains of 4 KiB.
#[derive(Clone, Copy, Debug)]
pub struct SampleDisk {
    /// Size of the disk.
    pub len: u64,
    /// How much of it is data, about.
    pub data_bytes: u64,
    /// What it is made from.
    pub seed: u64,
}

impl SampleDisk {
    /// Writes the image to `path`, which is replaced.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        file.set_len(self.len)?;
        let mut random = Rng::with_seed(self.seed);
        if self.data_bytes >= self.len {
            return fill(&file, 0, self.len, &mut random);
        }
        // Mean extent and mean gap stand in the ratio of data to holes.
        let mut left = self.data_bytes;
        let mut at = 0;
        while left > 0 && at < self.len {
            let len = (GRAIN << random.u32(0..=8)).min(left.next_multiple_of(GRAIN)).min(self.len - at);
            fill(&file, at, len, &mut random)?;
            left = left.saturating_sub(len);
            let mean_gap = (self.len - at - len) / (left / (len.max(GRAIN * 32)) + 1);
            at += len + random.u64(1..=(mean_gap / GRAIN).max(1)) * GRAIN;
        }
        Ok(())
    }
}

/// Overwrites a share of the image's blocks that hold data, each with new bytes; the offsets and lengths.
///
/// Blocks are chosen at random, the same for the same seed.
pub fn mutate(path: &Path, share: f64, block_bytes: u64, seed: u64) -> io::Result<Vec<(u64, u64)>> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut random = Rng::with_seed(seed);
    let mut block = vec![0; block_bytes as usize];
    let mut changed = Vec::new();
    for offset in (0..file.metadata()?.len() / block_bytes).map(|index| index * block_bytes) {
        if random.f64() >= share {
            continue;
        }
        file.read_exact_at(&mut block, offset)?;
        if block.iter().any(|byte| *byte != 0) {
            fill(&file, offset, block_bytes, &mut random)?;
            changed.push((offset, block_bytes));
        }
    }
    Ok(changed)
}

fn fill(file: &File, offset: u64, len: u64, random: &mut Rng) -> io::Result<()> {
    let mut bytes = vec![0; PIECE.min(len as usize)];
    let end = offset + len;
    for at in (offset..end).step_by(PIECE) {
        let piece = &mut bytes[..PIECE.min((end - at) as usize)];
        random.fill(piece);
        file.write_all_at(piece, at)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_disk_is_sparse_and_the_same_for_the_same_seed() {
        let folder = tempfile::tempdir().unwrap();
        let disk = SampleDisk { len: 64 << 20, data_bytes: 8 << 20, seed: 3 };
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        disk.write(&a).unwrap();
        disk.write(&b).unwrap();
        assert!(std::fs::read(&a).unwrap() == std::fs::read(&b).unwrap());
        let allocated = std::fs::metadata(&a).unwrap().blocks() * 512;
        assert!((7 << 20..=10 << 20).contains(&allocated), "{allocated}");
    }

    #[test]
    fn mutation_changes_what_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        SampleDisk { len: 4 << 20, data_bytes: 4 << 20, seed: 3 }.write(&path).unwrap();
        let before = std::fs::read(&path).unwrap();
        let changed = mutate(&path, 0.1, 4096, 1).unwrap();
        let after = std::fs::read(&path).unwrap();
        let differing: Vec<(u64, u64)> = (0..1024u64)
            .filter(|block| {
                let range = (block * 4096) as usize..((block + 1) * 4096) as usize;
                before[range.clone()] != after[range]
            })
            .map(|block| (block * 4096, 4096))
            .collect();
        assert_eq!(changed, differing);
        assert!((60..160).contains(&changed.len()), "{}", changed.len());
    }
}
