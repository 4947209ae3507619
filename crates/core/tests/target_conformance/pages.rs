//! Writing, clearing and reading pages.
//!
//! Which pages hold data is asked in steps of 64 KiB: a file system knows its holes no finer than its own
//! blocks, and a target may report more pages than were written, never fewer.

use futures::future::try_join_all;
use libmigrate::size::{MIB, PageRange};
use libmigrate::target::{TargetError, View};

use super::place::{LEN, Place, filled, pages, reads_as};

const STEP: u64 = 64 << 10;

fn is_out_of_range<T: std::fmt::Debug>(result: &Result<T, TargetError>) -> bool {
    matches!(result, Err(TargetError::OutOfRange { .. }))
}

pub(crate) async fn a_put_reads_back_through_another_handle(place: Place) {
    let (target, fence) = place.owned().await;
    let data: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(1..)).take(1536).collect();

    target.put(pages(4096 + 512, 1536), data.clone().into(), fence).await.unwrap();

    let other = place.handle();
    assert_eq!(other.read(&View::Live, pages(4096 + 512, 1536)).await.unwrap(), data);
    assert_eq!(other.read(&View::Live, pages(4096 + 1024, 512)).await.unwrap(), data[512..1024]);
    assert!(reads_as(&other, &View::Live, pages(4096, 512), 0).await);
    assert!(reads_as(&other, &View::Live, pages(4096 + 2048, 512), 0).await);
}

pub(crate) async fn a_put_replaces_what_was_there(place: Place) {
    let (target, fence) = place.owned().await;
    target.put(pages(0, 2048), filled(1, 2048), fence).await.unwrap();

    target.put(pages(512, 1024), filled(2, 1024), fence).await.unwrap();

    let bytes = target.read(&View::Live, pages(0, 2048)).await.unwrap();
    assert_eq!(bytes, [vec![1; 512], vec![2; 1024], vec![1; 512]].concat());
}

pub(crate) async fn a_cleared_range_reads_as_zero_and_holds_nothing(place: Place) {
    let (target, fence) = place.owned().await;
    target.put(pages(0, MIB), filled(1, MIB), fence).await.unwrap();

    target.clear(pages(STEP, 2 * STEP), fence).await.unwrap();

    assert!(reads_as(&target, &View::Live, pages(0, STEP), 1).await);
    assert!(reads_as(&target, &View::Live, pages(STEP, 2 * STEP), 0).await);
    assert!(reads_as(&target, &View::Live, pages(3 * STEP, MIB - 3 * STEP), 1).await);
    let held = target.page_ranges(&View::Live, 0..LEN).await.unwrap();
    assert_eq!(held, [pages(0, STEP), pages(3 * STEP, MIB - 3 * STEP)]);
}

pub(crate) async fn clearing_what_is_clear_is_no_error(place: Place) {
    let (target, fence) = place.owned().await;

    target.clear(pages(0, LEN), fence).await.unwrap();

    assert_eq!(target.page_ranges(&View::Live, 0..LEN).await.unwrap(), []);
    assert_eq!(target.state().await.unwrap().unwrap().len, LEN);
}

pub(crate) async fn page_ranges_are_in_order_and_merged(place: Place) {
    let (target, fence) = place.owned().await;
    target.put(pages(4 * MIB, STEP), filled(1, STEP), fence).await.unwrap();
    target.put(pages(LEN - STEP, STEP), filled(1, STEP), fence).await.unwrap();
    target.put(pages(STEP, STEP), filled(1, STEP), fence).await.unwrap();
    target.put(pages(2 * STEP, STEP), filled(1, STEP), fence).await.unwrap();

    let held = target.page_ranges(&View::Live, 0..LEN).await.unwrap();

    assert_eq!(held, [pages(STEP, 2 * STEP), pages(4 * MIB, STEP), pages(LEN - STEP, STEP)]);
}

pub(crate) async fn page_ranges_stay_inside_the_window(place: Place) {
    let (target, fence) = place.owned().await;
    target.put(pages(0, MIB), filled(1, MIB), fence).await.unwrap();

    let inside = target.page_ranges(&View::Live, 512..STEP + 512).await.unwrap();
    let across = target.page_ranges(&View::Live, MIB - STEP..2 * MIB).await.unwrap();
    let beyond = target.page_ranges(&View::Live, MIB..2 * MIB).await.unwrap();

    assert_eq!((inside, across), (vec![pages(512, STEP)], vec![pages(MIB - STEP, STEP)]));
    assert_eq!(beyond, []);
}

pub(crate) async fn flushed_bytes_read_back(place: Place) {
    let (target, fence) = place.owned().await;
    target.put(pages(0, 512), filled(1, 512), fence).await.unwrap();

    target.flush().await.unwrap();

    assert!(reads_as(&place.handle(), &View::Live, pages(0, 512), 1).await);
}

pub(crate) async fn puts_at_once_all_land(place: Place) {
    let (target, fence) = place.owned().await;
    let put = |n: u8| target.put(pages(u64::from(n) * STEP, STEP), filled(n, STEP), fence);

    try_join_all((1..32).map(put)).await.unwrap();

    let expected: Vec<u8> = (1..32u8).flat_map(|n| vec![n; STEP as usize]).collect();
    assert_eq!(target.read(&View::Live, pages(STEP, 31 * STEP)).await.unwrap(), expected);
}

pub(crate) async fn the_largest_put_is_taken(place: Place) {
    let (target, fence) = place.owned().await;
    let most = target.capabilities().max_put_bytes;

    target.put(pages(512, most), filled(1, most), fence).await.unwrap();

    assert!(reads_as(&target, &View::Live, pages(512, most), 1).await);
}

pub(crate) async fn a_larger_put_is_refused(place: Place) {
    let (target, fence) = place.owned().await;
    let range = pages(0, target.capabilities().max_put_bytes + 512);

    let refused = target.put(range, filled(1, range.len_bytes()), fence).await;

    assert!(is_out_of_range(&refused), "{refused:?}");
    assert_eq!(target.page_ranges(&View::Live, 0..LEN).await.unwrap(), []);
}

pub(crate) async fn a_put_of_another_length_than_its_range_is_refused(place: Place) {
    let (target, fence) = place.owned().await;

    let shorter = target.put(pages(0, 1024), filled(1, 512), fence).await;
    let longer = target.put(pages(0, 512), filled(1, 1024), fence).await;

    assert!(shorter.is_err() && longer.is_err(), "{shorter:?} {longer:?}");
    assert_eq!(target.page_ranges(&View::Live, 0..LEN).await.unwrap(), []);
}

/// Half inside, half outside.
fn over_the_end() -> PageRange {
    pages(LEN - 512, 1024)
}

pub(crate) async fn a_put_past_the_end_is_refused(place: Place) {
    let (target, fence) = place.owned().await;

    let refused = target.put(over_the_end(), filled(1, 1024), fence).await;

    assert!(is_out_of_range(&refused), "{refused:?}");
    assert_eq!(target.state().await.unwrap().unwrap().len, LEN);
    assert!(reads_as(&target, &View::Live, pages(LEN - 512, 512), 0).await);
}

pub(crate) async fn a_clear_past_the_end_is_refused(place: Place) {
    let (target, fence) = place.owned().await;
    target.put(pages(LEN - 512, 512), filled(1, 512), fence).await.unwrap();

    let refused = target.clear(over_the_end(), fence).await;

    assert!(is_out_of_range(&refused), "{refused:?}");
    assert!(reads_as(&target, &View::Live, pages(LEN - 512, 512), 1).await);
}

pub(crate) async fn a_read_past_the_end_is_refused(place: Place) {
    let target = place.created().await;

    let over = target.read(&View::Live, over_the_end()).await;
    let beyond = target.read(&View::Live, pages(LEN, 512)).await;

    assert!(is_out_of_range(&over) && is_out_of_range(&beyond), "{over:?} {beyond:?}");
}
