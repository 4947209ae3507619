//! Cutover without the service: sealed replicas of our own become a machine in Azure.
//!
//! ```text
//! replica.rs   a sealed replica, as plain data
//! settings.rs  what must be told besides the settings of the migration
//! plan.rs      the machine: its names, disks and interfaces
//! tag.rs       the tags by which a cutover knows what it made
//! body.rs      the bodies of machine, disks and interfaces
//! step.rs      the requests, in their order
//! compare.rs   whether what is there is what is wanted
//! record.rs, record_file.rs   what is kept, so that a killed cutover goes on; and a file that keeps it
//! run.rs       the way up: makes what is missing
//! undo.rs      the ways down: clean up, roll back, complete
//! ```
//!
//! Four things hold, whatever happens:
//!
//! - **Nothing is made twice.** Names follow from the settings; everything is read before it is made; what this
//!   cutover made carries its tag.
//! - **Nothing of others is touched.** What has a name that is needed and not the tag ends the run; what is not in the
//!   record as well as tagged is not deleted. Disks and interfaces are detached from a machine that is deleted.
//! - **A disk that a machine has written to is never taken for a recovery point.** Disks name theirs, and a roll back
//!   marks them.
//! - **A test machine is in the network for tests and in no other.**
//!
//! That Azure imports the snapshot of a page blob, and not only a blob, is not in its documents; where it refuses,
//! leave the snapshot out while nothing is replicated, or upload.
//!
//! Source: Azure REST API specification, Compute, `disk.json` (2023-10-02) and `virtualMachine.json` (2024-03-01),
//! Network, `networkInterface.json` (2024-01-01).

mod body;
mod compare;
mod error;
mod plan;
mod record;
mod record_file;
mod replica;
mod run;
mod settings;
mod step;
mod tag;
#[cfg(test)]
mod tests;
mod undo;

pub use self::error::CutoverError;
pub use self::plan::{CutoverId, DiskPlan, LEAST_UPLOAD_BYTES, MachinePlan, NicPlan, TEST_SUFFIX};
pub use self::record::{Ledger, Record};
pub use self::record_file::RecordFile;
pub use self::replica::{FOOTER_BYTES, Replica, ReplicaDescription, Seal};
pub use self::run::{Cutover, Outcome, PageCopier};
pub use self::settings::{CutoverSettings, Filling, GuestSystem, LinuxVendor, Purpose};
pub use self::step::{Action, Step, steps};
pub use self::tag::{TAG_CUTOVER, TAG_POINT, TAG_PREFIX, TAG_PURPOSE, TAG_USED};
pub use self::undo::{Completed, Left, Leftover};

#[cfg(doctest)]
#[doc = include_str!("../../../../../docs/how-to/cutover-without-the-service.md")]
struct GuideExamples;
