//! Whether a replica is what it should be: byte for byte, with its footer, and by its own sealed maps.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use libmigrate::size::PageRange;
use libmigrate::source::{self, Format};
use libmigrate::target::View;
use libmigrate::{Against, CancellationToken, Coverage, DiskDescription, Engine, PageTarget, Subject};

const PIECE: u64 = 4 << 20;
const FOOTER: u64 = 512;

/// Fails unless the target holds the bytes of the image at `source`, and then the footer of a fixed VHD.
pub(crate) async fn equal(target: &dyn PageTarget, source: &Path) -> anyhow::Result<()> {
    let expected = fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
    for (index, expected) in expected.chunks(PIECE as usize).enumerate() {
        let offset = index as u64 * PIECE;
        let range = PageRange::new(offset, expected.len() as u64).context("disks are whole pages")?;
        let found = target.read(&View::Live, range).await?;
        let differs = found.iter().zip(expected).position(|(a, b)| a != b);
        ensure!(differs.is_none(), "replica and source differ at offset {}", offset + differs.unwrap_or(0) as u64);
    }
    let range = PageRange::new(expected.len() as u64, FOOTER).context("disks are whole pages")?;
    let footer = target.read(&View::Live, range).await?;
    check_footer(&footer, expected.len() as u64)
}

/// Read by the specification and not by the library's own reader ("Virtual Hard Disk Image Format Specification",
/// version 1.0, "Hard Disk Footer Format").
fn check_footer(footer: &[u8], disk_bytes: u64) -> anyhow::Result<()> {
    ensure!(footer.starts_with(b"conectix"), "the footer is not there");
    let sum: u32 = footer.iter().enumerate().filter(|(at, _)| !(64..68).contains(at)).map(|(_, b)| u32::from(*b)).sum();
    ensure!(footer[64..68] == (!sum).to_be_bytes(), "the footer's checksum is wrong");
    ensure!(footer[48..56] == disk_bytes.to_be_bytes(), "the footer names another size");
    Ok(())
}

/// Opens the replica as `engine` would to replicate `source`, and holds every recovery point against its sealed
/// map; how many there are.
pub(crate) async fn recovery_points(
    engine: &Engine,
    target: Arc<dyn PageTarget>,
    source: &Path,
) -> anyhow::Result<u64> {
    let cancel = CancellationToken::new();
    let source = source::open(source, Format::Raw)?;
    let replica = engine.open(target, DiskDescription::of(&*source), &cancel).await?;
    let points = replica.recovery_points(&cancel).await?;
    for point in &points {
        let report = replica.verify(Subject::Cycle(point.cycle), Against::SealedMap, Coverage::Full, &cancel).await?;
        ensure!(
            report.is_equal(),
            "recovery point {} is not what its map says: {:?}",
            point.cycle,
            report.mismatches.first()
        );
    }
    replica.close().await?;
    Ok(points.len() as u64)
}
