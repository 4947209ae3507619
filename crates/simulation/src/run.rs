//! One seed from beginning to end.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libmigrate::simulation;

use crate::planted::Planted;
use crate::report::Report;
use crate::scenario::Scenario;
use crate::world::{Lent, World};

/// Longer than any history lasts, in simulated time: a world that is not done by then hangs.
const LONGEST: Duration = Duration::from_secs(48 * 3600);

/// Panics of this process since it began, with where they happened; also those that tokio caught.
static PANICS: Mutex<Vec<(std::thread::ThreadId, String)>> = Mutex::new(Vec::new());

/// Whether the steps are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Hash only.
    Silent,
    /// As text, too.
    Traced,
}

/// What a seed came to.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Hash of all steps: equal for equal seeds.
    pub trace: blake3::Hash,
    /// The steps as text.
    pub text: Option<String>,
    /// The figures.
    pub report: Report,
    /// What did not hold.
    pub violations: Vec<String>,
}

/// Plays the world of `seed`.
pub fn run_seed(seed: u64, planted: Planted, replay: Replay) -> Outcome {
    play(seed, planted, replay, |scenario| async move { scenario.play().await })
}

/// Plays `story` in the world of `seed`.
pub(crate) fn play<F>(seed: u64, planted: Planted, replay: Replay, story: impl FnOnce(Arc<Scenario>) -> F) -> Outcome
where
    F: Future<Output = ()>,
{
    note_panics();
    // The engine's own draws: waits between retries, samples.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs no more than memory");
    let world = runtime.block_on(async { World::new(seed, planted, replay == Replay::Traced) });
    let entered = simulation::enter(Rc::new(Lent(Arc::clone(&world))));
    let played = std::panic::catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let scenario = Arc::new(Scenario::new(Arc::clone(&world)));
            tokio::time::timeout(LONGEST, story(scenario)).await
        })
    }));
    if let Ok(Err(_)) = played {
        runtime.block_on(async {
            world.violation(format!("not done after {} simulated hours", LONGEST.as_secs() / 3600));
        });
    }
    drop(entered);
    let (trace, text, mut report, mut violations) = runtime.block_on(async { world.end() });
    drop(runtime);
    violations.extend(panics_of_this_thread());
    report.seeds = 1;
    report.wrong = u64::from(!violations.is_empty());
    Outcome { seed, trace, text, report, violations }
}

fn note_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let panic = format!("a panic: {info}");
            PANICS.lock().unwrap_or_else(PoisonError::into_inner).push((std::thread::current().id(), panic));
            before(info);
        }));
    });
}

fn panics_of_this_thread() -> Vec<String> {
    let this = std::thread::current().id();
    let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
    let (mine, others) = std::mem::take(&mut *panics).into_iter().partition(|(thread, _)| *thread == this);
    *panics = others;
    let mine: Vec<(_, String)> = mine;
    mine.into_iter().map(|(_, panic)| panic).collect()
}
