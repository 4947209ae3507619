//! A small story in which a process dies at each of its steps in turn.

use std::sync::Arc;
use std::time::Duration;

use libmigrate::RequestedKind;

use crate::disk::Crash;
use crate::planted::Planted;
use crate::run::{Outcome, Replay, play};
use crate::scenario::{End, Entry, Errand, Feed, Life, List, Scenario};

/// Plays the story once for every step of the process that may die, and for both ways of dying: a first cycle
/// ([`Chapter::First`]), a life of deltas, a roll-back and a deletion, or two growths. Nothing else goes wrong.
pub fn die_at_every_step(seed: u64, chapter: Chapter) -> Vec<Outcome> {
    let steps = Arc::new(std::sync::Mutex::new(0));
    let counted = Arc::clone(&steps);
    let whole = play(seed, Planted::None, Replay::Silent, |scenario| async move {
        let process = tell(&scenario, chapter, None).await;
        *counted.lock().expect("nobody panics") = scenario.world.steps_of(process);
    });
    let steps = *steps.lock().expect("nobody panics");
    let deaths = (1..=steps).flat_map(|step| [(step, Crash::Kill), (step, Crash::PowerLoss)]);
    let died = deaths.map(|death| {
        play(seed, Planted::None, Replay::Silent, move |scenario| async move {
            tell(&scenario, chapter, Some(death)).await;
        })
    });
    std::iter::once(whole).chain(died).collect()
}

/// What the process that may die is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chapter {
    /// The first cycle, from nothing.
    First,
    /// Deltas, a roll-back and a deletion.
    Later,
    /// The disk grows, a cycle is cancelled, and the disk grows again.
    Growth,
}

/// Tells the story; the process that may die.
async fn tell(scenario: &Scenario, chapter: Chapter, dies_at: Option<(u64, Crash)>) -> usize {
    scenario.world.calm();
    let copy = |list, feed| Errand::Replicate { kind: RequestedKind::Delta, list, feed, cancelled_after: None };
    let life =
        |dies_at, errands| Life { machine: 0, dies_at, cut_off: None, errands, closes: true, entry: Entry::WhenFree };
    let errands = match chapter {
        Chapter::First => vec![copy(List::None, Feed::Pull)],
        Chapter::Growth => {
            let first = life(None, vec![copy(List::None, Feed::Pull)]);
            assert!(matches!(scenario.live(first).await, End::Finished(Ok(()))), "nothing goes wrong yet");
            let cancelled_after = Some(Duration::from_millis(60));
            let cut_short =
                Errand::Replicate { kind: RequestedKind::Delta, list: List::None, feed: Feed::Push, cancelled_after };
            vec![Errand::Grow, cut_short, Errand::Grow, copy(List::None, Feed::Pull)]
        }
        Chapter::Later => {
            let first = life(None, vec![copy(List::None, Feed::Pull), Errand::PassTime, copy(List::None, Feed::Pull)]);
            assert!(matches!(scenario.live(first).await, End::Finished(Ok(()))), "nothing goes wrong yet");
            vec![
                Errand::PassTime,
                copy(List::Honest, Feed::Push),
                Errand::RollBack,
                Errand::Grow,
                copy(List::None, Feed::Pull),
                Errand::Prune { keep: 1 },
            ]
        }
    };
    let process = scenario.world.processes();
    scenario.live(life(dies_at, errands)).await;
    scenario.finish().await;
    process
}
