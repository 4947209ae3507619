//! The hosts file, read as the C library reads it: line by line, as bytes.
//!
//! What is no address or no text is passed over, and what follows still counts: a comment in another encoding
//! must not hide the line of a private endpoint. A file that cannot be read whole says nothing at all, because
//! its next line might be that line.
//!
//! Source: hosts(5), Linux man-pages.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::Path;

use super::name::HostName;

/// The longest file that is read. Lists of hosts to be blocked have up to 5 MB.
const MAX_BYTES: u64 = 32 << 20;

/// The addresses of `host`, in the order of their lines, each once. None where there is no file.
///
/// # Errors
/// In words, where the file cannot be read whole, or is longer than [`MAX_BYTES`].
pub(super) fn addresses_in(path: &Path, host: &HostName) -> Result<Vec<IpAddr>, String> {
    let Ok(file) = File::open(path) else { return Ok(Vec::new()) };
    let unreadable = |problem: &dyn std::fmt::Display| format!("{} cannot be read: {problem}", path.display());
    let mut file = BufReader::new(file).take(MAX_BYTES);
    let mut addresses = Vec::new();
    for line in file.by_ref().split(b'\n') {
        let line = line.map_err(|error| unreadable(&error))?;
        addresses.extend(address_of(&line, host).filter(|address| !addresses.contains(address)));
    }
    if file.limit() == 0 {
        return Err(unreadable(&format_args!("it is longer than {} MiB", MAX_BYTES >> 20)));
    }
    Ok(addresses)
}

/// The address of a line that names `host`.
fn address_of(line: &[u8], host: &HostName) -> Option<IpAddr> {
    let line = line.split(|byte| *byte == b'#').next()?;
    let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let address = str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let is_host =
        |field: &[u8]| field.strip_suffix(b".").unwrap_or(field).eq_ignore_ascii_case(host.as_str().as_bytes());
    fields.any(is_host).then_some(address)
}
