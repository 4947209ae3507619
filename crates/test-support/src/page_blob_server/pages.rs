//! The bytes and pages of a page blob.
//!
//! Sparse: only cells of 64 KiB that were ever written exist. A cell knows of each of its 128 pages whether
//! it is written now, and in which epoch it last changed. An epoch ends with a snapshot, so the pages that
//! changed since a snapshot are those whose change is younger than the epoch that the snapshot froze:
//! the truth per page, not a comparison of bytes.
//!
//! Cells are shared between a blob and its snapshots and copied on the first write after a snapshot.
//!
//! A clear of a page that is not written changes nothing, so it is in no diff.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

/// Bytes in a page, the unit in which a page blob is written.
pub(crate) const PAGE: u64 = 512;

const CELL: u64 = 64 << 10;
const PAGES_PER_CELL: u64 = CELL / PAGE;

/// Whether written bytes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Storage {
    /// In memory.
    #[default]
    Keep,
    /// Which pages are written is kept, what was written is not: they read as zero. For benches.
    Discard,
}

#[derive(Clone, Debug)]
struct Cell {
    /// One bit for each page.
    written: u128,
    /// The epoch in which each page last changed; 0 means never.
    changed: [u32; PAGES_PER_CELL as usize],
    /// Absent while every byte is zero, and always under [`Storage::Discard`].
    bytes: Option<Box<[u8]>>,
}

impl Cell {
    fn empty() -> Self {
        Self { written: 0, changed: [0; PAGES_PER_CELL as usize], bytes: None }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_or_insert_with(|| vec![0; CELL as usize].into_boxed_slice())
    }
}

/// The pages of one blob, or of one snapshot of it.
#[derive(Clone, Debug)]
pub(crate) struct PageMap {
    len: u64,
    epoch: u32,
    storage: Storage,
    cells: BTreeMap<u64, Arc<Cell>>,
}

/// What a run of pages is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// Written.
    Written,
    /// Written once, cleared since.
    Cleared,
}

/// A run of neighbouring pages of one kind, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRun {
    /// What they are.
    pub kind: PageKind,
    /// Where they are.
    pub range: Range<u64>,
}

impl PageMap {
    /// `len` bytes that read as zero.
    pub(crate) fn new(len: u64, storage: Storage) -> Self {
        Self { len, epoch: 1, storage, cells: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Writes `frames`, which fill `range` exactly; `range` is aligned and inside the blob.
    pub(crate) fn write(&mut self, range: Range<u64>, frames: &[Bytes]) {
        let mut source = frames.iter().flat_map(|frame| frame.chunks(CELL as usize));
        let mut rest: &[u8] = &[];
        for (index, within) in cells_of(&range) {
            let cell = Arc::make_mut(self.cells.entry(index).or_insert_with(|| Arc::new(Cell::empty())));
            let pages = within.start / PAGE..within.end / PAGE;
            cell.written |= mask(&pages);
            cell.changed[pages.start as usize..pages.end as usize].fill(self.epoch);
            if self.storage == Storage::Discard {
                continue;
            }
            let mut room = &mut cell.bytes_mut()[within.start as usize..within.end as usize];
            while !room.is_empty() {
                if rest.is_empty() {
                    let Some(next) = source.next() else { return };
                    rest = next;
                    continue;
                }
                let step = room.len().min(rest.len());
                room[..step].copy_from_slice(&rest[..step]);
                room = &mut room[step..];
                rest = &rest[step..];
            }
        }
    }

    /// Makes `range` read as zero and its pages unwritten.
    pub(crate) fn clear(&mut self, range: &Range<u64>) {
        self.free(range, Some(self.epoch));
    }

    /// The same, but no epoch is noted.
    pub(crate) fn lose(&mut self, range: &Range<u64>) {
        self.free(range, None);
    }

    fn free(&mut self, range: &Range<u64>, epoch: Option<u32>) {
        if range.is_empty() {
            return;
        }
        let (first, last) = (range.start / CELL, (range.end - 1) / CELL);
        for (index, cell) in self.cells.range_mut(first..=last) {
            let base = index * CELL;
            let within = range.start.max(base) - base..range.end.min(base + CELL) - base;
            let hit = cell.written & mask(&(within.start / PAGE..within.end / PAGE));
            if hit == 0 {
                continue;
            }
            let cell = Arc::make_mut(cell);
            cell.written &= !hit;
            for page in (0..PAGES_PER_CELL).filter(|page| hit >> page & 1 == 1) {
                cell.changed[page as usize] = epoch.unwrap_or(cell.changed[page as usize]);
            }
            if cell.written == 0 {
                cell.bytes = None;
            } else if let Some(bytes) = &mut cell.bytes {
                bytes[within.start as usize..within.end as usize].fill(0);
            }
        }
    }

    /// Changes the length. What lies past a smaller end is cleared.
    pub(crate) fn resize(&mut self, len: u64) {
        if len < self.len {
            self.clear(&(len..self.len));
        }
        self.len = len;
    }

    /// Ends the epoch: what is written from now on is younger than the copy that comes back.
    pub(crate) fn freeze(&mut self) -> Self {
        let frozen = self.clone();
        self.epoch += 1;
        frozen
    }

    /// The bytes of `range`, which is inside the blob.
    pub(crate) fn read(&self, range: &Range<u64>) -> Vec<u8> {
        let mut out = vec![0; (range.end - range.start) as usize];
        for (index, within) in cells_of(range) {
            if let Some(bytes) = self.cells.get(&index).and_then(|cell| cell.bytes.as_deref()) {
                let at = (index * CELL + within.start - range.start) as usize;
                let part = &bytes[within.start as usize..within.end as usize];
                out[at..at + part.len()].copy_from_slice(part);
            }
        }
        out
    }

    /// Changes stored bytes without a trace: no epoch is noted. Their pages are written, as pages with bytes are.
    pub(crate) fn damage(&mut self, offset: u64, bytes: &[u8]) {
        let range = offset..(offset + bytes.len() as u64).min(self.len);
        for (index, within) in cells_of(&range) {
            let from = (index * CELL + within.start - offset) as usize;
            let part = &bytes[from..from + (within.end - within.start) as usize];
            let cell = Arc::make_mut(self.cells.entry(index).or_insert_with(|| Arc::new(Cell::empty())));
            cell.written |= mask(&(within.start / PAGE..within.end.div_ceil(PAGE)));
            cell.bytes_mut()[within.start as usize..within.end as usize].copy_from_slice(part);
        }
    }

    /// The written pages of `window`, in order, merged.
    pub(crate) fn written(&self, window: &Range<u64>) -> Vec<PageRun> {
        self.runs(window, |cell, page| (cell.written >> page & 1 == 1).then_some(PageKind::Written))
    }

    /// The pages of `window` that changed after `snapshot` of this blob was taken, in order, merged.
    pub(crate) fn changed_since(&self, snapshot: &PageMap, window: &Range<u64>) -> Vec<PageRun> {
        self.runs(window, |cell, page| {
            let kind = if cell.written >> page & 1 == 1 { PageKind::Written } else { PageKind::Cleared };
            (cell.changed[page as usize] > snapshot.epoch).then_some(kind)
        })
    }

    fn runs(&self, window: &Range<u64>, kind_of: impl Fn(&Cell, u64) -> Option<PageKind>) -> Vec<PageRun> {
        let start = window.start / PAGE * PAGE;
        let end = window.end.min(self.len).next_multiple_of(PAGE);
        let mut runs: Vec<PageRun> = Vec::new();
        if start >= end {
            return runs;
        }
        for (index, cell) in self.cells.range(start / CELL..=(end - 1) / CELL) {
            for page in 0..PAGES_PER_CELL {
                let at = index * CELL + page * PAGE;
                if at < start || at >= end {
                    continue;
                }
                let Some(kind) = kind_of(cell, page) else { continue };
                match runs.last_mut() {
                    Some(run) if run.kind == kind && run.range.end == at => run.range.end = at + PAGE,
                    _ => runs.push(PageRun { kind, range: at..at + PAGE }),
                }
            }
        }
        runs
    }
}

/// The cells that `range` touches, and which of their bytes.
fn cells_of(range: &Range<u64>) -> impl Iterator<Item = (u64, Range<u64>)> + use<> {
    let Range { start, end } = *range;
    (start / CELL..end.div_ceil(CELL)).filter(move |_| start < end).map(move |index| {
        let base = index * CELL;
        (index, start.max(base) - base..end.min(base + CELL) - base)
    })
}

/// The bits of a run of pages within a cell.
fn mask(pages: &Range<u64>) -> u128 {
    let upto = |page: u64| if page == PAGES_PER_CELL { u128::MAX } else { (1 << page) - 1 };
    upto(pages.end) & !upto(pages.start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Two and a half cells, so that runs cross the edges of cells.
    const LEN: u64 = 5 * CELL / 2;
    const WHOLE: Range<u64> = 0..LEN;

    /// What [`PageMap`] must amount to, one page at a time.
    #[derive(Clone)]
    struct Naive {
        /// Of each page: its fill byte if written, and the number of the step that last changed it.
        pages: Vec<(Option<u8>, usize)>,
    }

    impl Naive {
        fn runs(&self, pick: impl Fn(&(Option<u8>, usize)) -> Option<PageKind>) -> Vec<PageRun> {
            let mut runs: Vec<PageRun> = Vec::new();
            for (page, state) in self.pages.iter().enumerate() {
                let at = page as u64 * PAGE;
                let Some(kind) = pick(state) else { continue };
                if let Some(run) = runs.last_mut().filter(|run| run.kind == kind && run.range.end == at) {
                    run.range.end += PAGE;
                } else {
                    runs.push(PageRun { kind, range: at..at + PAGE });
                }
            }
            runs
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write { first: u64, count: u64, fill: u8 },
        Clear { first: u64, count: u64 },
        Snapshot,
    }

    fn step() -> impl Strategy<Value = Step> {
        let pages = LEN / PAGE;
        let run = (0..pages).prop_flat_map(move |first| (Just(first), 1..=(pages - first)));
        prop_oneof![
            4 => (run.clone(), 1..=255_u8).prop_map(|((first, count), fill)| Step::Write { first, count, fill }),
            3 => run.prop_map(|(first, count)| Step::Clear { first, count }),
            1 => Just(Step::Snapshot),
        ]
    }

    fn bytes(range: &Range<u64>, fill: u8) -> Vec<Bytes> {
        // Frames of an odd length, since nothing aligns what arrives from a socket.
        let whole = Bytes::from(vec![fill; (range.end - range.start) as usize]);
        (0..whole.len()).step_by(7001).map(|at| whole.slice(at..(at + 7001).min(whole.len()))).collect()
    }

    proptest! {
        #[test]
        fn pages_and_diffs_are_those_of_a_model_that_remembers_each_page(steps in prop::collection::vec(step(), 1..40)) {
            let mut map = PageMap::new(LEN, Storage::Keep);
            let mut naive = Naive { pages: vec![(None, 0); (LEN / PAGE) as usize] };
            let mut snapshots: Vec<(PageMap, Naive, usize)> = Vec::new();
            for (number, step) in steps.iter().enumerate() {
                let now = number + 1;
                match *step {
                    Step::Write { first, count, fill } => {
                        let range = first * PAGE..(first + count) * PAGE;
                        map.write(range.clone(), &bytes(&range, fill));
                        naive.pages[first as usize..(first + count) as usize].fill((Some(fill), now));
                    }
                    Step::Clear { first, count } => {
                        map.clear(&(first * PAGE..(first + count) * PAGE));
                        for page in &mut naive.pages[first as usize..(first + count) as usize] {
                            if page.0.is_some() {
                                *page = (None, now);
                            }
                        }
                    }
                    Step::Snapshot => snapshots.push((map.freeze(), naive.clone(), now)),
                }
            }
            snapshots.push((map.clone(), naive.clone(), usize::MAX));
            for (at, (map, naive, _)) in snapshots.iter().enumerate() {
                prop_assert_eq!(map.written(&WHOLE), naive.runs(|page| page.0.map(|_| PageKind::Written)));
                let content: Vec<u8> = naive.pages.iter().flat_map(|page| [page.0.unwrap_or(0); PAGE as usize]).collect();
                prop_assert_eq!(map.read(&WHOLE), content);
                for (older, _, taken) in &snapshots[..at] {
                    let expected = naive.runs(|page| {
                        let kind = if page.0.is_some() { PageKind::Written } else { PageKind::Cleared };
                        (page.1 > *taken).then_some(kind)
                    });
                    prop_assert_eq!(map.changed_since(older, &WHOLE), expected);
                }
            }
        }
    }

    #[test]
    fn a_snapshot_keeps_its_bytes_when_the_blob_is_written_again() {
        let mut map = PageMap::new(LEN, Storage::Keep);
        map.write(0..1024, &[Bytes::from(vec![1; 1024])]);
        let snapshot = map.freeze();
        map.write(512..1024, &[Bytes::from(vec![2; 512])]);
        assert_eq!(snapshot.read(&(512..514)), [1, 1]);
        assert_eq!(map.read(&(511..513)), [1, 2]);
    }

    #[test]
    fn bytes_past_a_smaller_end_are_gone_when_the_blob_grows_again() {
        let mut map = PageMap::new(2048, Storage::Keep);
        map.write(0..2048, &[Bytes::from(vec![1; 2048])]);
        map.resize(512);
        map.resize(2048);
        assert_eq!(map.read(&(511..513)), [1, 0]);
        assert_eq!(map.written(&(0..2048)), [PageRun { kind: PageKind::Written, range: 0..512 }]);
    }

    #[test]
    fn discarded_bytes_read_as_zero_but_their_pages_are_listed() {
        let mut map = PageMap::new(2048, Storage::Discard);
        map.write(512..1024, &[]);
        assert_eq!(map.read(&(512..514)), [0, 0]);
        assert_eq!(map.written(&(0..2048)), [PageRun { kind: PageKind::Written, range: 512..1024 }]);
    }

    #[test]
    fn damage_changes_bytes_and_leaves_no_trace() {
        let mut map = PageMap::new(2048, Storage::Keep);
        map.write(0..2048, &[Bytes::from(vec![1; 2048])]);
        let snapshot = map.freeze();
        map.damage(700, &[9]);
        map.lose(&(1024..1536));
        assert_eq!(map.read(&(699..702)), [1, 9, 1]);
        assert_eq!(map.read(&(1023..1025)), [1, 0]);
        assert_eq!(map.changed_since(&snapshot, &(0..2048)), []);
    }

    #[test]
    fn a_page_that_damage_brings_to_life_is_listed() {
        let mut map = PageMap::new(2048, Storage::Keep);
        map.damage(1000, &[9; 100]);
        assert_eq!(map.written(&(0..2048)), [PageRun { kind: PageKind::Written, range: 512..1536 }]);
    }

    #[test]
    fn a_listing_keeps_to_its_window() {
        let mut map = PageMap::new(LEN, Storage::Discard);
        map.write(0..LEN, &[]);
        let window = CELL - 512..CELL + 100;
        assert_eq!(map.written(&window), [PageRun { kind: PageKind::Written, range: CELL - 512..CELL + 512 }]);
    }
}
