//! The header: where the log is, whether it is in use, and which state of the data the file has (2.2.2).
//!
//! There are two, written in turns, so that one of them is whole at any moment: the one with the higher
//! sequence number is current. Two with the same number cannot be told apart by the specification; where
//! they say the same, as Sysinternals' Disk2vhd writes them, it does not matter.

use uuid::Uuid;

use super::{MIB, check, damaged, guid, is_in_file, le16, le32, le64, read_one, stand_in, structure_at, unsupported};
use crate::extent::Extent;
use crate::source::{ImageFile, SourceError};

const STRUCTURE: &str = "header";
const HEADER_BYTES: u64 = 4096;
const COPIES: [Extent; 2] = [structure_at(64 << 10, HEADER_BYTES), structure_at(128 << 10, HEADER_BYTES)];

/// The only version that is known, of the format and of the log.
const VERSION: u16 = 1;
const LOG_VERSION: u16 = 0;

/// What the current header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    sequence: u64,
    file_write_id: Uuid,
    /// Changes with every write that the guest can see.
    pub(super) data_write_id: Uuid,
    /// Which entries of the log are meant; nil when there is nothing to replay.
    pub(super) log_id: Uuid,
    log_version: u16,
    version: u16,
    log_offset: u64,
    log_bytes: u32,
}

impl Header {
    /// Reads both headers, chooses the current one and checks it.
    pub(super) fn read(file: &ImageFile, notes: &mut Vec<String>) -> Result<Self, SourceError> {
        let [first, second] = COPIES;
        let header = match (read_one(file, first, Self::decode)?, read_one(file, second, Self::decode)?) {
            (Ok(one), Ok(other)) if one.sequence == other.sequence && one != other => {
                let problem = format!(
                    "it and its copy at offset {} differ, but both have number {}",
                    second.offset(),
                    one.sequence
                );
                return Err(damaged(file, STRUCTURE, first.offset(), problem));
            }
            (Ok(one), Ok(other)) => {
                if one.sequence < other.sequence {
                    other
                } else {
                    one
                }
            }
            (Ok(header), Err(problem)) => {
                notes.push(stand_in(file, STRUCTURE, second, &problem, first));
                header
            }
            (Err(problem), Ok(header)) => {
                notes.push(stand_in(file, STRUCTURE, first, &problem, second));
                header
            }
            (Err(problem), Err(other)) => {
                let both = format!("{problem}; and its copy at offset {}: {other}", second.offset());
                return Err(damaged(file, STRUCTURE, first.offset(), both));
            }
        };
        header.check(file)?;
        Ok(header)
    }

    fn decode(header: &[u8]) -> Result<Self, String> {
        check(header, "head")?;
        Ok(Self {
            sequence: le64(header, 8),
            file_write_id: guid(header, 16),
            data_write_id: guid(header, 32),
            log_id: guid(header, 48),
            log_version: le16(header, 64),
            version: le16(header, 66),
            log_bytes: le32(header, 68),
            log_offset: le64(header, 72),
        })
    }

    fn check(&self, file: &ImageFile) -> Result<(), SourceError> {
        if self.version != VERSION {
            return Err(unsupported(file, format!("VHDX version {}", self.version)));
        }
        if !self.log_id.is_nil() && self.log_version != LOG_VERSION {
            return Err(unsupported(file, format!("version {} of the VHDX log", self.log_version)));
        }
        let is_aligned = self.log_offset.is_multiple_of(MIB) && u64::from(self.log_bytes).is_multiple_of(MIB);
        let is_inside = self.log_bytes == 0
            || self.log_region().is_some_and(|region| region.offset() >= MIB && is_in_file(file, region));
        if !is_aligned || !is_inside {
            let problem = format!(
                "its {} bytes do not lie inside the file's {} at multiples of 1 MiB",
                self.log_bytes,
                file.bytes().size_bytes()
            );
            return Err(damaged(file, "log", self.log_offset, problem));
        }
        Ok(())
    }

    /// Where the log is; `None` where there is no room for one.
    pub(super) fn log_region(&self) -> Option<Extent> {
        Extent::new(self.log_offset, u64::from(self.log_bytes))
    }
}
