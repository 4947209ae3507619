//! The bytes of NBD: what is sent, and what comes back.
//!
//! All numbers are big-endian. Source: NetworkBlockDevice/nbd, `doc/proto.md` (as of 2024).

/// What a server greets with.
pub(super) const GREETING: &[u8; 8] = b"NBDMAGIC";
/// What an option starts with, and what a newstyle server's greeting goes on with.
pub(super) const IHAVEOPT: &[u8; 8] = b"IHAVEOPT";
/// What the answer to an option starts with.
pub(super) const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;

/// Handshake flags of the server.
pub(super) const FIXED_NEWSTYLE: u16 = 1;
pub(super) const NO_ZEROES: u16 = 2;

/// Options.
pub(super) const OPT_STARTTLS: u32 = 5;
pub(super) const OPT_GO: u32 = 7;
pub(super) const OPT_STRUCTURED_REPLY: u32 = 8;
pub(super) const OPT_SET_META_CONTEXT: u32 = 10;

/// Answers to options. The highest bit marks an error.
pub(super) const REP_ACK: u32 = 1;
pub(super) const REP_INFO: u32 = 3;
pub(super) const REP_META_CONTEXT: u32 = 4;
pub(super) const REP_ERROR: u32 = 1 << 31;

/// What [`REP_INFO`] carries.
pub(super) const INFO_EXPORT: u16 = 0;
pub(super) const INFO_BLOCK_SIZE: u16 = 3;

/// Commands.
pub(super) const CMD_READ: u16 = 0;
pub(super) const CMD_DISC: u16 = 2;
pub(super) const CMD_BLOCK_STATUS: u16 = 7;

const REQUEST: u32 = 0x2560_9513;
const SIMPLE_REPLY: u32 = 0x6744_6698;
const STRUCTURED_REPLY: u32 = 0x668e_33ef;

const FLAG_DONE: u16 = 1;

const CHUNK_NONE: u16 = 0;
const CHUNK_DATA: u16 = 1;
const CHUNK_HOLE: u16 = 2;
const CHUNK_STATUS: u16 = 5;
const CHUNK_ERROR: u16 = 1 << 15;
const CHUNK_ERROR_OFFSET: u16 = CHUNK_ERROR + 2;

/// The longest text of a server that is kept.
pub(super) const LONGEST_TEXT: u32 = 4096;

/// A request's 28 bytes.
pub(super) fn request(command: u16, cookie: u64, offset: u64, len: u32) -> [u8; 28] {
    let mut bytes = [0; 28];
    bytes[..4].copy_from_slice(&REQUEST.to_be_bytes());
    bytes[6..8].copy_from_slice(&command.to_be_bytes());
    bytes[8..16].copy_from_slice(&cookie.to_be_bytes());
    bytes[16..24].copy_from_slice(&offset.to_be_bytes());
    bytes[24..].copy_from_slice(&len.to_be_bytes());
    bytes
}

/// The start of a reply, told from its first four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyKind {
    Simple,
    Structured,
}

impl ReplyKind {
    pub(super) fn of(magic: u32) -> Option<Self> {
        match magic {
            SIMPLE_REPLY => Some(Self::Simple),
            STRUCTURED_REPLY => Some(Self::Structured),
            _ => None,
        }
    }

    /// How many bytes of the head follow the magic.
    pub(super) const fn head_bytes(self) -> usize {
        match self {
            Self::Simple => 12,
            Self::Structured => 16,
        }
    }
}

/// A simple reply's head, without its magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SimpleReply {
    pub(super) error: u32,
    pub(super) cookie: u64,
}

impl SimpleReply {
    pub(super) fn parse(head: &[u8]) -> Option<Self> {
        Some(Self { error: be32(head, 0)?, cookie: be64(head, 4)? })
    }
}

/// A chunk's head, without its magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkHead {
    pub(super) is_last: bool,
    pub(super) cookie: u64,
    pub(super) kind: ChunkKind,
    /// Length of what follows the head.
    pub(super) len: u32,
}

/// What a chunk carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkKind {
    None,
    Data,
    Hole,
    Status,
    Error {
        /// The text is followed by an offset.
        has_offset: bool,
    },
    /// One that we did not ask for.
    Unknown(u16),
}

impl ChunkHead {
    pub(super) fn parse(head: &[u8]) -> Option<Self> {
        let kind = match be16(head, 2)? {
            CHUNK_NONE => ChunkKind::None,
            CHUNK_DATA => ChunkKind::Data,
            CHUNK_HOLE => ChunkKind::Hole,
            CHUNK_STATUS => ChunkKind::Status,
            error if error & CHUNK_ERROR != 0 => ChunkKind::Error { has_offset: error == CHUNK_ERROR_OFFSET },
            other => ChunkKind::Unknown(other),
        };
        Some(Self { is_last: be16(head, 0)? & FLAG_DONE != 0, cookie: be64(head, 4)?, kind, len: be32(head, 12)? })
    }
}

/// An error chunk's number and words.
pub(super) fn error_text(payload: &[u8]) -> Option<String> {
    let number = be32(payload, 0)?;
    let len = usize::from(be16(payload, 4)?);
    let text = payload.get(6..6 + len)?;
    Some(error_words(number, &String::from_utf8_lossy(text)))
}

/// An error number of the protocol in words, followed by the server's own.
pub(super) fn error_words(number: u32, text: &str) -> String {
    let name = match number {
        1 => "not permitted",
        5 => "input/output error",
        12 => "out of memory",
        22 => "invalid request",
        28 => "no space left",
        75 => "request too large",
        95 => "not supported",
        108 => "the server is shutting down",
        _ => "error",
    };
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.is_empty() { format!("{name} ({number})") } else { format!("{name} ({number}): {text}") }
}

/// A status chunk: the context's number, then pairs of length and flags.
pub(super) fn status(payload: &[u8]) -> Option<(u32, Vec<(u32, u32)>)> {
    let (context, pairs) = (be32(payload, 0)?, payload.get(4..)?);
    if pairs.is_empty() || !pairs.len().is_multiple_of(8) {
        return None;
    }
    Some((context, pairs.chunks_exact(8).filter_map(|pair| Some((be32(pair, 0)?, be32(pair, 4)?))).collect()))
}

pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(super) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
