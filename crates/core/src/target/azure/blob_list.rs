//! Lists of blobs by prefix, all pages of them.

use azure_storage_blob::models::{BlobContainerClientListBlobsOptions, BlobItem, ListBlobsIncludeItem};
use futures::TryStreamExt;

use super::client::StorageClient;
use super::error::Operation;
use crate::target::TargetError;

/// The most answers that one list may have, so that it ends: 5,000 names each.
const MAX_ANSWERS: usize = 10_000;

pub(super) async fn with_prefix(
    client: &StorageClient,
    operation: Operation,
    prefix: &str,
    include: Vec<ListBlobsIncludeItem>,
) -> Result<Vec<BlobItem>, TargetError> {
    let options = BlobContainerClientListBlobsOptions {
        prefix: Some(prefix.to_owned()),
        include: (!include.is_empty()).then_some(include),
        ..BlobContainerClientListBlobsOptions::default()
    };
    let failed = client.failed(operation);
    let mut pages = client.container().list_blobs(Some(options)).map_err(&failed)?.into_pages();
    let mut items = Vec::new();
    for _ in 0..MAX_ANSWERS {
        let Some(page) = pages.try_next().await.map_err(&failed)? else { return Ok(items) };
        items.extend(page.into_model().map_err(&failed)?.blob_items);
    }
    Err(client.errors().bad_answer(operation, "the list goes on without end"))
}
