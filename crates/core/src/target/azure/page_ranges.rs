//! Which pages hold data, and which changed since a snapshot.
//!
//! Long windows are listed in steps, since the list of a fragmented blob can take the service longer
//! than it allows itself for one request.
//!
//! A service that does not know differences may answer as if it did: Azurite 3.37 takes no notice of
//! `prevsnapshot` and lists what holds data, which is less than what changed. So the service is asked
//! once for the changes since a snapshot that cannot exist, and is trusted only if it refuses.

use std::ops::Range;

use azure_core::http::{Method, Request};
use tokio::sync::OnceCell;

use super::client::{StorageClient, with_parameter};
use super::error::Operation;
use super::page_blob::{self, KnownLength};
use super::page_list::{self, PageList};
use crate::size::{PAGE, PageRange};
use crate::target::{SnapshotId, TargetError, View};

/// How much of a blob one request lists.
const STEP_BYTES: u64 = 64 << 30;

/// A time before Azure: no snapshot has it.
const IMPOSSIBLE_SNAPSHOT: &str = "2001-01-01T00:00:00.0000000Z";

/// How many answers in a row may bring nothing new and still point on, before that counts as a loop.
const MAX_IDLE_ANSWERS: u32 = 100;

pub(super) async fn holding_data(
    client: &StorageClient,
    view: &View,
    window: Range<u64>,
) -> Result<Vec<PageRange>, TargetError> {
    let mut found = Vec::new();
    for step in steps(window) {
        let operation = Operation::ListPages(step);
        let mut url = with_parameter(client.endpoint().blob_url(), "comp", "pagelist");
        if let View::Snapshot(id) = view {
            url = with_parameter(url, "snapshot", client.snapshot_time(operation, id)?);
        }
        list(client, operation, &url, step, &mut found).await?;
    }
    Ok(page_list::merged(found))
}

pub(super) async fn changed(
    client: &StorageClient,
    trust: &OnceCell<bool>,
    since: &SnapshotId,
    window: Range<u64>,
) -> Result<Option<Vec<PageRange>>, TargetError> {
    if !*trust.get_or_try_init(|| refuses_the_impossible(client)).await? {
        return Ok(None);
    }
    let mut found = Vec::new();
    for step in steps(window) {
        let operation = Operation::ListChanges(step);
        let url = changes_url(client, client.snapshot_time(operation, since)?);
        match list(client, operation, &url, step, &mut found).await {
            Err(TargetError::Refused { code, .. }) if cannot_tell(&code) => return Ok(None),
            other => other?,
        }
    }
    Ok(Some(page_list::merged(found)))
}

/// Whether the service refuses what an honest one must: changes since a snapshot that never was.
async fn refuses_the_impossible(client: &StorageClient) -> Result<bool, TargetError> {
    let page = PageRange::new(0, PAGE).expect("one page");
    let operation = Operation::ListChanges(page);
    let answer = list(client, operation, &changes_url(client, IMPOSSIBLE_SNAPSHOT), page, &mut Vec::new()).await;
    let trusted = match answer {
        Ok(()) => false,
        Err(TargetError::Refused { code, .. }) if cannot_tell(&code) => false,
        Err(TargetError::Refused { status: 400..500, .. }) => true,
        // Of the blob, or of the snapshot? Only the latter is a refusal.
        Err(TargetError::NotFound { operation, location, reason }) => {
            if page_blob::state(client, &KnownLength::unknown()).await?.is_none() {
                return Err(TargetError::NotFound { operation, location, reason });
            }
            true
        }
        Err(other) => return Err(other),
    };
    tracing::debug!(location = client.errors().location(), trusted, "probed whether changed pages can be listed");
    Ok(trusted)
}

/// Refusals that mean: not on this account, or not for this blob any more.
fn cannot_tell(code: &str) -> bool {
    matches!(code, "PreviousSnapshotOperationNotSupported" | "BlobOverwritten" | "FeatureNotSupported")
}

fn changes_url(client: &StorageClient, since: &str) -> azure_core::http::Url {
    let url = with_parameter(client.endpoint().blob_url(), "comp", "pagelist");
    with_parameter(url, "prevsnapshot", since)
}

/// Adds to `found` what the service lists in `step`, clipped to it.
async fn list(
    client: &StorageClient,
    operation: Operation,
    url: &azure_core::http::Url,
    step: PageRange,
    found: &mut Vec<PageRange>,
) -> Result<(), TargetError> {
    let mut marker: Option<String> = None;
    let mut reached = step.offset();
    let mut idle = 0;
    loop {
        let page = request(client, operation, url, step, marker.as_deref()).await?;
        found.extend(page.ranges.iter().filter_map(|range| clipped(*range, step)));
        let end = page.ranges.iter().map(|range| range.end()).max().unwrap_or_default();
        idle = if end > reached { 0 } else { idle + 1 };
        reached = reached.max(end);
        match page.next_marker {
            None => return Ok(()),
            Some(_) if idle > MAX_IDLE_ANSWERS => {
                return Err(client.errors().bad_answer(operation, "the page list goes on without end"));
            }
            next => marker = next,
        }
    }
}

async fn request(
    client: &StorageClient,
    operation: Operation,
    url: &azure_core::http::Url,
    step: PageRange,
    marker: Option<&str>,
) -> Result<PageList, TargetError> {
    let url = match marker {
        Some(marker) => with_parameter(url.clone(), "marker", marker),
        None => url.clone(),
    };
    let mut request = Request::new(url, Method::Get);
    request.insert_header("accept", "application/xml");
    request.insert_header("range", format!("bytes={}-{}", step.offset(), step.end() - 1));
    let answer = client.send(operation, request, &[200]).await?;
    page_list::parse(answer.body()).map_err(|problem| client.errors().bad_answer(operation, problem))
}

fn clipped(range: PageRange, step: PageRange) -> Option<PageRange> {
    let start = range.offset().max(step.offset());
    let end = range.end().min(step.end());
    PageRange::new(start, end.checked_sub(start)?)
}

/// `window`, widened to whole pages, in stretches of at most [`STEP_BYTES`].
fn steps(window: Range<u64>) -> impl Iterator<Item = PageRange> {
    let extent = crate::extent::Extent::from_range(window).map(|extent| PageRange::covering(extent).extent());
    extent.into_iter().flat_map(|extent| extent.split_at_multiples(STEP_BYTES)).map(PageRange::covering)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(offset: u64, len: u64) -> PageRange {
        PageRange::new(offset, len).unwrap()
    }

    #[test]
    fn a_long_window_is_listed_in_steps() {
        let found: Vec<_> = steps(100..STEP_BYTES + 1000).collect();
        assert_eq!(found, [pages(0, STEP_BYTES), pages(STEP_BYTES, 1024)]);
        assert_eq!(steps(512..512).count(), 0);
    }

    #[test]
    fn what_is_listed_outside_the_step_is_cut_off() {
        assert_eq!(clipped(pages(0, 2048), pages(512, 512)), Some(pages(512, 512)));
        assert_eq!(clipped(pages(0, 512), pages(512, 512)), None);
        assert_eq!(clipped(pages(4096, 512), pages(512, 512)), None);
    }
}
