//! Zero test, digest, diff and the planning of page runs, each beside the bare work that it cannot do without.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use libmigrate::RequestCost;
use libmigrate::digest::block::{BlockDigest, BlockState, is_zero};
use libmigrate::digest::diff::{diff_run, digests_only, states_of};
use libmigrate::extent::{Extent, ExtentSet};
use libmigrate::size::BlockSize;

const RUN: usize = 1 << 20;

fn random_run() -> Vec<u8> {
    let mut bytes = vec![0; RUN];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    bytes
}

fn zero_test(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("zero test, 1 MiB of zeros");
    let zeros = vec![0; RUN];
    group.throughput(Throughput::Bytes(RUN as u64));
    group.bench_function("ours", |b| b.iter(|| is_zero(black_box(&zeros))));
    group.bench_function("byte by byte", |b| {
        b.iter(|| {
            for byte in black_box(&zeros) {
                if black_box(*byte) != 0 {
                    return false;
                }
            }
            true
        });
    });
}

fn digest(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("digest of 1 MiB, by block");
    let bytes = random_run();
    group.throughput(Throughput::Bytes(RUN as u64));
    for block in [4 << 10, 64 << 10, 1 << 20] {
        group.bench_with_input(BenchmarkId::from_parameter(block), &block, |b, block| {
            b.iter(|| bytes.chunks(*block).map(BlockDigest::of).map(black_box).count());
        });
    }
}

fn diff(criterion: &mut Criterion) {
    let bytes = random_run();
    for block in [4 << 10, 64 << 10] {
        let block_size = BlockSize::new(block).expect("a power of two");
        let same: Vec<BlockState> = states_of(&bytes, block_size).collect();
        let unknown = vec![BlockState::Unknown; same.len()];
        let mut group = criterion.benchmark_group(format!("diff of 1 MiB in blocks of {block}"));
        group.throughput(Throughput::Bytes(RUN as u64));
        group.bench_function("bare digest", |b| b.iter(|| digests_only(black_box(&bytes), block_size)));
        group.bench_function("nothing changed", |b| {
            b.iter(|| diff_run(black_box(&bytes), &same, block_size, RequestCost::Negligible));
        });
        group.bench_function("everything changed", |b| {
            b.iter(|| diff_run(black_box(&bytes), &unknown, block_size, RequestCost::STANDARD_PAGE_BLOB));
        });
    }
}

fn planning(criterion: &mut Criterion) {
    let extents =
        |step: u64, len: u64| -> ExtentSet { (0..10_000).filter_map(|index| Extent::new(index * step, len)).collect() };
    let (data, changed) = (extents(1 << 20, 600 << 10), extents(700_001, 4096));
    let mut group = criterion.benchmark_group("10 000 extents");
    group.bench_function("intersection", |b| b.iter(|| black_box(&data).intersection(&changed)));
    group.bench_function("difference", |b| b.iter(|| black_box(&changed).difference(&data)));
    group.bench_function("union", |b| b.iter(|| black_box(&changed).union(&data)));
}

criterion_group!(benches, zero_test, digest, diff, planning);
criterion_main!(benches);
