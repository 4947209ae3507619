//! Small objects beside the replica: one file each in `objects/`.

use std::io;

use bytes::Bytes;

use super::durable_file;
use super::place::{Place, io_error};
use crate::target::TargetError;

/// Leaves room in a file name (255 bytes on Linux) for what an unfinished file adds.
const MAX_NAME_BYTES: usize = 200;

pub(super) fn put(place: &Place, name: &str, data: &[u8]) -> Result<(), TargetError> {
    const OPERATION: &str = "put object";
    check_name(place, name)?;
    let path = place.objects().join(name);
    durable_file::replace(&path, data).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => place.not_found(OPERATION, "no replica was created here"),
        _ => io_error(OPERATION, &path)(error),
    })
}

pub(super) fn get(place: &Place, name: &str, max_len: u64) -> Result<Option<Bytes>, TargetError> {
    check_name(place, name)?;
    let path = place.objects().join(name);
    match durable_file::read_bounded(&path, max_len) {
        Ok(bytes) => Ok(bytes.map(Bytes::from)),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(TargetError::BadAnswer {
            operation: "get object",
            location: path.display().to_string(),
            problem: error.to_string(),
        }),
        Err(error) => Err(io_error("get object", &path)(error)),
    }
}

pub(super) fn list(place: &Place, prefix: &str) -> Result<Vec<String>, TargetError> {
    let mut names = durable_file::names(&place.objects()).map_err(io_error("list objects", &place.objects()))?;
    names.retain(|name| name.starts_with(prefix) && is_name(name));
    Ok(names)
}

pub(super) fn delete(place: &Place, name: &str) -> Result<(), TargetError> {
    check_name(place, name)?;
    let path = place.objects().join(name);
    durable_file::remove(&path).map(drop).map_err(io_error("delete object", &path))
}

fn check_name(place: &Place, name: &str) -> Result<(), TargetError> {
    if is_name(name) {
        return Ok(());
    }
    Err(TargetError::Unusable {
        location: place.location(),
        problem: format!(
            "{name:?} is no name of an object: 1 to {MAX_NAME_BYTES} lower-case letters, digits, '.' and '-', \
             starting with a letter or digit, not ending in {:?}",
            durable_file::UNFINISHED
        ),
    })
}

/// No separator, no leading dot: a name cannot lead out of the folder. No unfinished file has one.
fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-')
        && !name.ends_with(durable_file::UNFINISHED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_lead_out_of_the_folder() {
        assert!(is_name("map-000001.bin"));
        assert!(is_name("0"));
        for bad in ["", ".", "..", "../lock", "a/b", "/etc/passwd", ".hidden", "A", "a\0b", "a b", "a.tmp", "ä"] {
            assert!(!is_name(bad), "{bad:?}");
        }
        assert!(!is_name(&"a".repeat(MAX_NAME_BYTES + 1)));
    }
}
