//! Small files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use bytes::Bytes;

/// The ending of a file that is still being written; no object or snapshot is named so.
const UNFINISHED: &str = "unfinished";

/// Replaces `path` by `data`: after a crash it holds the old bytes or the new ones.
pub(super) fn replace(path: &Path, data: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push("_");
    unfinished.push(UNFINISHED);
    let unfinished = Path::new(&unfinished);
    let mut file = File::create(unfinished)?;
    file.write_all(data)?;
    file.sync_all()?;
    fs::rename(unfinished, path)?;
    sync_folder_of(path)
}

/// Makes the names in the folder of `path` durable.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// The bytes of a file of at most `max_len`; `None` when there is none.
pub(super) fn read_bounded(path: &Path, max_len: u64) -> io::Result<Option<Bytes>> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(max_len + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_len {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {max_len} bytes")));
    }
    Ok(Some(bytes.into()))
}

/// Removes a file; one that is gone is no error.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The names in a folder that are text, in order; none when there is no folder.
pub(super) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = entries
        .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
        .collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

/// Lower-case letters, digits, `.` and `-`, starting with a letter or digit: never a path.
pub(super) fn is_object_name(name: &str) -> bool {
    name.len() <= 200
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_a_path() {
        assert!(is_object_name("part-0af.json"));
        let refused = ["", ".", "..", "../x", "a/b", "a\\b", "A", "x_unfinished", "a\0"];
        assert_eq!(refused.iter().find(|name| is_object_name(name)), None);
    }

    #[test]
    fn a_file_longer_than_asked_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        replace(&path, b"12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap().unwrap(), &b"12345"[..]);
        assert_eq!(read_bounded(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_bounded(&folder.path().join("y"), 4).unwrap(), None);
        assert_eq!(names(folder.path()).unwrap(), ["x"], "nothing unfinished is left");
    }
}
