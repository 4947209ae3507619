//! Compressed clusters: a place in the file that is no multiple of anything, and a bound on their length.
//!
//! Sources: QEMU, `docs/interop/qcow2.rst` (as of 10.0), "Compressed Clusters Descriptor"; RFC 1951 (deflate
//! without a header), RFC 8878 (zstd).

use std::io::Read;

use flate2::{Decompress, FlushDecompress};
use ruzstd::decoding::StreamingDecoder;

use super::damaged;
use super::header::Compression;
use crate::source::{ImageFile, SourceError};

const STRUCTURE: &str = "compressed cluster";

/// The bytes of a sector, in which lengths are counted.
const SECTOR: u64 = 512;

/// Unpacks the cluster that `descriptor` describes.
pub(super) fn unpack(
    file: &ImageFile,
    descriptor: u64,
    cluster_bits: u32,
    compression: Compression,
) -> Result<Vec<u8>, SourceError> {
    let offset_bits = 62 - (cluster_bits - 8);
    let offset = descriptor & ((1 << offset_bits) - 1);
    let sectors = (descriptor >> offset_bits) + 1;
    let wrong = |problem: String| damaged(file, STRUCTURE, offset, problem);
    // The last sector of the last cluster may reach past the end of the file.
    let room = file.bytes().size_bytes().saturating_sub(offset);
    let len = (sectors * SECTOR - offset % SECTOR).min(room);
    if len == 0 {
        return Err(wrong("it is not inside the file: the file was cut".into()));
    }
    let mut packed = vec![0; len as usize];
    file.bytes().read_at(offset, &mut packed)?;

    let mut cluster = vec![0; 1 << cluster_bits];
    match compression {
        Compression::Deflate => {
            let mut inflate = Decompress::new(false);
            inflate
                .decompress(&packed, &mut cluster, FlushDecompress::Finish)
                .map_err(|e| wrong(format!("its deflate stream is damaged ({e})")))?;
            let unpacked = inflate.total_out();
            if unpacked != cluster.len() as u64 {
                return Err(wrong(format!("it unpacks to {unpacked} bytes instead of {}", cluster.len())));
            }
        }
        Compression::Zstd => {
            let decoder = StreamingDecoder::new(packed.as_slice());
            let mut decoder = decoder.map_err(|e| wrong(format!("its zstd stream is damaged ({e})")))?;
            decoder.read_exact(&mut cluster).map_err(|e| wrong(format!("its zstd stream is damaged ({e})")))?;
        }
    }
    Ok(cluster)
}
