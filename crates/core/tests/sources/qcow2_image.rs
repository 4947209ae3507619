//! qcow2 images made in memory, right or wrong in one place.

/// Cluster size.
pub(crate) const CLUSTER: u64 = 4096;

/// Where the parts are.
pub(crate) const L1_AT: usize = CLUSTER as usize;
pub(crate) const L2_AT: usize = 2 * CLUSTER as usize;
pub(crate) const DATA_AT: usize = 3 * CLUSTER as usize;

/// How many clusters one L2 table describes.
pub(crate) const PER_TABLE: u64 = CLUSTER / 8;

/// A disk of two L2 tables and a bit, of which clusters 1 and 2 hold ones and twos, cluster 4 zeros.
pub(crate) fn plain() -> Vec<u8> {
    let mut image = vec![0; DATA_AT];
    put(&mut image, 0, b"QFI\xfb\0\0\0\x03");
    put(&mut image, 20, &12u32.to_be_bytes());
    put(&mut image, 24, &(2 * PER_TABLE * CLUSTER + 512).to_be_bytes());
    put(&mut image, 36, &3u32.to_be_bytes());
    put(&mut image, 40, &(L1_AT as u64).to_be_bytes());
    put(&mut image, 96, &4u32.to_be_bytes());
    put(&mut image, 100, &104u32.to_be_bytes());
    put(&mut image, L1_AT, &(L2_AT as u64 | (1 << 63)).to_be_bytes());
    for (cluster, entry) in [(1, DATA_AT as u64), (2, DATA_AT as u64 + CLUSTER), (4, 1)] {
        let copied = if entry > 1 { 1 << 63 } else { 0 };
        put(&mut image, L2_AT + cluster * 8, &(entry | copied).to_be_bytes());
    }
    for byte in [1, 2] {
        image.extend(vec![byte; CLUSTER as usize]);
    }
    image
}

/// The same, with the extension `kind` in its header.
pub(crate) fn with_extension(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut image = plain();
    put(&mut image, 104, &kind.to_be_bytes());
    put(&mut image, 108, &(data.len() as u32).to_be_bytes());
    put(&mut image, 112, data);
    image
}

/// The same, with cluster 3 compressed to these bytes; they are the file's last.
pub(crate) fn with_compressed(packed: &[u8], is_zstd: bool) -> Vec<u8> {
    let mut image = plain();
    if is_zstd {
        put(&mut image, 79, &[8]);
        put(&mut image, 100, &112u32.to_be_bytes());
        put(&mut image, 104, &[1]);
    }
    let at = image.len() as u64;
    let sectors = (packed.len() as u64).div_ceil(512) - 1;
    let entry = (1 << 62) | (sectors << 58) | at;
    put(&mut image, L2_AT + 3 * 8, &entry.to_be_bytes());
    image.extend(packed);
    image
}

/// Overwrites the bytes at `at`.
pub(crate) fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}
