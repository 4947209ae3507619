//! A machine's disk: what is written survives a power loss only once it is synced.
//!
//! Until then each sector (512 bytes, which a disk writes whole or not at all) may come out of a power loss
//! with any content that it was given since the last sync, or with the one before; sectors are independent of
//! one another, so a long write may be torn and two writes may change places. A length that was not synced may
//! be the old one or the new one. That is what `fdatasync` on a journalling file system and a drive with a
//! volatile cache permit, and all that redb's single-sync commit says that it survives. A process that is
//! killed loses nothing that it wrote: the page cache is the kernel's.
//!
//! Making, renaming and locking a file is durable and atomic here. The engine makes a checkpoint under another
//! name and renames it when it is whole, so nothing hangs on the moment in between.

use std::collections::BTreeMap;
use std::io;

use fastrand::Rng;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// All files of one machine.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) files: BTreeMap<String, File>,
    /// No write finds room.
    pub(crate) full: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    /// As whoever reads it sees it.
    now: Vec<u8>,
    /// What every sector that was written since the last sync held, from the last synced content on.
    unsynced: BTreeMap<usize, Vec<[u8; SECTOR]>>,
    synced_len: usize,
    /// Whether somebody has it open.
    pub(crate) open: bool,
}

/// What befalls a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The process is killed.
    Kill,
    /// The power goes.
    PowerLoss,
}

impl File {
    pub(crate) fn len(&self) -> usize {
        self.now.len()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.now
    }

    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = offset as usize;
        let read = self.now.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(read);
        Ok(())
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) {
        let range = offset as usize..offset as usize + data.len();
        if self.now.len() < range.end {
            self.now.resize(range.end, 0);
        }
        for sector in range.start / SECTOR..range.end.div_ceil(SECTOR) {
            let before = self.sector(sector);
            self.unsynced.entry(sector).or_insert_with(|| vec![before]);
        }
        self.now[range.clone()].copy_from_slice(data);
        for sector in range.start / SECTOR..range.end.div_ceil(SECTOR) {
            let after = self.sector(sector);
            self.unsynced.get_mut(&sector).expect("just noted").push(after);
        }
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        self.now.resize(len as usize, 0);
    }

    pub(crate) fn sync(&mut self) {
        self.unsynced.clear();
        self.synced_len = self.now.len();
    }

    /// The machine lost its power: each sector that was not synced is one of those that it has been.
    pub(crate) fn lose_power(&mut self, random: &mut Rng) {
        // Sometimes nothing or everything survives, which independent choices would hardly ever give.
        let all = random.u8(..8);
        let len = if random.bool() { self.now.len() } else { self.synced_len };
        self.now.resize(len, 0);
        for (sector, contents) in std::mem::take(&mut self.unsynced) {
            let survives = match all {
                0 => &contents[0],
                1 => contents.last().expect("at least the content before"),
                _ => &contents[random.usize(..contents.len())],
            };
            let start = (sector * SECTOR).min(len);
            let end = (start + SECTOR).min(len);
            self.now[start..end].copy_from_slice(&survives[..end - start]);
        }
        self.synced_len = len;
    }

    /// A bit rots.
    pub(crate) fn flip_bit(&mut self, random: &mut Rng) {
        if !self.now.is_empty() {
            let at = random.usize(..self.now.len());
            self.now[at] ^= 1 << random.u8(..8);
        }
    }

    fn sector(&self, sector: usize) -> [u8; SECTOR] {
        let mut content = [0; SECTOR];
        let start = (sector * SECTOR).min(self.now.len());
        let end = (start + SECTOR).min(self.now.len());
        content[..end - start].copy_from_slice(&self.now[start..end]);
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_survives_and_what_was_not_may_be_torn() {
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut file = File::default();
            file.write(0, &[1; 3 * SECTOR]);
            file.sync();
            file.write(SECTOR as u64, &[2; 2 * SECTOR]);
            file.lose_power(&mut Rng::with_seed(seed));
            assert_eq!(file.now[0], 1);
            outcomes.insert((file.now[SECTOR], file.now[2 * SECTOR]));
        }
        assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), [(1, 1), (1, 2), (2, 1), (2, 2)]);
    }

    #[test]
    fn a_sector_may_come_back_with_any_content_since_the_sync() {
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut file = File::default();
            file.write(0, &[1; SECTOR]);
            file.sync();
            file.write(0, &[2; SECTOR]);
            file.write(0, &[3; SECTOR]);
            file.lose_power(&mut Rng::with_seed(seed));
            assert!(file.now.iter().all(|byte| *byte == file.now[0]), "a sector is never torn");
            outcomes.insert(file.now[0]);
        }
        assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
    }
}
