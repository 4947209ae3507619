//! The most memory that this process has had resident.

use std::fs;

use anyhow::Context;

/// Bytes: `VmHWM` of `/proc/self/status` (proc(5)).
pub fn peak_bytes() -> anyhow::Result<u64> {
    of(&fs::read_to_string("/proc/self/status")?)
}

/// Starts to measure anew (`5` to `/proc/self/clear_refs`, proc(5)).
pub fn reset() -> anyhow::Result<()> {
    fs::write("/proc/self/clear_refs", "5").context("cannot reset the peak")
}

fn of(status: &str) -> anyhow::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_used_is_seen() {
        reset().unwrap();
        let before = peak_bytes().unwrap();
        let used = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(peak_bytes().unwrap() >= before + (60 << 20), "{}", used.len());
    }
}
