//! `state.json`: what a page blob keeps besides its bytes.

use serde::{Deserialize, Serialize};

use super::{Shared, files};
use crate::target::{ETag, Metadata, TargetError};

/// The form that this version writes and the newest that it reads.
const FORMAT: u32 = 1;

/// No state of ours is longer.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StateFile {
    format: u32,
    /// Grows with every change of metadata, sequence number or length.
    pub(super) version: u64,
    pub(super) sequence: u64,
    pub(super) metadata: Metadata,
}

impl StateFile {
    pub(super) const fn new(metadata: Metadata) -> Self {
        Self { format: FORMAT, version: 1, sequence: 0, metadata }
    }

    pub(super) fn etag(&self) -> ETag {
        ETag(self.version.to_string())
    }

    /// The state beside the replica; `None` when there is none.
    pub(super) fn read(shared: &Shared) -> Result<Option<Self>, TargetError> {
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let path = shared.folder.join("state.json");
        let Some(bytes) = files::read_bounded(&path, MAX_BYTES).map_err(shared.io("read state"))? else {
            return Ok(None);
        };
        let unusable = |problem| TargetError::Unusable {
            location: shared.location(),
            problem: format!("{}: {problem}", path.display()),
        };
        let Versioned { format } = serde_json::from_slice(&bytes).map_err(|e| unusable(e.to_string()))?;
        if format > FORMAT {
            return Err(unusable(format!("its format {format} is newer than {FORMAT}, the newest of this version")));
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|e| unusable(e.to_string()))
    }

    pub(super) fn write(&self, shared: &Shared) -> Result<(), TargetError> {
        let json = serde_json::to_vec(self).expect("a state has only strings and numbers");
        files::replace(&shared.folder.join("state.json"), &json).map_err(shared.io("write state"))
    }
}
