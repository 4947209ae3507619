//! Image formats that are recognised in order to be refused: copied as they are, they would make a
//! replica that no machine starts from.

use super::{ImageFile, SourceError};

/// Name, offset and bytes of each format's mark.
///
/// Source: QEMU, `block/vdi.c`.
const MARKS: [(&str, usize, &[u8]); 1] = [("VDI", 0x40, &0xbeda_107f_u32.to_le_bytes())];

/// Fails with [`SourceError::Unsupported`] when `file` starts with a mark.
pub(super) fn refuse(file: &ImageFile) -> Result<(), SourceError> {
    let mut head = vec![0; file.bytes().size_bytes().min(512) as usize];
    file.bytes().read_at(0, &mut head)?;
    let mark = MARKS.iter().find(|(_, at, mark)| head.get(*at..).is_some_and(|rest| rest.starts_with(mark)));
    mark.map_or(Ok(()), |(name, ..)| {
        Err(SourceError::Unsupported {
            path: file.path().to_path_buf(),
            feature: format!("the format {name} (convert it, or replicate its bytes as they are with Format::Raw)"),
        })
    })
}
