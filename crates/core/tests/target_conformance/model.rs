//! Random writes against a model: a vector of bytes.

use std::sync::Arc;

use fastrand::Rng;
use libmigrate::size::{MIB, PAGE, PageRange};
use libmigrate::target::{Fence, Metadata, PageTarget, View};

use super::place::{LEN, Place, etag_of};

/// The part that is written, so that writes overlap often.
const ARENA: u64 = MIB;
const ROUNDS: usize = 12;
const WRITES_PER_ROUND: usize = 10;

pub(crate) async fn random_writes_agree_with_a_model(place: Place) {
    let seed = std::env::var("LIBMIGRATE_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    // Shown only when the test fails.
    println!("LIBMIGRATE_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let (target, fence) = place.owned().await;
    let mut model = vec![0; LEN as usize];
    let mut snapshots = Vec::new();
    let takes_snapshots = target.capabilities().snapshots;

    for round in 0..ROUNDS {
        write_at_random(&target, fence, &mut model, &mut rng).await;
        assert_agrees(&*place.handle(), &View::Live, &model, &mut rng).await;
        if takes_snapshots && round % 4 == 1 {
            let id = target.snapshot(&Metadata::new(), fence.lease, &etag_of(&target).await).await.unwrap();
            snapshots.push((View::Snapshot(id), model.clone()));
        }
    }
    for (view, model) in &snapshots {
        assert_agrees(&*target, view, model, &mut rng).await;
    }
}

/// Mostly inside the arena, sometimes at the very end of the target.
fn some_range(rng: &mut Rng) -> PageRange {
    let most = if rng.bool() { 4 } else { 400 };
    let len = PAGE * rng.u64(1..=most);
    let last = (if rng.u8(..) < 16 { LEN } else { ARENA }) - len;
    PageRange::new(rng.u64(0..=last / PAGE) * PAGE, len).unwrap()
}

fn part(model: &mut [u8], range: PageRange) -> &mut [u8] {
    &mut model[range.offset() as usize..range.end() as usize]
}

async fn write_at_random(target: &Arc<dyn PageTarget>, fence: Fence, model: &mut [u8], rng: &mut Rng) {
    for _ in 0..WRITES_PER_ROUND {
        let range = some_range(rng);
        if rng.u8(..) < 96 {
            target.clear(range, fence).await.unwrap();
            part(model, range).fill(0);
        } else {
            // Zeros among them: pages put as zeros may or may not be reported as data.
            let byte = rng.u8(0..4);
            let data = vec![byte; range.len_bytes() as usize];
            target.put(range, data.into(), fence).await.unwrap();
            part(model, range).fill(byte);
        }
    }
}

async fn assert_agrees(target: &dyn PageTarget, view: &View, model: &[u8], rng: &mut Rng) {
    let whole = PageRange::new(0, LEN).unwrap();
    assert!(target.read(view, whole).await.unwrap() == model, "the whole target");
    let some = some_range(rng);
    assert!(target.read(view, some).await.unwrap() == model[some.offset() as usize..some.end() as usize], "{some}");

    let held = target.page_ranges(view, 0..LEN).await.unwrap();
    assert!(held.windows(2).all(|pair| pair[0].end() < pair[1].offset()), "in order and merged: {held:?}");
    let mut outside = model.to_vec();
    for range in &held {
        part(&mut outside, *range).fill(0);
    }
    let unreported = outside.iter().position(|byte| *byte != 0);
    assert_eq!(unreported, None, "data at this offset is in none of {held:?}");
}
