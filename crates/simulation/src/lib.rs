//! The engine in a simulated world: one seed gives faults, crashes and take-overs, and what must hold is checked.
//!
//! The engine is the real one. Simulated is what surrounds it: the clock (tokio's, paused), the network and the
//! service (`faults`, `service`), the machines and their disks (`disk`, `world`), the server's disk
//! (`source`). Everything runs on one thread and every choice comes from one generator, so a seed is a whole
//! history and can be replayed. `docs/simulation.md` says what is modelled and what is checked.

mod disk;
mod every_crash;
mod faults;
mod planted;
mod report;
mod run;
mod scenario;
mod service;
mod source;
mod target;
mod truth;
mod world;

pub use every_crash::{Chapter, die_at_every_step};
pub use planted::Planted;
pub use report::Report;
pub use run::{Outcome, Replay, run_seed};
