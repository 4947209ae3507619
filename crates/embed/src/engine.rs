//! An engine and the threads that it runs on.

use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libmigrate::{CancellationToken, DiskDescription};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::events::Events;
use crate::failure::{CallError, Failure};
use crate::job::Job;
use crate::replica::Replica;
use crate::settings::{self, EngineSettings, SourceSettings};
use crate::source::{self, Source};
use crate::target::Target;

/// An engine with threads of its own. Clones are the same engine; it is closed by [`close`](Self::close), or when
/// the last clone and everything that was opened with it is dropped.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    engine: libmigrate::Engine,
    runtime: Mutex<Option<Runtime>>,
    handle: Handle,
    closing: CancellationToken,
    opened_in: u32,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine with `settings`: a JSON object, of which every field may be left out.
    ///
    /// | field | meaning | if left out |
    /// |---|---|---|
    /// | `state_dir` | folder for checkpoints | none are kept; an interrupted cycle is rebuilt from the target |
    /// | `memory_limit` | hard limit on all buffers, bytes | 256 MiB |
    /// | `requests_in_flight`, `requests_in_flight_in_all` | the most per replica, the most over all | 16, 64 |
    /// | `concurrency` | `adaptive` or `fixed` | `adaptive` |
    /// | `readers` | threads that read and hash, per cycle | one a processor, at most 4 |
    /// | `run_bytes` | longest read and put: a power of two from 64 KiB to 4 MiB | 1 MiB |
    /// | `block_size` | unit of diffing of new replicas: a power of two from 4 KiB to 1 MiB | by disk size |
    /// | `bytes_per_second` | limit on what is sent, over all replicas | none |
    /// | `schedule` | times at which another limit holds, as the guide's page on limits has it | none |
    /// | `bridge_gaps` | send small gaps of unchanged data along where that saves requests | false |
    /// | `retry` | `{"first_wait_ms", "longest_wait_ms", "budget_seconds"}` | 200, 20000, 300 |
    /// | `lease_seconds` | term of the lease, 15 to 60 | 60 |
    /// | `threads` | threads for everything but reading and hashing, 1 to 64 | 2 |
    pub fn open(settings: &str) -> Result<Self, Failure> {
        let settings: EngineSettings = settings::parse("engine", settings)?;
        let threads = settings.threads()?;
        let engine = libmigrate::Engine::new(settings.options()?)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("libmigrate")
            .enable_all()
            .build()
            .map_err(|e| CallError::Threads { problem: e.to_string() })?;
        let inner = Inner {
            engine,
            handle: runtime.handle().clone(),
            runtime: Mutex::new(Some(runtime)),
            closing: CancellationToken::new(),
            opened_in: std::process::id(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens a disk: a JSON object with one of
    ///
    /// - `path`: an image file or a device; with `format` (`raw`, `vhd`, `vhdx`, `vmdk`, `ova`, `qcow2`; left out: by
    ///   content), `allow` (paths that the image may name besides its own folder), `member` (which disk of an OVA),
    ///   `snapshot` and `bitmap` (of a qcow2 image);
    /// - `nbd`: a URI; with `ca_file` (demands TLS), `bitmap`, `identity`, `max_read_bytes`;
    ///
    /// and, for both, `frozen_as` (the name of its moment, if it does not change) or `may_change` (it may).
    pub fn open_source(&self, settings: &str) -> Result<Job<Source>, Failure> {
        let settings = SourceSettings::parse(settings)?;
        self.start(&self.cancel()?, move |_| source::open(settings))
    }

    /// Opens the replica at `target`, or makes it for the disk `source`. When another writer holds it, this waits
    /// for the term of its lease and a little more, then fails with `target.lease_held`.
    pub fn open_replica(&self, target: &Target, source: &Source) -> Result<Job<Replica>, Failure> {
        let (this, target) = (self.clone(), target.pages());
        let disk = DiskDescription::of(&**source.disk());
        self.start(&self.cancel()?, |cancel| async move {
            let replica = this.inner.engine.open(target, disk, &cancel).await?;
            Ok(Replica::new(this, replica))
        })
    }

    /// The same, but breaks the lease of another writer instead of waiting for it: for an owner that hangs. No write
    /// of the other can land from then on.
    pub fn take_over(&self, target: &Target, source: &Source) -> Result<Job<Replica>, Failure> {
        let (this, target) = (self.clone(), target.pages());
        let disk = DiskDescription::of(&**source.disk());
        self.start(&self.cancel()?, |cancel| async move {
            let replica = this.inner.engine.take_over(target, disk, &cancel).await?;
            Ok(Replica::new(this, replica))
        })
    }

    /// The events of all replicas of this engine that came after the one numbered `seq` (0: from the oldest that is
    /// kept).
    pub fn events(&self, seq: u64) -> Result<Events, Failure> {
        self.check()?;
        Ok(Events::new(self.inner.engine.events().after(seq), self.clone()))
    }

    /// Checks the network to each target: what its name resolves to, whether that is the private endpoint, whether
    /// a connection opens and who answers. A JSON object: `targets` (each `{"host", "port", "expect": [addresses]}`),
    /// `time_limit_seconds`, `name_servers`, `also_private`, `ca_file`. The report is JSON; what is wrong is a
    /// finding in it.
    pub fn preflight_network(&self, settings: &str) -> Result<Job<String>, Failure> {
        let settings: settings::NetworkSettings = settings::parse("preflight", settings)?;
        let (targets, options) = settings.parts()?;
        self.start(&self.cancel()?, move |cancel| async move {
            Ok(settings::text(&libmigrate::preflight::preflight_network(targets, &options, &cancel).await))
        })
    }

    /// Changes the limit on what is sent, while running; `None` lifts it.
    pub fn set_bytes_per_second(&self, limit: Option<u64>) -> Result<(), Failure> {
        self.check()?;
        self.inner.engine.throttle().set(limit);
        Ok(())
    }

    /// Changes the schedule, while running; `None` is none.
    pub fn set_schedule(&self, schedule: Option<&str>) -> Result<(), Failure> {
        self.check()?;
        let schedule = schedule.map(libmigrate::schedule::Schedule::from_json).transpose()?;
        self.inner.engine.throttle().set_schedule(schedule);
        Ok(())
    }

    /// Cancels everything that is under way and ends the engine's threads. Blocks for at most `limit`; a thread
    /// that hangs longer in a read of a source is left behind. Safe to repeat.
    pub fn close(&self, limit: Duration) -> Result<(), Failure> {
        self.check_process()?;
        if Handle::try_current().is_ok() {
            return Err(CallError::Reentered.into());
        }
        self.inner.closing.cancel();
        // The lock is not held meanwhile: another call has a limit of its own.
        let runtime = self.inner.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_timeout(limit);
        }
        Ok(())
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.inner.closing.is_cancelled()
    }

    /// Starts `work` as a job that ends with `scope` at the latest.
    pub(crate) fn start<T, F>(
        &self,
        scope: &CancellationToken,
        work: impl FnOnce(CancellationToken) -> F,
    ) -> Result<Job<T>, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        self.check()?;
        let cancel = scope.child_token();
        let work = work(cancel.clone());
        let until = cancel.clone();
        let bounded = async move {
            // What does not listen to the token itself is let go of by this.
            let late = async {
                until.cancelled().await;
                tokio::time::sleep(Duration::from_millis(800)).await;
            };
            tokio::select! {
                biased;
                result = work => result,
                () = late => Err(libmigrate::ReplicateError::Cancelled.into()),
            }
        };
        Ok(Job::start(&self.inner.handle, cancel, bounded))
    }

    /// A token that ends with the engine.
    pub(crate) fn cancel(&self) -> Result<CancellationToken, Failure> {
        self.check()?;
        Ok(self.inner.closing.child_token())
    }

    /// Its threads, to enter.
    pub(crate) fn handle(&self) -> &Handle {
        &self.inner.handle
    }

    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.check_process()?;
        if self.is_closed() {
            return Err(CallError::Closed { what: "engine" }.into());
        }
        Ok(())
    }

    fn check_process(&self) -> Result<(), Failure> {
        match self.inner.opened_in {
            here if here == std::process::id() => Ok(()),
            opened_in => Err(CallError::Forked { opened_in }.into()),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.closing.cancel();
        let runtime = self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(runtime) = runtime else { return };
        if self.opened_in == std::process::id() {
            runtime.shutdown_background();
        } else {
            // Its threads are in the other process; whoever waits for them here waits for ever.
            let _ = ManuallyDrop::new(runtime);
        }
    }
}
