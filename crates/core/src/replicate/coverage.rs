//! How much is verified, and what that promises.
//!
//! A sample of `n` of the disk's `N` blocks is drawn without putting any back. Where `d` blocks are damaged, it
//! hits none of them with probability `C(N - d, n) / C(N, n)` (the hypergeometric distribution), which is at
//! most `(1 - d/N)^n`. The bound chooses the size of a sample; the report gives the exact figure.

use std::ops::Range;

use fastrand::Rng;

/// How much is compared. The footer always is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Coverage {
    /// Every block.
    #[default]
    Full,
    /// So many blocks at random that damage to a share of `damaged_share` of all blocks is missed with a
    /// probability of at most `may_miss`. Where that takes more than half of them, every block.
    Sample {
        /// Share of the blocks that are damaged, between 0 and 1.
        damaged_share: f64,
        /// Probability of not seeing it, between 0 and 1.
        may_miss: f64,
        /// What the blocks are drawn by: the same seed draws the same blocks of a disk of the same size, in
        /// the same version of this library.
        seed: u64,
    },
}

/// Seeds are told to people and programs, and the numbers of some of these are exact up to 2^53.
const MAX_SEED: u64 = 1 << 53;

impl Coverage {
    /// A sample with a new, random seed.
    pub fn sample(damaged_share: f64, may_miss: f64) -> Self {
        Self::Sample { damaged_share, may_miss, seed: fastrand::u64(..MAX_SEED) }
    }

    /// How much of `total` blocks is compared, at least one.
    pub(super) fn draw(self, total: u64) -> Draw {
        let Self::Sample { damaged_share, may_miss, seed } = self else { return Draw::EVERYTHING };
        let exactly = may_miss.clamp(f64::MIN_POSITIVE, 1.0).ln() / (1.0 - damaged_share.clamp(0.0, 1.0)).ln();
        let wanted = exactly.ceil();
        // Not a number or negative means that nothing less than everything will do.
        if !wanted.is_finite() || wanted < 0.0 || wanted > total as f64 / 2.0 {
            return Draw::EVERYTHING;
        }
        let drawn = (wanted as u64).clamp(1, total);
        let damaged = (damaged_share * total as f64).ceil() as u64;
        let may_miss = miss_probability(total, damaged.max(1), drawn);
        Draw { may_miss, picks: Some(Picks { rng: Rng::with_seed(seed), blocks_left: total, wanted: drawn }), seed }
    }
}

/// A coverage, applied to a disk.
#[derive(Debug)]
pub(super) struct Draw {
    /// Probability that damage of the wanted share is missed.
    pub(super) may_miss: f64,
    /// The sample; everything is compared without one.
    pub(super) picks: Option<Picks>,
    seed: u64,
}

impl Draw {
    const EVERYTHING: Self = Self { may_miss: 0.0, picks: None, seed: 0 };

    /// What the sample is drawn by, where there is one.
    pub(super) fn seed(&self) -> Option<u64> {
        self.picks.as_ref().map(|_| self.seed)
    }
}

/// Draws a sample in the order of the blocks, in constant memory: each block is taken with the probability that
/// it is among those that are still to be found (Knuth, "The Art of Computer Programming", volume 2, section
/// 3.4.2, algorithm S).
#[derive(Debug)]
pub(super) struct Picks {
    rng: Rng,
    blocks_left: u64,
    wanted: u64,
}

impl Picks {
    /// The blocks of the sample in `blocks`, which follow those of the call before. Time linear in them.
    pub(super) fn among(&mut self, blocks: Range<u64>) -> Vec<u64> {
        let mut picked = Vec::new();
        for block in blocks {
            if self.wanted == 0 {
                break;
            }
            if self.rng.u64(..self.blocks_left) < self.wanted {
                self.wanted -= 1;
                picked.push(block);
            }
            self.blocks_left -= 1;
        }
        picked
    }
}

/// Probability that `drawn` different blocks of `total` hit none of `damaged`.
///
/// One factor for each of the fewer ones, so each figure is right to some 1e-9 of itself. The product falls
/// below the smallest number after at most `sqrt(750 * total)` factors, which is a million for the largest
/// disk.
pub(super) fn miss_probability(total: u64, damaged: u64, drawn: u64) -> f64 {
    let (fewer, more) = (damaged.min(drawn), damaged.max(drawn));
    if more > total.saturating_sub(fewer) {
        return 0.0;
    }
    let mut probability = 1.0;
    for taken in 0..fewer {
        probability *= (total - more - taken) as f64 / (total - taken) as f64;
        // The smallest numbers of all round back to themselves.
        if probability < f64::MIN_POSITIVE {
            return 0.0;
        }
    }
    probability
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use proptest::prelude::*;

    use super::*;

    fn sample(damaged_share: f64, may_miss: f64) -> Coverage {
        Coverage::Sample { damaged_share, may_miss, seed: 1 }
    }

    /// How many blocks are compared.
    fn drawn(coverage: Coverage, total: u64) -> u64 {
        coverage.draw(total).picks.map_or(total, |picks| picks.wanted)
    }

    fn blocks(total: u64, wanted: u64, seed: u64) -> Vec<u64> {
        Picks { rng: Rng::with_seed(seed), blocks_left: total, wanted }.among(0..total)
    }

    #[test]
    fn a_sample_is_as_large_as_its_promise_needs() {
        assert_eq!(drawn(sample(0.01, 0.001), 1_000_000), 688);
        assert_eq!(drawn(Coverage::Full, 50), 50);
    }

    #[test]
    fn a_sample_of_more_than_half_is_everything() {
        assert_eq!(drawn(sample(0.01, 0.001), 1375), 1375);
        assert_eq!(drawn(sample(0.01, 0.001), 1376), 688);
        assert_eq!(drawn(sample(0.0, 0.5), 50), 50);
        assert_eq!(drawn(sample(f64::NAN, 0.5), 50), 50);
        assert_eq!(drawn(sample(0.5, f64::NAN), 50), 50);
    }

    #[test]
    fn a_promise_that_is_none_still_looks_at_a_block() {
        assert_eq!(drawn(sample(1.0, 1.0), 1 << 31), 1);
    }

    /// All ways to draw, counted.
    fn by_counting(total: u32, damaged: u32, drawn: u32) -> f64 {
        let ways = (0..1u32 << total).filter(|way| way.count_ones() == drawn);
        let (misses, all) = ways
            .fold((0u32, 0u32), |(misses, all), way| (misses + u32::from(way & ((1 << damaged) - 1) == 0), all + 1));
        f64::from(misses) / f64::from(all)
    }

    proptest! {
        #[test]
        fn the_probability_is_the_share_of_all_samples_that_miss(
            (total, damaged, drawn) in (1..12u32).prop_flat_map(|total| (Just(total), 0..=total, 0..=total)),
        ) {
            let stated = miss_probability(total.into(), damaged.into(), drawn.into());
            prop_assert!((stated - by_counting(total, damaged, drawn)).abs() < 1e-12, "{stated}");
        }

        #[test]
        fn the_probability_never_exceeds_the_bound(total in 1..1u64 << 31, share in 0.0..1.0f64, drawn in 0..5000u64) {
            let damaged = (share * total as f64).ceil() as u64;
            let stated = miss_probability(total, damaged, drawn.min(total));
            let bound = (1.0 - share).powf(drawn.min(total) as f64);
            prop_assert!((0.0..=1.0).contains(&stated));
            prop_assert!(stated <= bound * (1.0 + 1e-9) + f64::MIN_POSITIVE, "{stated} {bound}");
        }

        #[test]
        fn a_sample_has_as_many_different_blocks_as_it_wants(
            (total, wanted) in (1..5000u64).prop_flat_map(|total| (Just(total), 1..=total)),
            seed: u64,
        ) {
            let picked = blocks(total, wanted, seed);
            prop_assert_eq!(picked.len() as u64, wanted);
            prop_assert!(picked.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(picked.iter().all(|block| *block < total));
            prop_assert_eq!(blocks(total, wanted, seed), picked, "the seed decides");
        }
    }

    /// Half the disk damaged, half of it drawn: some 1e-300000000, which is no number.
    #[test]
    fn the_largest_disk_takes_no_time() {
        let total = 1 << 31;
        assert!(miss_probability(total, total / 2, total / 2) < f64::MIN_POSITIVE);
        assert!(miss_probability(total, total / 100, total / 100) < f64::MIN_POSITIVE);
        // C(N - 1, n) / C(N, n) = 1 - n/N.
        assert!((miss_probability(total, 1, total / 4) - 0.75).abs() < 1e-15);
        let small = miss_probability(total, 1_000_000, 1_000_000);
        assert!((small.ln() + 1e12 / total as f64).abs() < 0.4, "{small:e}");
    }

    /// 20 000 samples of 60 blocks of 1000, of which 20 are damaged: the share that misses all of them is the
    /// stated probability, within four standard deviations.
    #[test]
    fn samples_miss_damage_as_often_as_is_stated() {
        let (total, drawn, damaged, samples) = (1000, 60, 20, 20_000);
        let mut place = Rng::with_seed(7);
        let misses = (0..samples)
            .filter(|seed| {
                let hit: Vec<u64> = place.choose_multiple(0..total, damaged as usize);
                !blocks(total, drawn, *seed).iter().any(|block| hit.contains(block))
            })
            .count();
        let stated = miss_probability(total, damaged, drawn);
        let deviation = (stated * (1.0 - stated) / samples as f64).sqrt();
        let found = misses as f64 / samples as f64;
        println!("missed {found:.4} of {samples} samples, stated {stated:.4}");
        assert!((found - stated).abs() < 4.0 * deviation, "{found} {stated} {deviation}");
    }
}
