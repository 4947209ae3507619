//! What the engine does with a disk that its caller holds, without a language in between: what the faces are
//! compared with (`cargo xtask bench-faces`).
//!
//! Arguments: FOLDER MIB. Prints one JSON line for each way.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use libmigrate::extent::{Extent, ExtentSet};
use libmigrate::source::{SourceError, SourceExtent};
use libmigrate::target::local::LocalTarget;
use libmigrate::{
    CancellationToken, CycleRequest, DiskDescription, DiskSource, Engine, EngineOptions, PushedDisk, Replica,
};

const MIB: usize = 1 << 20;

/// A disk of one buffer again and again, each time with its number in front.
struct Disk {
    piece: Vec<u8>,
    pieces: u64,
}

impl Disk {
    fn new(pieces: u64) -> Self {
        let piece = (0..MIB as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        Self { piece, pieces }
    }

    fn fill(&self, offset: u64, buf: &mut [u8]) {
        for (at, part) in (offset / MIB as u64..).zip(buf.chunks_mut(MIB)) {
            part.copy_from_slice(&self.piece[..part.len()]);
            part[..8].copy_from_slice(&at.to_le_bytes());
        }
    }
}

impl DiskSource for Disk {
    fn size_bytes(&self) -> u64 {
        self.pieces * MIB as u64
    }

    fn point(&self) -> Option<String> {
        Some("1".to_owned())
    }

    fn extents(&self, range: Range<u64>, _: usize) -> Result<Vec<SourceExtent>, SourceError> {
        Ok(Extent::from_range(range).map(SourceExtent::data).into_iter().collect())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        self.fill(offset, buf);
        Ok(())
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let usage = "arguments: FOLDER MIB";
    let (folder, mib) = (arguments.next().expect(usage), arguments.next().expect(usage).parse().expect(usage));
    let (folder, disk, cancel) = (Path::new(&folder), Arc::new(Disk::new(mib)), CancellationToken::new());
    let state_dir = Some(folder.join("state"));
    let engine = Engine::new(EngineOptions { state_dir, ..EngineOptions::default() }).unwrap();
    let open = async |name: &str| -> Replica {
        let target = Arc::new(LocalTarget::new(folder.join(name)).unwrap());
        engine.open(target, DiskDescription::of(&*disk), &cancel).await.unwrap()
    };

    let replica = open("rust-push.vhd").await;
    let started = Instant::now();
    let pushed =
        PushedDisk { size_bytes: disk.size_bytes(), identity: None, point: disk.point(), zero: ExtentSet::new() };
    let cycle = replica.begin(Arc::new(pushed), CycleRequest::default(), &cancel).await.unwrap();
    while let Some(wanted) = cycle.next_wanted().await.unwrap() {
        let mut bytes = vec![0; wanted.len_bytes() as usize];
        disk.fill(wanted.offset(), &mut bytes);
        cycle.push(wanted.offset(), bytes.into()).await.unwrap();
    }
    cycle.seal().await.unwrap();
    tell("push", mib, started);
    replica.close().await.unwrap();

    let replica = open("rust-serve.vhd").await;
    let started = Instant::now();
    let source: Arc<dyn DiskSource> = disk.clone();
    replica.replicate(source, CycleRequest::default(), &cancel).await.unwrap();
    tell("serve", mib, started);
    replica.close().await.unwrap();
}

fn tell(way: &str, mib: u64, started: Instant) {
    println!(r#"{{"way":"{way}","mib":{mib},"seconds":{:.4}}}"#, started.elapsed().as_secs_f64());
}
