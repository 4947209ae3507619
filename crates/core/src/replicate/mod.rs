//! The engine: replicas, cycles, and what keeps them safe.
//!
//! | file | idea |
//! | --- | --- |
//! | `engine` | options and what all replicas of a process share |
//! | `replica` | one disk's replica: open = leased, recovered, fenced |
//! | `opening` | how it comes to be that |
//! | `lease_keeper` | renews the lease, stops writing before it runs out |
//! | `rebuild` | the digest map made anew from the target |
//! | `cycle` | one pass: plan, pull or push, seal |
//! | `plan` | which blocks to read, which holes to clear |
//! | `pipeline` | doubt → write → settle; all concurrency is decided there |
//! | `seal` | footer, digest tree, snapshot: the recovery point |
//! | `recovery_point` | list, keep rule, deletion |
//! | `history` | a record of every sealed cycle, beside the replica |
//! | `garbage` | what nothing at the target needs any more |
//! | `verify`, `coverage` | proof that the target or a recovery point is what it says; samples of it |
//! | `proof` | a recovery point's digest tree as one file, for others to check |
//! | `roll_back` | the target taken back to a recovery point, as a cycle of its own |
//! | `lane` | what stands between a request that is ready and one that is sent |
//! | `throttle`, `congestion` | bytes per second and the schedule; how many requests are worth having under way |
//! | `retry`, `buffer_pool` | the one retry loop, the memory cap |

mod buffer_pool;
mod congestion;
mod coverage;
mod cycle;
mod engine;
mod error;
mod garbage;
mod growth;
mod history;
mod lane;
mod lease_keeper;
mod listed;
mod opening;
mod pipeline;
mod plan;
mod proof;
mod reader;
mod rebuild;
mod recovery_point;
mod replica;
mod retry;
mod roll_back;
mod seal;
mod target_reader;
mod target_record;
mod thread;
mod throttle;
mod verify;

pub use coverage::Coverage;
pub use cycle::{Consistency, Cycle, CycleRequest, PushedDisk, RequestedKind};
pub use engine::{Concurrency, DiskDescription, Engine, EngineOptions};
pub use error::{Error, ReplicateError};
pub use garbage::Garbage;
pub use recovery_point::KeepRule;
pub use replica::Replica;
pub use target_record::{ForcedTakeOver, RecoveryPoint};
pub use throttle::Throttle;
pub use verify::{Against, Mismatch, Subject, VerifyReport};
