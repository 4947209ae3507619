//! Small immutable objects beside the blob: block blobs under `<blob>.libmigrate/`.

use azure_core::http::{Method, Request};
use azure_storage_blob::models::{BlobClientDeleteOptions, BlobClientGetPropertiesResultHeaders};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;

use super::blob_list;
use super::client::StorageClient;
use super::error::Operation;
use super::page_blob::crc64;
use crate::size::MIB;
use crate::target::TargetError;

/// The longest object. Ours are pieces of a digest map of at most 2 MiB; the bound keeps an object to
/// one request and one answer.
const MAX_OBJECT_BYTES: u64 = 32 * MIB;

/// The longest name; with the blob's own it stays within the service's 1,024 characters.
const MAX_NAME_BYTES: usize = 100;

/// Put Blob by hand: the typed upload cannot send a checksum for the service to check. One request, so
/// the object is there whole or not at all.
pub(super) async fn put(client: &StorageClient, name: &str, data: Bytes) -> Result<(), TargetError> {
    let operation = Operation::PutObject;
    check_name(client, operation, name)?;
    if data.len() as u64 > MAX_OBJECT_BYTES {
        let limit = format!("at most {MAX_OBJECT_BYTES} bytes");
        return Err(client.errors().out_of_range(operation, format!("object {name} of {} bytes", data.len()), limit));
    }
    let mut request = Request::new(client.endpoint().object_url(name), Method::Put);
    request.insert_header("content-length", data.len().to_string());
    request.insert_header("content-type", "application/octet-stream");
    request.insert_header("x-ms-blob-type", "BlockBlob");
    request.insert_header("x-ms-content-crc64", BASE64_STANDARD.encode(crc64(&data)));
    request.set_body(data);
    client.send(operation, request, &[201]).await?;
    Ok(())
}

/// Get Blob by hand: the typed download always asks for a range, and an empty object has none. (Azurite's
/// answer to that cannot be parsed.)
pub(super) async fn get(client: &StorageClient, name: &str, max_len: u64) -> Result<Option<Bytes>, TargetError> {
    let operation = Operation::GetObject;
    check_name(client, operation, name)?;
    let request = Request::new(client.endpoint().object_url(name), Method::Get);
    let mut body = match client.stream(operation, request, &[200]).await {
        Err(TargetError::NotFound { .. }) => return Ok(None),
        answer => answer?.into_body(),
    };
    let limit = max_len.min(MAX_OBJECT_BYTES);
    let mut data = BytesMut::new();
    while let Some(chunk) = body.try_next().await.map_err(client.failed(operation))? {
        data.extend_from_slice(&chunk);
        if data.len() as u64 > limit {
            let range = format!("object {name} of more than {limit} bytes");
            return Err(client.errors().out_of_range(operation, range, format!("at most {limit} bytes")));
        }
    }
    Ok(Some(data.freeze()))
}

pub(super) async fn list(client: &StorageClient, prefix: &str) -> Result<Vec<String>, TargetError> {
    let folder = client.endpoint().object_prefix();
    let items =
        blob_list::with_prefix(client, Operation::ListObjects, &format!("{folder}{prefix}"), Vec::new()).await?;
    let mut names: Vec<String> =
        items.into_iter().filter_map(|item| item.name?.strip_prefix(&folder).map(str::to_owned)).collect();
    names.sort_unstable();
    Ok(names)
}

/// On condition that it is still what is found now: a deletion that the service carries out late must not take
/// what was put under the same name since, for the name is that of the content.
pub(super) async fn delete(client: &StorageClient, name: &str) -> Result<(), TargetError> {
    let operation = Operation::DeleteObject;
    check_name(client, operation, name)?;
    let object = client.object(operation, name)?;
    let found = match object.get_properties(None).await.map_err(client.failed(operation)) {
        Err(TargetError::NotFound { .. }) => return Ok(()),
        found => found?,
    };
    let etag = found.etag().map_err(client.failed(operation))?;
    let options = BlobClientDeleteOptions {
        if_match: Some(etag.ok_or_else(|| client.errors().bad_answer(operation, "it has no ETag"))?),
        ..BlobClientDeleteOptions::default()
    };
    match object.delete(Some(options)).await.map_err(client.failed(operation)) {
        // Put anew in this moment, so it is wanted.
        Ok(_) | Err(TargetError::NotFound { .. } | TargetError::Changed { .. }) => Ok(()),
        Err(other) => Err(other),
    }
}

/// A name stays in the folder: no slash, and no `.` or `..`, which a URL would resolve.
fn check_name(client: &StorageClient, operation: Operation, name: &str) -> Result<(), TargetError> {
    if is_object_name(name) {
        return Ok(());
    }
    Err(TargetError::Unusable {
        location: client.errors().location().to_owned(),
        problem: format!(
            "cannot {}: {name:?} is no object name: 1 to {MAX_NAME_BYTES} lower-case letters, digits, dots and \
             hyphens, not dots alone",
            operation.name()
        ),
    })
}

fn is_object_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'-';
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(allowed) && !name.bytes().all(|byte| byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::is_object_name;

    #[test]
    fn a_name_cannot_leave_its_folder() {
        assert!(is_object_name("map-0001.d1"));
        for bad in ["", ".", "..", "a/b", "A", "a%2fb", "a?b", &"x".repeat(101)] {
            assert!(!is_object_name(bad), "{bad}");
        }
    }
}
