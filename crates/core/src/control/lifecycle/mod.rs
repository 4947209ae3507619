//! The lifecycle of a migration: one state machine for all three kinds, and what it is on the wire.
//!
//! ```text
//! state.rs     the phase, and the test migration beside it
//! verb.rs      what can be asked for
//! guard.rs     the table of guards: which verb is allowed where, why, and who says so
//! motion.rs    the table of motions: what a verb begins and what its answers lead to
//! wire/        which operation each verb is, which state each word of the service is
//! decide.rs    the service's word over the table's
//! refusal.rs, check.rs   why not; what else somebody should look at
//! export.rs    all of it as JSON, as a picture, as a page of the guide
//! source.rs    the documents, and how sure a row is
//! ```
//!
//! The tables are data: check, export and picture are made of the same rows, so that they cannot differ. Each row
//! names its source; what no source says is marked as a guess, with what is guessed.
//!
//! Two things never happen here: a state that is not understood is never taken for one that is (it is
//! [`Phase::Unknown`], with the service's word in it), and a difference between table and service is never
//! passed over.
//!
//! ```
//! use libmigrate::control::Scenario;
//! use libmigrate::control::lifecycle::{self, Event, PhaseKind, State, Verb};
//!
//! let scenario = Scenario::HyperV;
//! let mut state = State::not_enabled();
//! let day = [
//!     Event::Accepted(Verb::Enable),
//!     Event::Succeeded(Verb::Enable),
//!     Event::InitialReplicationDone,
//!     Event::Accepted(Verb::TestMigrate),
//!     Event::Succeeded(Verb::TestMigrate),
//! ];
//! for event in &day {
//!     state = lifecycle::after(scenario, &state, event);
//! }
//! assert_eq!(state.phase().kind(), PhaseKind::Replicating);
//!
//! // A second test waits until the first one is cleaned up, and Hyper-V has no pause.
//! assert!(lifecycle::allowed(&state, Verb::CleanUpTest, scenario).is_ok());
//! let again = lifecycle::allowed(&state, Verb::TestMigrate, scenario).unwrap_err();
//! assert!(again.to_string().starts_with("test_migrate is not allowed while the test migration is succeeded"));
//! assert!(lifecycle::allowed(&state, Verb::Pause, scenario).is_err());
//! ```

mod check;
mod decide;
mod export;
mod guard;
mod motion;
mod refusal;
mod source;
mod state;
mod verb;
pub mod wire;

#[cfg(test)]
mod tests;

pub use self::decide::{Decision, decide, decide_with};
pub use self::export::{to_json, to_markdown, to_mermaid};
pub use self::guard::{GUARDS, Guard, allowed, allowed_with, shuts_down_by_default};
pub use self::motion::{Event, MOTIONS, Motion, Step, after, motion};
pub use self::refusal::Refusal;
pub use self::source::Certainty;
pub use self::state::{Incoherent, OutOfRange, Outcome, Percent, Phase, PhaseKind, State, Test, TestKind};
pub use self::verb::{Choice, Verb};
use crate::finding::Check;

/// What the codes of the lifecycle's findings are: each with its severity, remedy and rule.
pub fn catalogue() -> impl Iterator<Item = &'static Check> {
    check::ALL.iter().copied()
}
