//! The target as the service keeps it: one page blob, its snapshots, its lease, the objects beside it.
//!
//! Every request acts at one moment or not at all, apart from a put that fails in the middle
//! ([`Service::put_in_part`]). What is refused, and how, follows Microsoft Learn's REST reference ("Put Page",
//! "Lease Blob", "Snapshot Blob", "Set Blob Metadata") as the in-process page-blob server of the test suite
//! answers it.
//!
//! The service also watches over two promises by itself: no put or clear is accepted once a later owner or
//! attempt has set its sequence number, and a cycle that the metadata has named as sealed stays sealed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libmigrate::size::{PAGE, PageRange};
use libmigrate::target::{ETag, Fence, LeaseId, Metadata, Snapshot, SnapshotId, TargetError, TargetState, View};

use crate::planted::Planted;

/// Where the only target of the world is.
pub(crate) const LOCATION: &str = "https://simulated.example/replicas/web01.vhd";

/// What is asked of the service.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    State,
    Flush,
    Create {
        len: u64,
        metadata: Metadata,
    },
    Resize {
        len: u64,
        lease: LeaseId,
        etag: ETag,
    },
    Put {
        range: PageRange,
        data: Bytes,
        fence: Fence,
    },
    Clear {
        range: PageRange,
        fence: Fence,
    },
    Read {
        view: View,
        range: PageRange,
    },
    PageRanges {
        view: View,
        window: std::ops::Range<u64>,
    },
    ChangedRanges {
        since: SnapshotId,
        window: std::ops::Range<u64>,
    },
    SetMetadata {
        metadata: Metadata,
        lease: LeaseId,
        etag: ETag,
    },
    RaiseSequence {
        sequence: u64,
        lease: LeaseId,
    },
    TakeSnapshot {
        metadata: Metadata,
        lease: LeaseId,
        etag: ETag,
    },
    Snapshots,
    DeleteSnapshot {
        id: SnapshotId,
    },
    AcquireLease {
        proposed: LeaseId,
        term: Duration,
    },
    RenewLease {
        lease: LeaseId,
    },
    ReleaseLease {
        lease: LeaseId,
    },
    BreakLease,
    PutObject {
        name: String,
        data: Bytes,
    },
    GetObject {
        name: String,
    },
    ListObjects {
        prefix: String,
    },
    /// Only if it is the version that was read.
    DeleteObject {
        name: String,
        version: u64,
    },
}

impl Request {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Flush => "flush",
            Self::Create { .. } => "create",
            Self::Resize { .. } => "resize",
            Self::Put { .. } => "put",
            Self::Clear { .. } => "clear",
            Self::Read { .. } => "read",
            Self::PageRanges { .. } => "page ranges",
            Self::ChangedRanges { .. } => "changed ranges",
            Self::SetMetadata { .. } => "set metadata",
            Self::RaiseSequence { .. } => "raise sequence",
            Self::TakeSnapshot { .. } => "snapshot",
            Self::Snapshots => "list snapshots",
            Self::DeleteSnapshot { .. } => "delete snapshot",
            Self::AcquireLease { .. } => "acquire lease",
            Self::RenewLease { .. } => "renew lease",
            Self::ReleaseLease { .. } => "release lease",
            Self::BreakLease => "break lease",
            Self::PutObject { .. } => "put object",
            Self::GetObject { .. } => "get object",
            Self::ListObjects { .. } => "list objects",
            Self::DeleteObject { .. } => "delete object",
        }
    }

    /// Whether it changes anything at the service.
    pub(crate) const fn changes(&self) -> bool {
        !matches!(
            self,
            Self::State
                | Self::Flush
                | Self::Read { .. }
                | Self::PageRanges { .. }
                | Self::ChangedRanges { .. }
                | Self::Snapshots
                | Self::GetObject { .. }
                | Self::ListObjects { .. }
        )
    }

    /// Numbers that tell two requests of one name apart, for the trace. Random ids are left out, and lengths of
    /// what has the wall clock's time in it.
    pub(crate) fn detail(&self) -> [u64; 2] {
        match self {
            Self::Put { range, .. } | Self::Clear { range, .. } | Self::Read { range, .. } => {
                [range.offset(), range.len_bytes()]
            }
            Self::Create { len, .. } | Self::Resize { len, .. } => [*len, 0],
            Self::RaiseSequence { sequence, .. } => [sequence >> 32, sequence & 0xffff_ffff],
            Self::PageRanges { window, .. } | Self::ChangedRanges { window, .. } => [window.start, window.end],
            _ => [0, 0],
        }
    }
}

/// What the service answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Done,
    State(Option<TargetState>),
    Bytes(Bytes),
    Pages(Vec<PageRange>),
    ChangedPages(Option<Vec<PageRange>>),
    Snapshot(SnapshotId),
    Snapshots(Vec<Snapshot>),
    Object(Option<(u64, Bytes)>),
    Names(Vec<String>),
}

/// Whether the service says what changed since a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Diffs {
    /// As Azure does.
    Told,
    /// It cannot, as Azurite.
    Unavailable,
}

#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) blob: Option<Blob>,
    /// Each with the version that it got when it was put.
    objects: BTreeMap<String, (u64, Bytes)>,
    next_version: u64,
    pub(crate) diffs: Diffs,
    planted: Planted,
    /// The highest sequence number that was ever set.
    highest_sequence: u64,
    /// What the service saw that may never happen.
    pub(crate) violations: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) bytes: Vec<u8>,
    pages: Vec<Page>,
    pub(crate) metadata: Metadata,
    sequence: u64,
    version: u64,
    lease: Option<Lease>,
    pub(crate) snapshots: BTreeMap<SnapshotId, Kept>,
    next_snapshot: u64,
}

/// What is known of a page besides its bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Page {
    written: bool,
    /// The blob's version when it was last changed.
    changed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    id: LeaseId,
    term: Duration,
    until: Duration,
}

/// A snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) bytes: Arc<Vec<u8>>,
    pages: Arc<Vec<Page>>,
    pub(crate) metadata: Metadata,
    version: u64,
}

impl Service {
    pub(crate) const fn new(diffs: Diffs, planted: Planted) -> Self {
        Self {
            blob: None,
            objects: BTreeMap::new(),
            next_version: 1,
            diffs,
            planted,
            highest_sequence: 0,
            violations: Vec::new(),
        }
    }

    /// Acts on a request at the moment `now`.
    pub(crate) fn act(&mut self, request: &Request, now: Duration) -> Result<Answer, TargetError> {
        let operation = request.name();
        match request {
            Request::State => return Ok(Answer::State(self.blob.as_ref().map(|blob| blob.state(now)))),
            Request::Flush => return Ok(Answer::Done),
            Request::Create { len, metadata } => {
                if self.blob.is_some() {
                    return Err(TargetError::AlreadyExists { location: LOCATION.into() });
                }
                self.blob = Some(Blob::new(*len, metadata.clone()));
                return Ok(Answer::Done);
            }
            Request::PutObject { name, data } => {
                self.objects.insert(name.clone(), (self.next_version, data.clone()));
                self.next_version += 1;
                return Ok(Answer::Done);
            }
            Request::GetObject { name } => return Ok(Answer::Object(self.objects.get(name).cloned())),
            Request::ListObjects { prefix } => {
                let names = self.objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
                return Ok(Answer::Names(names));
            }
            Request::DeleteObject { name, version } => {
                if self.objects.get(name).is_some_and(|(now, _)| now == version) {
                    self.objects.remove(name);
                }
                return Ok(Answer::Done);
            }
            Request::Put { fence, .. } | Request::Clear { fence, .. } => self.watch(*fence, operation, now),
            _ => {}
        }
        let (planted, diffs) = (self.planted, self.diffs);
        if let Request::RaiseSequence { sequence, lease } = request
            && self.blob.as_ref().is_some_and(|blob| blob.check_lease(*lease, operation, now).is_ok())
        {
            self.highest_sequence = self.highest_sequence.max(*sequence);
        }
        let blob = self.blob.as_mut().ok_or_else(|| TargetError::NotFound {
            operation,
            location: LOCATION.into(),
            reason: "the blob does not exist".into(),
        })?;
        let sealed = Owner::of(blob).and_then(|owner| owner.sealed);
        let answer = blob.act(request, now, planted, diffs);
        if let Some(before) = sealed {
            let after = Owner::of(blob).and_then(|owner| owner.sealed);
            let stays = after.as_ref().is_some_and(|after| {
                after.cycle > before.cycle || (after.cycle == before.cycle && after.root == before.root)
            });
            if !stays {
                self.violations.push(format!("the target named {before:?} as sealed, and then {after:?}"));
            }
        }
        answer
    }

    /// A put that fails in the middle: of each page, `keeps` says whether the new bytes are kept.
    pub(crate) fn put_in_part(&mut self, request: &Request, now: Duration, mut keeps: impl FnMut() -> bool) {
        let Request::Put { range, data, fence } = request else { return };
        for (index, page) in data.chunks(PAGE as usize).enumerate() {
            if keeps() {
                let range = PageRange::new(range.offset() + index as u64 * PAGE, PAGE).expect("a page");
                let put = Request::Put { range, data: Bytes::copy_from_slice(page), fence: *fence };
                let _ = self.act(&put, now);
            }
        }
    }

    /// Notes a write that is accepted although a later owner or attempt has said that it writes now.
    fn watch(&mut self, fence: Fence, operation: &'static str, now: Duration) {
        let Some(blob) = &self.blob else { return };
        if fence.sequence < self.highest_sequence && blob.check_fence(fence, operation, now, self.planted).is_ok() {
            self.violations.push(format!(
                "a {operation} under sequence number {:#x} landed after {:#x} had been set",
                fence.sequence, self.highest_sequence
            ));
        }
    }
}

impl Blob {
    fn new(len: u64, metadata: Metadata) -> Self {
        Self {
            bytes: vec![0; len as usize],
            pages: vec![Page::default(); (len / PAGE) as usize],
            metadata,
            sequence: 0,
            version: 1,
            lease: None,
            snapshots: BTreeMap::new(),
            next_snapshot: 1,
        }
    }

    fn act(&mut self, request: &Request, now: Duration, planted: Planted, diffs: Diffs) -> Result<Answer, TargetError> {
        let operation = request.name();
        match request {
            _ if !request.changes() => return self.answer(request, planted, diffs),
            Request::Resize { len, lease, etag } => {
                self.check_lease(*lease, operation, now)?;
                self.check_etag(etag, operation)?;
                self.bytes.resize(*len as usize, 0);
                let version = self.changed();
                self.pages.resize((*len / PAGE) as usize, Page { written: false, changed: version });
            }
            Request::Put { range, data, fence } => {
                self.check_fence(*fence, operation, now, planted)?;
                let at = self.inside(*range, operation)?;
                self.bytes[at.clone()].copy_from_slice(data);
                if planted == Planted::SnapshotMoves
                    && let Some(mut newest) = self.snapshots.last_entry()
                    && let Some(kept) = Arc::make_mut(&mut newest.get_mut().bytes).get_mut(at)
                {
                    kept.copy_from_slice(data);
                }
                self.touch(*range, true);
            }
            Request::Clear { range, fence } => {
                self.check_fence(*fence, operation, now, planted)?;
                let at = self.inside(*range, operation)?;
                self.bytes[at].fill(0);
                self.touch(*range, false);
            }
            Request::SetMetadata { metadata, lease, etag } => {
                self.check_lease(*lease, operation, now)?;
                self.check_etag(etag, operation)?;
                self.metadata.clone_from(metadata);
                self.changed();
            }
            Request::RaiseSequence { sequence, lease } => {
                self.check_lease(*lease, operation, now)?;
                if *sequence > self.sequence {
                    self.sequence = *sequence;
                    self.changed();
                }
            }
            Request::TakeSnapshot { metadata, lease, etag } => {
                self.check_lease(*lease, operation, now)?;
                self.check_etag(etag, operation)?;
                let id = SnapshotId(format!("{:08}", self.next_snapshot));
                self.next_snapshot += 1;
                let kept = Kept {
                    bytes: Arc::new(self.bytes.clone()),
                    pages: Arc::new(self.pages.clone()),
                    metadata: metadata.clone(),
                    version: self.version,
                };
                self.snapshots.insert(id.clone(), kept);
                return Ok(Answer::Snapshot(id));
            }
            Request::DeleteSnapshot { id } => {
                self.snapshots.remove(id);
            }
            Request::AcquireLease { proposed, term } => {
                if self.lease.is_some_and(|lease| lease.id != *proposed && lease.until > now) {
                    return Err(TargetError::LeaseHeld { location: LOCATION.into() });
                }
                self.lease = Some(Lease { id: *proposed, term: *term, until: now + *term });
            }
            Request::RenewLease { lease } => match &mut self.lease {
                Some(held) if held.id == *lease => held.until = now + held.term,
                _ => {
                    let reason = "the lease id did not match".into();
                    return Err(TargetError::LeaseLost { location: LOCATION.into(), reason });
                }
            },
            Request::ReleaseLease { lease } => {
                if self.lease.is_some_and(|held| held.id == *lease) {
                    self.lease = None;
                }
            }
            Request::BreakLease => self.lease = None,
            _ => unreachable!("the service itself answers this"),
        }
        Ok(Answer::Done)
    }

    /// Answers a question.
    fn answer(&self, request: &Request, planted: Planted, diffs: Diffs) -> Result<Answer, TargetError> {
        let operation = request.name();
        match request {
            Request::Read { view, range } => {
                let (bytes, _) = self.view(view, operation)?;
                let at = range.offset() as usize..range.end() as usize;
                let read = bytes.get(at).ok_or_else(|| out_of_range(operation, *range, bytes.len()))?;
                Ok(Answer::Bytes(Bytes::copy_from_slice(read)))
            }
            Request::PageRanges { view, window } => {
                let (_, pages) = self.view(view, operation)?;
                Ok(Answer::Pages(ranges(pages, window, |page| page.written)))
            }
            Request::ChangedRanges { since, window } => {
                let kept = self.snapshots.get(since).ok_or_else(|| no_snapshot(operation))?;
                let since = kept.version;
                Ok(Answer::ChangedPages(match (diffs, planted) {
                    (Diffs::Unavailable, _) => None,
                    (Diffs::Told, Planted::DiffLeavesOut) => Some(Vec::new()),
                    (Diffs::Told, _) => Some(ranges(&self.pages, window, |page| page.changed > since)),
                }))
            }
            Request::Snapshots => {
                let list = self.snapshots.iter();
                let list = list.map(|(id, kept)| Snapshot { id: id.clone(), metadata: kept.metadata.clone() });
                Ok(Answer::Snapshots(list.collect()))
            }
            _ => unreachable!("the service itself answers this"),
        }
    }

    fn state(&self, now: Duration) -> TargetState {
        TargetState {
            len: self.bytes.len() as u64,
            metadata: self.metadata.clone(),
            sequence: self.sequence,
            etag: self.etag(),
            leased: self.lease.is_some_and(|lease| lease.until > now),
        }
    }

    fn etag(&self) -> ETag {
        ETag(format!("\"{}\"", self.version))
    }

    /// A change was made: the blob has a new `ETag`.
    fn changed(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn touch(&mut self, range: PageRange, written: bool) {
        let changed = self.changed();
        self.pages[(range.offset() / PAGE) as usize..(range.end() / PAGE) as usize].fill(Page { written, changed });
    }

    fn inside(&self, range: PageRange, operation: &'static str) -> Result<std::ops::Range<usize>, TargetError> {
        if range.end() > self.bytes.len() as u64 {
            return Err(out_of_range(operation, range, self.bytes.len()));
        }
        Ok(range.offset() as usize..range.end() as usize)
    }

    fn view(&self, view: &View, operation: &'static str) -> Result<(&[u8], &[Page]), TargetError> {
        match view {
            View::Live => Ok((&self.bytes, &self.pages)),
            View::Snapshot(id) => {
                let kept = self.snapshots.get(id).ok_or_else(|| no_snapshot(operation))?;
                Ok((&kept.bytes, &kept.pages))
            }
        }
    }

    fn check_etag(&self, etag: &ETag, operation: &'static str) -> Result<(), TargetError> {
        if *etag == self.etag() {
            return Ok(());
        }
        Err(TargetError::Changed { operation, location: LOCATION.into(), reason: "the ETag did not match".into() })
    }

    fn check_lease(&self, lease: LeaseId, operation: &'static str, now: Duration) -> Result<(), TargetError> {
        let reason = match self.lease {
            Some(held) if held.id == lease && held.until > now => return Ok(()),
            Some(held) if held.id == lease => "the lease has expired",
            Some(_) => "the lease id did not match",
            None => "there is no lease",
        };
        Err(TargetError::Fenced { operation, location: LOCATION.into(), reason: reason.into() })
    }

    fn check_fence(
        &self,
        fence: Fence,
        operation: &'static str,
        now: Duration,
        planted: Planted,
    ) -> Result<(), TargetError> {
        self.check_lease(fence.lease, operation, now)?;
        if fence.sequence != self.sequence && planted != Planted::SequenceIgnored {
            let reason = "the sequence number did not match".into();
            return Err(TargetError::Fenced { operation, location: LOCATION.into(), reason });
        }
        Ok(())
    }
}

fn no_snapshot(operation: &'static str) -> TargetError {
    TargetError::NotFound { operation, location: LOCATION.into(), reason: "there is no such snapshot".into() }
}

fn out_of_range(operation: &'static str, range: PageRange, len: usize) -> TargetError {
    let (range, limit) = (format!("bytes {range}"), format!("the blob has {len} bytes"));
    TargetError::OutOfRange { operation, location: LOCATION.into(), range, limit }
}

/// The pages inside `window` for which `holds` says yes, merged.
fn ranges(pages: &[Page], window: &std::ops::Range<u64>, holds: impl Fn(&Page) -> bool) -> Vec<PageRange> {
    let mut found: Vec<PageRange> = Vec::new();
    let end = window.end.div_ceil(PAGE).min(pages.len() as u64);
    for index in window.start / PAGE..end {
        if !holds(&pages[index as usize]) {
            continue;
        }
        match found.last_mut() {
            Some(last) if last.end() == index * PAGE => {
                *last = PageRange::new(last.offset(), last.len_bytes() + PAGE).expect("whole pages");
            }
            _ => found.push(PageRange::new(index * PAGE, PAGE).expect("a page")),
        }
    }
    found
}

/// The snapshots that carry a recovery point, with what it says.
pub(crate) fn recovery_points(blob: &Blob) -> impl Iterator<Item = (Point, &Kept)> {
    blob.snapshots.values().filter_map(|kept| {
        let point = serde_json::from_str(kept.metadata.get("libmigrate")?).ok()?;
        Some((point, kept))
    })
}

/// What a snapshot's metadata says, read by this crate's own eyes.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Point {
    pub(crate) cycle: u32,
    pub(crate) disk_bytes: u64,
}

/// What the blob's metadata says, read by this crate's own eyes.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Owner {
    pub(crate) owner: String,
    pub(crate) sealed: Option<SealedCycle>,
}

#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct SealedCycle {
    pub(crate) cycle: u32,
    root: String,
}

impl Owner {
    pub(crate) fn of(blob: &Blob) -> Option<Self> {
        serde_json::from_str(blob.metadata.get("libmigrate")?).ok()
    }
}
