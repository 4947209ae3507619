//! A request's body as it arrived, and the checksums that it was sent with.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use md5::{Digest, Md5};

use super::refusal::{self, Refusal};
use super::request::Call;

/// The body, in the pieces in which it arrived. Under [`Storage::Discard`] the pieces of pages are not kept.
///
/// [`Storage::Discard`]: super::pages::Storage::Discard
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) frames: Vec<Bytes>,
    pub(crate) len: u64,
    pub(crate) checksum: Option<Result<(), Refusal>>,
}

impl Received {
    /// The body in one piece.
    pub(crate) fn whole(&self) -> Bytes {
        match self.frames.as_slice() {
            [only] => only.clone(),
            frames => frames.concat().into(),
        }
    }

    /// Whether the body is what its sender meant.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        self.checksum.unwrap_or(Ok(()))
    }
}

/// The checksum that a request's headers promise, and the one of what has arrived so far.
pub(crate) enum Checksum {
    None,
    Md5 {
        promised: Vec<u8>,
        state: Box<Md5>,
    },
    Crc64 {
        promised: u64,
        state: Box<crc64fast_nvme::Digest>,
    },
    /// The promise itself makes no sense.
    Wrong(Refusal),
}

impl Checksum {
    pub(crate) fn promised_by(call: &Call) -> Self {
        let sent = (call.header("content-md5"), call.header("x-ms-content-crc64"));
        let decoded = |text: &str| BASE64.decode(text).unwrap_or_default();
        match sent {
            (None, None) => Self::None,
            (Some(_), Some(_)) => Self::Wrong(refusal::INVALID_HEADER_VALUE),
            (Some(md5), None) => match decoded(md5) {
                promised if promised.len() == 16 => Self::Md5 { promised, state: Box::default() },
                _ => Self::Wrong(refusal::INVALID_MD5),
            },
            (None, Some(crc)) => match <[u8; 8]>::try_from(decoded(crc)) {
                Ok(bytes) => Self::Crc64 { promised: u64::from_le_bytes(bytes), state: Box::default() },
                Err(_) => Self::Wrong(refusal::INVALID_HEADER_VALUE),
            },
        }
    }

    pub(crate) fn add(&mut self, frame: &[u8]) {
        match self {
            Self::None | Self::Wrong(_) => {}
            Self::Md5 { state, .. } => state.update(frame),
            Self::Crc64 { state, .. } => state.write(frame),
        }
    }

    pub(crate) fn verdict(self) -> Option<Result<(), Refusal>> {
        let equal = |equal: bool, refusal| Some(if equal { Ok(()) } else { Err(refusal) });
        match self {
            Self::None => None,
            Self::Wrong(refusal) => Some(Err(refusal)),
            Self::Md5 { promised, state } => equal(state.finalize().as_slice() == promised, refusal::MD5_MISMATCH),
            Self::Crc64 { promised, state } => equal(state.sum64() == promised, refusal::CRC64_MISMATCH),
        }
    }
}
