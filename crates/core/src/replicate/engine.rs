//! What all replicas of a process share: options, memory, limits, events.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::buffer_pool::BufferPool;
use super::error::{Error, ReplicateError};
use super::lane::Traffic;
use super::opening::{self, Entry};
use super::replica::Replica;
use super::retry::Retry;
use super::throttle::Throttle;
use crate::digest::diff::RequestCost;
use crate::progress::EventLog;
use crate::retry_policy::RetryPolicy;
use crate::schedule::Schedule;
use crate::size::{BlockSize, MIB};
use crate::source::DiskSource;
use crate::target::{Capabilities, PageTarget};

/// Options of an [`Engine`]. The defaults suit a fast link to one storage account.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Where checkpoints are kept. `None`: in memory, so a restart rebuilds them from the target.
    pub state_dir: Option<PathBuf>,
    /// Hard limit on all buffers, in bytes; at least four times `run_bytes`.
    pub memory_limit: u64,
    /// The most requests to a target that may be under way at once, per replica.
    pub requests_in_flight: usize,
    /// The most over all replicas, which take turns. At least 1.
    pub requests_in_flight_in_all: usize,
    /// Whether fewer are under way when the service shows that it cannot keep up.
    pub concurrency: Concurrency,
    /// Threads that read and hash, per cycle.
    pub readers: usize,
    /// The longest stretch that is read and put in one piece: a power of two from 64 KiB to 4 MiB. 1 MiB
    /// stays in the processor's cache and is still few requests.
    pub run_bytes: u64,
    /// What a request costs against a byte, which decides whether small gaps of unchanged data are sent
    /// along.
    pub request_cost: RequestCost,
    /// Unit of diffing of replicas that this engine creates. `None`: by disk size
    /// ([`BlockSize::for_disk`]).
    pub block_size: Option<BlockSize>,
    /// Limit on what is sent, in bytes per second, over all replicas; what is read back from a target does
    /// not count. Can be changed while running ([`Throttle::set`]).
    pub bytes_per_second: Option<u64>,
    /// Times at which another limit holds, or nothing but a final cycle may send. Can be changed while running
    /// ([`Throttle::set_schedule`]).
    pub schedule: Option<Schedule>,
    /// How failed requests are tried again.
    pub retry: RetryPolicy,
    /// Term of the lease: 15 to 60 seconds.
    pub lease_term: Duration,
}

/// Whether the number of requests in flight follows what the service can take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Concurrency {
    /// Between one and [`EngineOptions::requests_in_flight`], per replica: one more while the service keeps
    /// up, half when it refuses or does not answer in time, fewer when requests only wait there.
    #[default]
    Adaptive,
    /// Always [`EngineOptions::requests_in_flight`]: to compare with, and for a service whose limits are known.
    Fixed,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            state_dir: None,
            memory_limit: 256 * MIB,
            requests_in_flight: 16,
            requests_in_flight_in_all: 64,
            concurrency: Concurrency::Adaptive,
            readers: std::thread::available_parallelism().map_or(2, |n| n.get().min(4)),
            run_bytes: MIB,
            request_cost: RequestCost::Negligible,
            block_size: None,
            bytes_per_second: None,
            schedule: None,
            retry: RetryPolicy::default(),
            lease_term: Duration::from_secs(60),
        }
    }
}

impl EngineOptions {
    fn check(&self) -> Result<(), ReplicateError> {
        let refuse = |option, value: &dyn std::fmt::Display, reason| {
            Err(ReplicateError::Option { option, value: value.to_string(), reason })
        };
        if !self.run_bytes.is_power_of_two() || !(64 << 10..=4 * MIB).contains(&self.run_bytes) {
            return refuse("run_bytes", &self.run_bytes, "it must be a power of two from 64 KiB to 4 MiB");
        }
        if self.block_size.is_some_and(|block| block.bytes() > self.run_bytes) {
            return refuse("run_bytes", &self.run_bytes, "it must not be smaller than a block");
        }
        if self.memory_limit < 4 * self.run_bytes.max(BlockSize::MAX.bytes()) {
            return refuse("memory_limit", &self.memory_limit, "it must hold at least four runs and four MiB");
        }
        if self.requests_in_flight == 0 || self.requests_in_flight_in_all == 0 || self.readers == 0 {
            return refuse("requests_in_flight, requests_in_flight_in_all and readers", &0, "at least one is needed");
        }
        if !(15..=60).contains(&self.lease_term.as_secs()) {
            return refuse("lease_term", &format_args!("{} s", self.lease_term.as_secs()), "a lease lasts 15 to 60 s");
        }
        Ok(())
    }
}

/// Replicates disks. Cheap to clone; clones share memory, limits, schedule and events. Needs a tokio runtime
/// around every async call; it never makes one.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(super) shared: Arc<EngineShared>,
}

#[derive(Debug)]
pub(super) struct EngineShared {
    pub(super) options: EngineOptions,
    pub(super) pool: BufferPool,
    pub(super) traffic: Arc<Traffic>,
    pub(super) events: Arc<EventLog>,
}

/// What a replica is opened for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskDescription {
    /// Size of the disk in bytes.
    pub size_bytes: u64,
    /// Which disk, where that can be told.
    pub identity: Option<String>,
}

impl DiskDescription {
    /// The description of an open source.
    pub fn of(source: &dyn DiskSource) -> Self {
        Self { size_bytes: source.size_bytes(), identity: source.identity() }
    }
}

impl Engine {
    /// An engine with `options`, which are checked.
    pub fn new(options: EngineOptions) -> Result<Self, Error> {
        options.check()?;
        let pool = BufferPool::new(options.memory_limit as usize, options.run_bytes as usize);
        let events = Arc::default();
        let traffic = Arc::new(Traffic::new(&options, Arc::clone(&events)));
        Ok(Self { shared: Arc::new(EngineShared { options, pool, traffic, events }) })
    }

    /// Opens the replica at `target`, or creates it for `disk`: takes the lease, recovers, fences out every
    /// earlier owner.
    ///
    /// When another writer holds the lease this waits for its term and a little more, then fails with
    /// `target.lease_held`. Cancel-safe; an open that is cancelled leaves at most a lease that runs out.
    pub async fn open(
        &self,
        target: Arc<dyn PageTarget>,
        disk: DiskDescription,
        cancel: &CancellationToken,
    ) -> Result<Replica, Error> {
        opening::open(&self.shared, target, disk, Entry::WhenFree, cancel).await
    }

    /// Opens the replica at `target` as [`open`](Self::open) does, but breaks the lease of another writer
    /// instead of waiting for it: for an owner that hangs, or cannot be reached to be stopped.
    ///
    /// Safe for the data, since no write of the other can land from then on, not even when it was paused and
    /// wakes up; but its cycle is lost to it, and it ends with `target.fenced`. A take-over by force is an event,
    /// and is kept on the target ([`Replica::last_forced_take_over`]). The local target's lease cannot be
    /// broken while its process lives (`target.lease_held`): stop that process.
    pub async fn take_over(
        &self,
        target: Arc<dyn PageTarget>,
        disk: DiskDescription,
        cancel: &CancellationToken,
    ) -> Result<Replica, Error> {
        opening::open(&self.shared, target, disk, Entry::ByForce, cancel).await
    }

    /// The events of all replicas of this engine.
    pub fn events(&self) -> &Arc<EventLog> {
        &self.shared.events
    }

    /// Rate limit and schedule, to be changed while running.
    pub fn throttle(&self) -> &Throttle {
        &self.shared.traffic.throttle
    }
}

impl EngineShared {
    /// Where the checkpoint of the replica at `location` is.
    pub(super) fn checkpoint_path(&self, location: &str) -> Option<PathBuf> {
        let hash = blake3::hash(location.as_bytes()).to_hex();
        let name =
            Path::new(location).file_name()?.to_string_lossy().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let name: String = name.chars().take(60).collect();
        Some(self.options.state_dir.as_ref()?.join(format!("{name}-{}.redb", &hash[..12])))
    }

    /// The length of a run for this target and block size: as the options say, but never less than a block
    /// (a replica keeps the block size that it was made with) and never more than one put.
    pub(super) fn run_bytes(&self, block_size: BlockSize, capabilities: Capabilities) -> u64 {
        self.options.run_bytes.min(capabilities.max_put_bytes).max(block_size.bytes())
    }

    pub(super) fn retry(&self, location: &Arc<str>) -> Retry {
        let (events, replica) = (Arc::clone(&self.events), Arc::clone(location));
        Retry { policy: self.options.retry, events, replica, lane: Arc::new(self.traffic.lane(location)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_cannot_work_are_refused() {
        let refused = |options: EngineOptions| Engine::new(options).err().map(|e| e.code());
        let defaults = EngineOptions::default();
        assert_eq!(refused(defaults.clone()), None);
        assert_eq!(refused(EngineOptions { run_bytes: 3 << 20, ..defaults.clone() }), Some("engine.option"));
        assert_eq!(refused(EngineOptions { memory_limit: MIB, ..defaults.clone() }), Some("engine.option"));
        assert_eq!(refused(EngineOptions { readers: 0, ..defaults.clone() }), Some("engine.option"));
        assert_eq!(refused(EngineOptions { lease_term: Duration::from_secs(5), ..defaults }), Some("engine.option"));
    }

    #[test]
    fn replicas_of_one_name_in_two_places_have_two_checkpoints() {
        let engine =
            Engine::new(EngineOptions { state_dir: Some("/state".into()), ..EngineOptions::default() }).unwrap();
        let [a, b] =
            ["https://one/c/web01.vhd", "https://two/c/web01.vhd"].map(|l| engine.shared.checkpoint_path(l).unwrap());
        assert_ne!(a, b);
        assert!(a.to_string_lossy().starts_with("/state/web01-vhd-"));
    }
}
