//! The server's disk: a history of moments, each a point in time that can be read.

use std::ops::Range;
use std::sync::Arc;

use fastrand::Rng;
use libmigrate::DiskSource;
use libmigrate::extent::{Extent, ExtentSet};
use libmigrate::source::{ChangeId, ChangeList, SourceError, SourceExtent};

/// The unit in which a disk is written and changes.
const GRAIN: usize = 4096;

const MIB: usize = 1 << 20;

/// The disk at one moment.
#[derive(Clone)]
pub(crate) struct Moment {
    pub(crate) number: u32,
    pub(crate) bytes: Vec<u8>,
    /// By grain: the file system has no space for it, so it reads as zeros.
    holes: Vec<bool>,
}

impl std::fmt::Debug for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Moment({}, {} bytes)", self.number, self.bytes.len())
    }
}

/// All moments so far.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) moments: Vec<Arc<Moment>>,
}

impl History {
    /// A disk of some MiB, not always a whole number of them.
    pub(crate) fn begin(random: &mut Rng) -> Self {
        let mut len = random.usize(1..=2) * MIB;
        if random.bool() {
            len -= random.usize(1..MIB / 2);
        }
        let grains = len.div_ceil(GRAIN);
        let mut first = Moment { number: 1, bytes: vec![0; len], holes: vec![true; grains] };
        for _ in 0..random.usize(..12) {
            first.write_somewhere(random, &[]);
        }
        Self { moments: vec![Arc::new(first)] }
    }

    pub(crate) fn now(&self) -> &Arc<Moment> {
        self.moments.last().expect("there is a first moment")
    }

    /// The disk changes.
    pub(crate) fn pass_time(&mut self, random: &mut Rng) {
        let mut next = Moment { number: self.now().number + 1, ..(**self.now()).clone() };
        for _ in 0..random.usize(..8) {
            next.write_somewhere(random, &self.moments);
        }
        self.moments.push(Arc::new(next));
    }

    /// The disk grows.
    pub(crate) fn grow(&mut self, random: &mut Rng) {
        let mut next = Moment { number: self.now().number + 1, ..(**self.now()).clone() };
        let more = if random.bool() { MIB } else { random.usize(1..MIB) };
        next.bytes.resize(next.bytes.len() + more, 0);
        next.holes.resize(next.bytes.len().div_ceil(GRAIN), true);
        for _ in 0..random.usize(..4) {
            next.write_somewhere(random, &[]);
        }
        self.moments.push(Arc::new(next));
    }

    /// What changed from the moment that `base` names to the moment `to`, as an honest tracker says it.
    pub(crate) fn changes(&self, base: &str, to: &Moment) -> Option<ChangeList> {
        let from = self.moments.iter().find(|moment| moment.change_id() == base)?;
        let grains = to.bytes.len().div_ceil(GRAIN);
        let changed: ExtentSet = (0..grains)
            .filter(|grain| from.grain(*grain) != to.grain(*grain))
            .filter_map(|grain| Extent::new((grain * GRAIN) as u64, to.grain(grain).len() as u64))
            .collect();
        Some(ChangeList::of(ChangeId::new(base), ChangeId::new(to.change_id()), changed))
    }
}

impl Moment {
    pub(crate) fn change_id(&self) -> String {
        format!("moment-{}", self.number)
    }

    /// The replica's bytes: padded with zeros to whole MiB.
    pub(crate) fn padded(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.resize(bytes.len().next_multiple_of(MIB), 0);
        bytes
    }

    fn grain(&self, grain: usize) -> &[u8] {
        let end = ((grain + 1) * GRAIN).min(self.bytes.len());
        &self.bytes[(grain * GRAIN).min(end)..end]
    }

    /// Some grains in a row become data, zeros, a hole, or what they were at an earlier moment.
    fn write_somewhere(&mut self, random: &mut Rng, earlier: &[Arc<Self>]) {
        let grains = self.holes.len();
        let first = random.usize(..grains);
        let count = (1 << random.u32(..6)).min(grains - first);
        let kind = random.u8(..10);
        let old = if earlier.is_empty() { None } else { Some(&earlier[random.usize(..earlier.len())]) };
        for grain in first..first + count {
            let range = grain * GRAIN..((grain + 1) * GRAIN).min(self.bytes.len());
            self.holes[grain] = kind == 0;
            match (kind, old) {
                (0 | 1, _) => self.bytes[range].fill(0),
                // Back to what it was: content that the target, a map or a late request may still know.
                (2..=4, Some(old)) => {
                    let was = old.grain(grain);
                    self.bytes[range.clone()].fill(0);
                    self.bytes[range.start..range.start + was.len()].copy_from_slice(was);
                }
                // Few different contents, so that blocks come back to what they were.
                _ => self.bytes[range].fill(random.u8(1..=6)),
            }
        }
    }
}

impl DiskSource for Moment {
    fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn identity(&self) -> Option<String> {
        Some("the server's disk".into())
    }

    fn point(&self) -> Option<String> {
        Some(self.change_id())
    }

    fn extents(&self, range: Range<u64>, max: usize) -> Result<Vec<SourceExtent>, SourceError> {
        let grain = |offset: u64| offset as usize / GRAIN;
        let mut found = Vec::new();
        let mut at = range.start;
        while at < range.end && found.len() < max {
            let hole = self.holes[grain(at)];
            let same = (grain(at)..self.holes.len()).take_while(|grain| self.holes[*grain] == hole).last();
            let end = ((same.expect("the first is the same") + 1) * GRAIN) as u64;
            let extent = Extent::from_range(at..end.min(range.end)).expect("not empty");
            found.push(if hole { SourceExtent::hole(extent) } else { SourceExtent::data(extent) });
            at = extent.end();
        }
        Ok(found)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        buf.copy_from_slice(&self.bytes[offset as usize..offset as usize + buf.len()]);
        Ok(())
    }
}
