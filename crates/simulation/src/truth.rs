//! What must be at the target, known to the scenario alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::service::{self, Blob};

const FOOTER: usize = 512;

/// Each cycle that may be sealed, and what the disk was then.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    cycles: BTreeMap<u32, Sealed>,
}

#[derive(Debug, Default)]
struct Sealed {
    /// What it may hold: of several attempts whose end nobody heard of, one.
    contents: Vec<Arc<Vec<u8>>>,
    /// Somebody was told that it is a recovery point.
    told: bool,
    /// Somebody was asked to delete it.
    may_be_gone: bool,
}

impl Truth {
    /// A cycle begins that may end as `cycle` with this content.
    pub(crate) fn attempt(&mut self, cycle: u32, content: &Arc<Vec<u8>>) {
        let sealed = self.cycles.entry(cycle).or_default();
        if !sealed.told {
            sealed.contents.push(Arc::clone(content));
        }
    }

    /// The engine says that `cycle` is sealed with this content; what is wrong with that.
    pub(crate) fn told(&mut self, cycle: u32, content: Arc<Vec<u8>>) -> Result<(), String> {
        let sealed = self.cycles.entry(cycle).or_default();
        if sealed.told {
            return Err(format!("cycle {cycle} was sealed twice"));
        }
        *sealed = Sealed { contents: vec![content], told: true, may_be_gone: false };
        Ok(())
    }

    /// All but the newest `keep` of `listed` may be deleted from now on.
    pub(crate) fn prune(&mut self, listed: &[u32], keep: usize) {
        for cycle in listed.iter().rev().skip(keep.max(1)) {
            self.cycles.entry(*cycle).or_default().may_be_gone = true;
        }
    }

    /// What the recovery point of `cycle` holds, if that is known.
    pub(crate) fn content(&self, cycle: u32) -> Option<&Arc<Vec<u8>>> {
        match self.cycles.get(&cycle)?.contents.as_slice() {
            [content] => Some(content),
            _ => None,
        }
    }

    /// Holds what the engine lists against the truth, and the snapshots with it; how many were compared.
    pub(crate) fn compare(&mut self, listed: &[u32], blob: &Blob) -> Result<u64, String> {
        for (cycle, sealed) in &self.cycles {
            if sealed.told && !sealed.may_be_gone && !listed.contains(cycle) {
                return Err(format!("recovery point {cycle} is gone; listed are {listed:?}"));
            }
        }
        for cycle in listed {
            // Of several snapshots of one cycle, the engine takes the last.
            let found = service::recovery_points(blob).filter(|(point, _)| point.cycle == *cycle).last();
            let (point, kept) = found.ok_or_else(|| format!("recovery point {cycle} is listed but has no snapshot"))?;
            let sealed = self.cycles.get_mut(cycle).ok_or_else(|| format!("cycle {cycle} was never begun"))?;
            let held = &kept.bytes[..point.disk_bytes as usize];
            let Some(at) = sealed.contents.iter().position(|content| content.as_slice() == held) else {
                let differs = sealed.contents.iter().map(|content| first_difference(content, held));
                return Err(format!(
                    "recovery point {cycle} is not what the source was then (first differences {:?})",
                    differs.collect::<Vec<_>>()
                ));
            };
            footer(&kept.bytes, point.disk_bytes).map_err(|problem| format!("recovery point {cycle}: {problem}"))?;
            // From now on it is this one.
            sealed.contents = vec![sealed.contents.swap_remove(at)];
        }
        Ok(listed.len() as u64)
    }
}

/// The first byte at which two disks differ.
pub(crate) fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    if one.len() != other.len() {
        return Some(one.len().min(other.len()));
    }
    one.iter().zip(other).position(|(a, b)| a != b)
}

/// Checks the fixed-VHD footer after the disk by the fields that a reader goes by.
pub(crate) fn footer(blob: &[u8], disk_bytes: u64) -> Result<(), String> {
    let page = blob.get(disk_bytes as usize..).filter(|page| page.len() == FOOTER);
    let page = page.ok_or_else(|| format!("{} bytes are no disk of {disk_bytes} and a footer", blob.len()))?;
    let field = |at: usize, len: usize| page[at..at + len].iter().fold(0u64, |all, byte| all << 8 | u64::from(*byte));
    let sum: u32 = page.iter().map(|byte| u32::from(*byte)).sum::<u32>()
        - page[64..68].iter().map(|byte| u32::from(*byte)).sum::<u32>();
    if &page[..8] != b"conectix" || field(48, 8) != disk_bytes || field(60, 4) != 2 || field(64, 4) != u64::from(!sum) {
        return Err(format!("there is no footer of a fixed disk of {disk_bytes} bytes"));
    }
    Ok(())
}
