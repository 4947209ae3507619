//! What all formats with an allocation table share: reading and describing a disk piece by piece, through
//! the image's own table first and its parent's after.
//!
//! A format answers one question, [`Layer::place_at`]: what holds the bytes from here on, and how far? From
//! that, [`Layered`] makes a [`DiskSource`]. Reading and describing cannot disagree, because both ask it.
//!
//! Costs: one answer per run of consecutive bytes, none for data. A chain of `n` images asks at most `n`
//! tables for each run.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use super::{DiskSource, SourceError, SourceExtent, SourceLimits};
use crate::extent::Extent;

/// One image's own word about the disk, without its parent's.
pub(super) trait Layer: Debug + Send + Sync + 'static {
    /// Size of the disk in bytes, as the guest sees it.
    fn size_bytes(&self) -> u64;

    /// What holds the bytes from `range.start`: one place, as far as it goes, at least one byte and not past
    /// `range.end`. `range` is not empty and inside the disk. Neighbours that lie side by side in the file
    /// come as one place, so that they are read at once.
    fn place_at(&self, range: Range<u64>) -> Result<Placed, SourceError>;

    /// The image's own file number `index` (0: the image itself), as [`Place::File`] counts them.
    fn file(&self, index: usize) -> &Arc<dyn DiskSource>;

    /// How many files [`file`](Self::file) knows.
    fn files(&self) -> usize {
        1
    }

    /// Fills `buf` from the disk's `offset`, inside one run that is [`Place::Packed`].
    fn unpack(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let len = buf.len() as u64;
        Err(SourceError::Custom { offset, len, problem: "this format has no packed data".into() })
    }
}

/// An answer of [`Layer::place_at`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// For how many bytes.
    pub(super) len_bytes: u64,
    /// Where.
    pub(super) place: Place,
}

/// What holds some bytes of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A file of the image, as they are.
    File {
        /// Which file.
        index: usize,
        /// First byte in it.
        offset: u64,
        /// The file may have holes here that are worth asking for.
        has_holes: bool,
    },
    /// The image, in a form that has to be worked out ([`Layer::unpack`]).
    Packed,
    /// Nothing: the image says that they are zeros, whatever a parent has.
    Zero {
        /// The image keeps room for them.
        allocated: bool,
    },
    /// The image says nothing: they are the parent's, or zeros where there is none.
    Absent,
}

/// A disk that is read through a table, over a parent or over zeros.
pub(super) struct Layered<L> {
    layer: L,
    parent: Option<Arc<dyn DiskSource>>,
    identity: Option<String>,
    notes: Vec<String>,
}

impl<L: Layer> Layered<L> {
    /// The disk that `layer` describes. `identity`: which disk it is, where the format can tell.
    pub(super) fn new(layer: L, parent: Option<Arc<dyn DiskSource>>, identity: Option<String>) -> Self {
        Self { layer, parent, identity, notes: Vec::new() }
    }

    /// Adds what the reader noticed and worked around.
    pub(super) fn with_notes(mut self, notes: Vec<String>) -> Self {
        self.notes = notes;
        self
    }

    /// The parent, where it has bytes at `at`, and where those end.
    fn parent_at(&self, range: &Range<u64>) -> Option<(&Arc<dyn DiskSource>, u64)> {
        let parent = self.parent.as_ref()?;
        // A parent may be shorter than its child; past its end there are zeros.
        (range.start < parent.size_bytes()).then(|| (parent, range.end.min(parent.size_bytes())))
    }

    fn checked(&self, range: Range<u64>) -> Result<Placed, SourceError> {
        let asked = range.end - range.start;
        let placed = self.layer.place_at(range)?;
        debug_assert!((1..=asked).contains(&placed.len_bytes), "{placed:?} for {asked} bytes");
        Ok(placed)
    }
}

/// The disk that a chain of images holds, child first; `layer` makes an image's layer and says what was noticed.
///
/// # Panics
/// When there is no image.
pub(super) fn stack<I, L: Layer>(
    images: Vec<I>,
    identity: Option<&str>,
    mut layer: impl FnMut(I) -> Result<(L, Vec<String>), SourceError>,
) -> Result<Arc<dyn DiskSource>, SourceError> {
    let mut below: Option<Arc<dyn DiskSource>> = None;
    for image in images.into_iter().rev() {
        let (layer, notes) = layer(image)?;
        below = Some(Arc::new(Layered::new(layer, below, identity.map(str::to_owned)).with_notes(notes)));
    }
    Ok(below.expect("a chain has at least the image that it starts at"))
}

impl<L: Layer> DiskSource for Layered<L> {
    fn size_bytes(&self) -> u64 {
        self.layer.size_bytes()
    }

    fn identity(&self) -> Option<String> {
        self.identity.clone()
    }

    /// All files of the chain at their moments; unknown when one of them is.
    fn point(&self) -> Option<String> {
        let files = (0..self.layer.files()).map(|index| self.layer.file(index).point());
        let points: Vec<String> =
            files.chain(self.parent.as_ref().map(|parent| parent.point())).collect::<Option<_>>()?;
        match points.as_slice() {
            [one] => Some(one.clone()),
            // As long as one, however long the chain.
            many => Some(format!("chain:{}", blake3::hash(many.join("\n").as_bytes()).to_hex())),
        }
    }

    fn limits(&self) -> SourceLimits {
        self.layer.file(0).limits()
    }

    fn notes(&self) -> Vec<String> {
        let inherited = self.parent.iter().flat_map(|parent| parent.notes());
        self.notes.iter().cloned().chain(inherited).collect()
    }

    fn extents(&self, range: Range<u64>, max: usize) -> Result<Vec<SourceExtent>, SourceError> {
        let mut found = Joined { max: max.max(1), extents: Vec::new() };
        let mut at = range.start;
        while at < range.end && !found.is_full() {
            let Placed { len_bytes, place } = self.checked(at..range.end)?;
            let run = at..at + len_bytes;
            at = match place {
                Place::File { index, offset, has_holes: true } => {
                    let inner = self.layer.file(index).extents(offset..offset + len_bytes, found.room())?;
                    found.push_all(inner, offset, run.start)
                }
                Place::File { .. } | Place::Packed => found.push(run, true, false),
                Place::Zero { allocated } => found.push(run, allocated, true),
                Place::Absent => match self.parent_at(&run) {
                    Some((parent, end)) => {
                        found.push_all(parent.extents(run.start..end, found.room())?, run.start, run.start)
                    }
                    None => found.push(run, false, true),
                },
            };
        }
        Ok(found.extents)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let Placed { len_bytes, place } = self.checked(at..at + rest.len() as u64)?;
            let mut len = len_bytes;
            match place {
                Place::Absent => match self.parent_at(&(at..at + len)) {
                    Some((parent, end)) => {
                        len = end - at;
                        parent.read_at(at, &mut rest[..len as usize])?;
                    }
                    None => rest[..len as usize].fill(0),
                },
                Place::File { index, offset, .. } => {
                    self.layer.file(index).read_at(offset, &mut rest[..len as usize])?;
                }
                Place::Packed => self.layer.unpack(at, &mut rest[..len as usize])?,
                Place::Zero { .. } => rest[..len as usize].fill(0),
            }
            at += len;
            rest = &mut rest[len as usize..];
        }
        Ok(())
    }
}

/// Extents under way to the caller: neighbours of a kind joined, at most `max`.
struct Joined {
    max: usize,
    extents: Vec<SourceExtent>,
}

impl Joined {
    /// Whether `max` is reached; what is still to come might only lengthen the last one, and need not.
    fn is_full(&self) -> bool {
        self.extents.len() >= self.max
    }

    fn room(&self) -> usize {
        self.max - self.extents.len()
    }

    /// Adds a run and returns its end.
    fn push(&mut self, run: Range<u64>, allocated: bool, reads_as_zero: bool) -> u64 {
        let end = run.end;
        let joined = self.extents.last_mut().filter(|last| {
            last.extent.end() == run.start && last.allocated == allocated && last.reads_as_zero == reads_as_zero
        });
        match (joined, Extent::from_range(run)) {
            (Some(last), Some(run)) => {
                if let Some(extent) = Extent::from_range(last.extent.offset()..run.end()) {
                    last.extent = extent;
                }
            }
            (None, Some(extent)) => self.extents.push(SourceExtent { extent, allocated, reads_as_zero }),
            (_, None) => {}
        }
        end
    }

    /// Adds what another source said about its bytes from `theirs` on, which are ours from `ours` on.
    fn push_all(&mut self, inner: Vec<SourceExtent>, theirs: u64, ours: u64) -> u64 {
        let mut end = ours;
        for found in inner {
            let start = found.extent.offset() - theirs + ours;
            end = self.push(start..start + found.extent.len_bytes(), found.allocated, found.reads_as_zero);
        }
        end
    }
}
