//! The page blob itself: state, length, pages, metadata and sequence number.

use std::sync::atomic::{AtomicU64, Ordering};

use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{Etag, Method, Request, Url};
use azure_storage_blob::models::{
    BlobClientGetPropertiesResultHeaders, BlobClientSetMetadataOptions, BlobType, LeaseState,
    PageBlobClientClearPagesOptions, PageBlobClientCreateOptions, PageBlobClientResizeOptions,
    PageBlobClientSetSequenceNumberOptions, PageBlobClientUploadPagesOptions, SequenceNumberActionType,
};
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;

use super::client::{StorageClient, http_range, with_parameter};
use super::error::Operation;
use crate::extent::Extent;
use crate::size::{MAX_DISK_BYTES, MAX_PUT_BYTES, MIB, PAGE, PageRange};
use crate::target::{ETag, Fence, LeaseId, Metadata, TargetError, TargetState, View};

/// The longest range of one read: one checkpoint window. It is held in memory.
const MAX_READ_BYTES: u64 = 256 * MIB;

/// The longest piece that one request reads; well below the longest answer that the transport takes.
///
/// The service can send a checksum with at most 4 MiB, but Azurite refuses to be asked (500
/// `FeatureNotSupported`). TLS guards the bytes on the way, and what is read is compared by digest.
const MAX_PIECE_BYTES: u64 = 32 * MIB;

/// What [`KnownLength`] holds before the length is known; no blob is that long.
const UNKNOWN: u64 = u64::MAX;

/// The blob's length as last seen. Emulators take writes past the end, so the end is checked here.
#[derive(Debug)]
pub(super) struct KnownLength(AtomicU64);

impl KnownLength {
    pub(super) const fn unknown() -> Self {
        Self(AtomicU64::new(UNKNOWN))
    }

    fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|len| *len != UNKNOWN)
    }

    fn set(&self, len: u64) {
        self.0.store(len, Ordering::Relaxed);
    }
}

pub(super) async fn state(client: &StorageClient, length: &KnownLength) -> Result<Option<TargetState>, TargetError> {
    let operation = Operation::ReadState;
    let answer = match client.blob().get_properties(None).await.map_err(client.failed(operation)) {
        Err(TargetError::NotFound { .. }) => return Ok(None),
        other => other?,
    };
    let unread = client.failed(operation);
    let missing = |what: &str| client.errors().bad_answer(operation, format!("it has no {what}"));
    match answer.blob_type().map_err(&unread)? {
        Some(BlobType::PageBlob) => {}
        Some(BlobType::BlockBlob) => return Err(wrong_kind(client, "block blob")),
        Some(BlobType::AppendBlob) => return Err(wrong_kind(client, "append blob")),
        None => return Err(missing("blob type")),
    }
    let len = answer.content_length().map_err(&unread)?.ok_or_else(|| missing("length"))?;
    let sequence = answer.blob_sequence_number().map_err(&unread)?.unwrap_or_default();
    let sequence = u64::try_from(sequence)
        .map_err(|_| client.errors().bad_answer(operation, format!("its sequence number is {sequence}")))?;
    let etag = answer.etag().map_err(&unread)?.ok_or_else(|| missing("ETag"))?;
    let lease = answer.lease_state().map_err(&unread)?;
    length.set(len);
    Ok(Some(TargetState {
        len,
        metadata: answer.metadata().map_err(&unread)?.into_iter().collect(),
        sequence,
        etag: ETag(etag.to_string()),
        leased: matches!(lease, Some(LeaseState::Leased | LeaseState::Breaking)),
    }))
}

fn wrong_kind(client: &StorageClient, found: &str) -> TargetError {
    TargetError::WrongKind { location: client.errors().location().to_owned(), found: found.to_owned() }
}

pub(super) async fn create(
    client: &StorageClient,
    length: &KnownLength,
    len: u64,
    metadata: &Metadata,
) -> Result<(), TargetError> {
    let operation = Operation::Create;
    check_length(client, operation, len)?;
    let options = PageBlobClientCreateOptions {
        if_none_match: Some(Etag::from("*")),
        metadata: Some(client.metadata_headers(operation, metadata)?),
        blob_sequence_number: Some(0),
        ..PageBlobClientCreateOptions::default()
    };
    client.pages().create(len, Some(options)).await.map_err(client.failed(operation))?;
    length.set(len);
    Ok(())
}

/// Azurite answers 500 to this with an account SAS (it maps no permission to it); a service SAS, a key
/// and a token work there, and all of them are documented to work on Azure.
pub(super) async fn resize(
    client: &StorageClient,
    length: &KnownLength,
    len: u64,
    lease: LeaseId,
    etag: &ETag,
) -> Result<(), TargetError> {
    let operation = Operation::Resize;
    check_length(client, operation, len)?;
    let options = PageBlobClientResizeOptions {
        lease_id: Some(lease.to_string()),
        if_match: Some(Etag::from(etag.0.as_str())),
        ..PageBlobClientResizeOptions::default()
    };
    client.pages().resize(len, Some(options)).await.map_err(client.failed(operation))?;
    length.set(len);
    Ok(())
}

fn check_length(client: &StorageClient, operation: Operation, len: u64) -> Result<(), TargetError> {
    // A whole MiB more than the longest disk is exactly the 8 TiB that a page blob holds.
    if len.is_multiple_of(PAGE) && len <= MAX_DISK_BYTES + MIB {
        return Ok(());
    }
    let limit = format!("a page blob is a multiple of {PAGE} bytes, at most {}", MAX_DISK_BYTES + MIB);
    Err(client.errors().out_of_range(operation, format!("a length of {len} bytes"), limit))
}

pub(super) async fn put(
    client: &StorageClient,
    length: &KnownLength,
    range: PageRange,
    data: Bytes,
    fence: Fence,
) -> Result<(), TargetError> {
    let operation = Operation::Put(range);
    if data.len() as u64 != range.len_bytes() || range.len_bytes() > MAX_PUT_BYTES {
        let limit = format!("{} bytes were given, and one put carries at most {MAX_PUT_BYTES}", data.len());
        return Err(client.errors().out_of_range(operation, format!("bytes {range}"), limit));
    }
    check_inside(client, length, operation, range).await?;
    let options = PageBlobClientUploadPagesOptions {
        lease_id: Some(fence.lease.to_string()),
        if_sequence_number_equal_to: Some(wire_sequence(client, operation, fence.sequence)?),
        transactional_content_crc64: Some(crc64(&data).to_vec()),
        ..PageBlobClientUploadPagesOptions::default()
    };
    client
        .pages()
        .upload_pages(data.into(), range.len_bytes(), http_range(range), Some(options))
        .await
        .map_err(client.failed(operation))?;
    Ok(())
}

pub(super) async fn clear(
    client: &StorageClient,
    length: &KnownLength,
    range: PageRange,
    fence: Fence,
) -> Result<(), TargetError> {
    let operation = Operation::Clear(range);
    check_inside(client, length, operation, range).await?;
    let options = PageBlobClientClearPagesOptions {
        lease_id: Some(fence.lease.to_string()),
        if_sequence_number_equal_to: Some(wire_sequence(client, operation, fence.sequence)?),
        ..PageBlobClientClearPagesOptions::default()
    };
    client.pages().clear_pages(http_range(range), Some(options)).await.map_err(client.failed(operation))?;
    Ok(())
}

/// Refuses what ends past the blob's end. The length last seen is asked for again before it refuses.
async fn check_inside(
    client: &StorageClient,
    length: &KnownLength,
    operation: Operation,
    range: PageRange,
) -> Result<(), TargetError> {
    if length.get().is_some_and(|len| range.end() <= len) {
        return Ok(());
    }
    let Some(now) = state(client, length).await? else {
        return Err(TargetError::NotFound {
            operation: operation.name(),
            location: client.errors().location().to_owned(),
            reason: "the blob does not exist".to_owned(),
        });
    };
    if range.end() <= now.len {
        return Ok(());
    }
    let limit = format!("the blob has {} bytes", now.len);
    Err(client.errors().out_of_range(operation, format!("bytes {range}"), limit))
}

fn wire_sequence(client: &StorageClient, operation: Operation, sequence: u64) -> Result<i64, TargetError> {
    i64::try_from(sequence).map_err(|_| {
        let limit = format!("at most {}", i64::MAX);
        client.errors().out_of_range(operation, format!("sequence number {sequence}"), limit)
    })
}

pub(super) async fn read(client: &StorageClient, view: &View, range: PageRange) -> Result<Bytes, TargetError> {
    let operation = Operation::Read(range);
    if range.len_bytes() > MAX_READ_BYTES {
        let limit = format!("one read returns at most {MAX_READ_BYTES} bytes");
        return Err(client.errors().out_of_range(operation, format!("bytes {range}"), limit));
    }
    let mut url = client.endpoint().blob_url();
    if let View::Snapshot(id) = view {
        url = with_parameter(url, "snapshot", client.snapshot_time(operation, id)?);
    }
    let mut data = BytesMut::zeroed(range.len_bytes() as usize);
    for piece in range.extent().split_at_multiples(MAX_PIECE_BYTES) {
        let from = (piece.offset() - range.offset()) as usize;
        let to = (piece.end() - range.offset()) as usize;
        read_piece(client, operation, &url, piece, &mut data[from..to]).await?;
    }
    Ok(data.freeze())
}

/// Fills `buffer` with the bytes of `piece` by one request.
///
/// By hand, because the typed download takes whatever range comes back for the one that it asked for.
async fn read_piece(
    client: &StorageClient,
    operation: Operation,
    url: &Url,
    piece: Extent,
    buffer: &mut [u8],
) -> Result<(), TargetError> {
    let mut request = Request::new(url.clone(), Method::Get);
    request.insert_header("range", format!("bytes={}-{}", piece.offset(), piece.end() - 1));
    let answer = client.stream(operation, request, &[200, 206]).await?;
    let content = ContentRange::read(answer.headers());
    if content.start != Some(piece.offset()) {
        return Err(client.errors().bad_answer(operation, format!("it does not start at byte {}", piece.offset())));
    }
    let mut body = answer.into_body();
    let mut filled = 0;
    while let Some(chunk) = body.try_next().await.map_err(client.failed(operation))? {
        let Some(space) = buffer.get_mut(filled..filled + chunk.len()) else {
            return Err(client.errors().bad_answer(operation, format!("it has more than {} bytes", buffer.len())));
        };
        space.copy_from_slice(&chunk);
        filled += chunk.len();
    }
    if filled == buffer.len() {
        return Ok(());
    }
    Err(match content.total {
        Some(total) if total < piece.end() => {
            let limit = format!("it has {total} bytes");
            client.errors().out_of_range(operation, format!("bytes {}..{}", piece.offset(), piece.end()), limit)
        }
        _ => {
            let arrived = format!("{filled} of {} bytes at {} arrived", buffer.len(), piece.offset());
            client.errors().cut_off(operation, arrived)
        }
    })
}

/// Which bytes an answer holds: `bytes 512-1023/4096`, or from the start if it does not say.
#[derive(Debug, PartialEq, Eq)]
struct ContentRange {
    start: Option<u64>,
    total: Option<u64>,
}

impl ContentRange {
    fn read(headers: &Headers) -> Self {
        let header = |name: &'static str| headers.get_optional_str(&HeaderName::from_static(name));
        match header("content-range").and_then(|range| range.strip_prefix("bytes ")?.split_once('/')) {
            Some((range, total)) => Self {
                start: range.split_once('-').and_then(|(start, _)| start.trim().parse().ok()),
                total: total.trim().parse().ok(),
            },
            None => Self { start: Some(0), total: header("content-length").and_then(|len| len.trim().parse().ok()) },
        }
    }
}

pub(super) async fn set_metadata(
    client: &StorageClient,
    metadata: &Metadata,
    lease: LeaseId,
    etag: &ETag,
) -> Result<(), TargetError> {
    let operation = Operation::SetMetadata;
    let metadata = client.metadata_headers(operation, metadata)?;
    let options = BlobClientSetMetadataOptions {
        lease_id: Some(lease.to_string()),
        if_match: Some(Etag::from(etag.0.as_str())),
        ..BlobClientSetMetadataOptions::default()
    };
    client.blob().set_metadata(&metadata, Some(options)).await.map_err(client.failed(operation))?;
    Ok(())
}

pub(super) async fn raise_sequence(client: &StorageClient, sequence: u64, lease: LeaseId) -> Result<(), TargetError> {
    let operation = Operation::RaiseSequence;
    let options = PageBlobClientSetSequenceNumberOptions {
        blob_sequence_number: Some(wire_sequence(client, operation, sequence)?),
        lease_id: Some(lease.to_string()),
        ..PageBlobClientSetSequenceNumberOptions::default()
    };
    client
        .pages()
        .set_sequence_number(SequenceNumberActionType::Max, Some(options))
        .await
        .map_err(client.failed(operation))?;
    Ok(())
}

/// CRC-64/NVME, in the byte order of the wire.
///
/// Source: Microsoft Learn, "Put Page" (`x-ms-content-crc64`); the order is what Azurite 3.37 checks.
pub(super) fn crc64(data: &[u8]) -> [u8; 8] {
    let mut digest = crc64fast_nvme::Digest::new();
    digest.write(data);
    digest.sum64().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_catalogued_one() {
        // Check value of CRC-64/NVME in the catalogue of parametrised CRC algorithms (G. Cook).
        assert_eq!(crc64(b"123456789"), 0xae8b_1486_0a79_9888_u64.to_le_bytes());
    }

    #[test]
    fn an_answer_tells_which_bytes_it_holds() {
        let with = |name: &'static str, value: &'static str| {
            let mut headers = Headers::new();
            headers.insert(name, value);
            ContentRange::read(&headers)
        };
        let range = |start, total| ContentRange { start, total };
        assert_eq!(with("content-range", "bytes 512-1023/4096"), range(Some(512), Some(4096)));
        assert_eq!(with("content-range", "bytes 512-1023/*"), range(Some(512), None));
        assert_eq!(with("content-range", "bytes x-y/z"), range(None, None));
        assert_eq!(with("content-length", "4096"), range(Some(0), Some(4096)));
    }
}
