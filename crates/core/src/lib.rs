//! libmigrate copies a server's disks into Azure page blobs as fixed VHDs, sends only what changed from then
//! on, survives being killed at any moment, refuses a second writer, and proves that source and replica are
//! equal.
//!
//! An [`Engine`] opens a [`Replica`] at a target ([`target::azure`] or [`target::local`]), which replicates a
//! [`DiskSource`] in cycles. Each sealed cycle is a [`RecoveryPoint`]; nothing before counts.
//!
//! ```
//! use std::sync::Arc;
//! use libmigrate::source::{self, Format};
//! use libmigrate::target::local::LocalTarget;
//! use libmigrate::{CancellationToken, CycleRequest, DiskDescription, Engine, EngineOptions};
//!
//! # async fn run(folder: &std::path::Path) -> Result<(), libmigrate::Error> {
//! let source = source::open(folder.join("web01.raw"), Format::Detect)?;
//! let target = Arc::new(LocalTarget::new(folder.join("web01.vhd"))?);
//! let engine = Engine::new(EngineOptions { state_dir: Some(folder.join("state")), ..Default::default() })?;
//! let cancel = CancellationToken::new();
//!
//! let replica = engine.open(target, DiskDescription::of(&*source), &cancel).await?;
//! let point = replica.replicate(source, CycleRequest::default(), &cancel).await?;
//! println!("cycle {}: {} bytes read, {} sent", point.cycle, point.counts.read, point.counts.sent);
//! replica.close().await
//! # }
//! # let folder = tempfile::tempdir().unwrap();
//! # std::fs::write(folder.path().join("web01.raw"), vec![7; 100_000]).unwrap();
//! # tokio::runtime::Runtime::new().unwrap().block_on(run(folder.path())).unwrap();
//! ```
//!
//! The library is async on tokio and never makes a runtime. Every async call takes or inherits a
//! [`CancellationToken`] and returns within a second of its cancellation. Errors have stable codes
//! ([`Error::code`]); events have one schema ([`progress::Event`]).

mod azure_answer;
mod byte_order;
pub(crate) mod checkpoint;
pub mod control;
pub mod digest;
pub mod error;
pub mod extent;
pub mod finding;
pub mod preflight;
mod private_folder;
pub mod private_link;
pub mod progress;
mod replicate;
mod retry_policy;
pub mod schedule;
pub mod secret;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod size;
pub mod source;
pub mod target;
mod vhd_footer;

pub use checkpoint::CheckpointError;
pub use digest::diff::RequestCost;
pub use private_folder::Exposure;
pub use replicate::{
    Against, Concurrency, Consistency, Coverage, Cycle, CycleRequest, DiskDescription, Engine, EngineOptions, Error,
    ForcedTakeOver, Garbage, KeepRule, Mismatch, PushedDisk, RecoveryPoint, Replica, ReplicateError, RequestedKind,
    Subject, Throttle, VerifyReport,
};
pub use retry_policy::RetryPolicy;
pub use source::DiskSource;
pub use target::PageTarget;
pub use tokio_util::sync::CancellationToken;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ReadmeExamples;
