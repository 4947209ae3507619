//! One disk's replica.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use libmigrate::{Against, CancellationToken, KeepRule, VerifyReport};
use serde::Serialize;
use tokio::sync::RwLock;

use crate::cycle::Cycle;
use crate::engine::Engine;
use crate::failure::{CallError, Failure};
use crate::job::Job;
use crate::settings::{self, CycleSettings, KeepSettings, VerifySettings, text};
use crate::source::Source;

/// The replica of one disk, open for writing by this engine alone. Clones are the same replica; when the last is
/// dropped without [`close`](Self::close), the lease runs out by itself.
#[derive(Clone)]
pub struct Replica {
    engine: Engine,
    location: Arc<str>,
    /// None once it is closed.
    open: Arc<RwLock<Option<Arc<libmigrate::Replica>>>>,
    /// Ends what is under way at this replica.
    closing: CancellationToken,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("location", &self.location).finish_non_exhaustive()
    }
}

/// A report with its verdict.
#[derive(Serialize)]
struct Verified {
    equal: bool,
    #[serde(flatten)]
    report: VerifyReport,
}

impl Replica {
    pub(crate) fn new(engine: Engine, replica: libmigrate::Replica) -> Self {
        let closing = engine.cancel().unwrap_or_default();
        let location = replica.location().into();
        Self { engine, location, open: Arc::new(RwLock::new(Some(Arc::new(replica)))), closing }
    }

    /// Where it is, without secrets.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Its size in bytes: the source's, rounded up to whole MiB.
    pub fn disk_bytes(&self) -> Result<Job<u64>, Failure> {
        self.start(|replica, _| async move { Ok(replica.disk_bytes().await) })
    }

    /// Brings the replica in step with `source` and seals a recovery point, whose JSON is the result. Safe to
    /// repeat: an interrupted cycle goes on, a sealed one is followed by a delta.
    ///
    /// `settings` is a JSON object: `kind` (`delta`, `final` or `resync`; left out: `delta`, which the first time
    /// is everything), `changes`, `change_id`, and `moving` (the source may change while it is read). `changes` is
    /// `{"base", "end", "extents": [{"offset", "len"}]}` with, optionally, `covered_to` or `reset`; or
    /// `{"format": "vmware" | "hyper_v" | "qemu_bitmap" | "csv", "base", "end", "text"}`; or, of a source that was
    /// opened with a bitmap, `{"format": "bitmap", "base", "end"}`.
    pub fn replicate(&self, source: &Source, settings: &str) -> Result<Job<String>, Failure> {
        let request = settings::parse::<CycleSettings>("cycle", settings)?.request(source)?;
        let disk = Arc::clone(source.disk());
        self.start(|replica, cancel| async move { Ok(text(&replica.replicate(disk, request, &cancel).await?)) })
    }

    /// Begins a cycle, or goes on with the interrupted one at the same moment of the source; the settings are those
    /// of [`replicate`](Self::replicate).
    pub fn begin(&self, source: &Source, settings: &str) -> Result<Job<Cycle>, Failure> {
        let request = settings::parse::<CycleSettings>("cycle", settings)?.request(source)?;
        let (disk, engine) = (Arc::clone(source.disk()), self.engine.clone());
        // The cycle lives on when the job that began it is dropped.
        let scope = self.closing.child_token();
        let within = scope.clone();
        self.start(|replica, cancel| async move {
            let stops = async {
                cancel.cancelled().await;
                within.cancel();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                cycle = replica.begin(disk, request, &within) => Ok(Cycle::new(engine, cycle?, scope)),
                () = stops => unreachable!("it only passes the order to stop on"),
            }
        })
    }

    /// Compares the replica with `source`, or without one with its own sealed digest map; the result is the
    /// report's JSON, with `equal`. A difference is no error.
    ///
    /// `settings` is a JSON object: `subject` (`"newest"`, `{"cycle": n}` or `"live"`; left out: newest) and
    /// `sample` (`{"damaged_share", "may_miss", "seed"}`; left out: everything is compared).
    pub fn verify(&self, source: Option<&Source>, settings: &str) -> Result<Job<String>, Failure> {
        let settings: VerifySettings = settings::parse("verify", settings)?;
        let against = source.map_or(Against::SealedMap, |source| Against::Source(Arc::clone(source.disk())));
        self.start(|replica, cancel| async move {
            let report = replica.verify(settings.subject, against, settings.coverage(), &cancel).await?;
            Ok(text(&Verified { equal: report.is_equal(), report }))
        })
    }

    /// All recovery points, oldest first, as a JSON list.
    pub fn recovery_points(&self) -> Result<Job<String>, Failure> {
        self.start(|replica, cancel| async move { Ok(text(&replica.recovery_points(&cancel).await?)) })
    }

    /// Every cycle that was sealed here, oldest first, as a JSON list: also of recovery points that are deleted.
    pub fn history(&self) -> Result<Job<String>, Failure> {
        self.start(|replica, cancel| async move { Ok(text(&replica.history(&cancel).await?)) })
    }

    /// Deletes the recovery points that a rule does not keep (a JSON object: `newest`, how many, and
    /// `younger_than_seconds`), then the garbage. The result is a JSON list of the cycles deleted.
    pub fn prune(&self, rule: &str) -> Result<Job<String>, Failure> {
        let rule: KeepRule = settings::parse::<KeepSettings>("keep", rule)?.into();
        self.start(move |replica, cancel| async move { Ok(text(&replica.prune(rule, &cancel).await?)) })
    }

    /// Takes the replica back to the recovery point of `cycle`, which becomes a new one: its JSON.
    pub fn roll_back(&self, cycle: u32) -> Result<Job<String>, Failure> {
        self.start(move |replica, cancel| async move { Ok(text(&replica.roll_back(cycle, &cancel).await?)) })
    }

    /// Writes the proof of a recovery point to a file, whole or not at all; the settings are those of
    /// [`verify`](Self::verify), the result the recovery point's JSON.
    pub fn export_proof(&self, path: PathBuf, settings: &str) -> Result<Job<String>, Failure> {
        let settings: VerifySettings = settings::parse("proof", settings)?;
        self.start(move |replica, cancel| async move {
            Ok(text(&replica.export_proof(settings.subject, &path, &cancel).await?))
        })
    }

    /// Lists what lies at the target and nothing needs any more, as a JSON list, and deletes nothing.
    pub fn garbage(&self) -> Result<Job<String>, Failure> {
        self.start(|replica, cancel| async move { Ok(text(&replica.garbage(&cancel).await?)) })
    }

    /// Deletes what [`garbage`](Self::garbage) lists, and lists it.
    pub fn collect_garbage(&self) -> Result<Job<String>, Failure> {
        self.start(|replica, cancel| async move { Ok(text(&replica.collect_garbage(&cancel).await?)) })
    }

    /// Cancels what is under way at this replica, and gives the lease up. What was settled stays; an open cycle is
    /// not sealed. Safe to repeat.
    pub fn close(&self) -> Result<Job<()>, Failure> {
        self.closing.cancel();
        let open = Arc::clone(&self.open);
        self.engine.start(&self.engine.cancel()?, |_| async move {
            // Whoever still uses it was told to stop, and is gone within a second.
            let Some(replica) = open.write().await.take() else { return Ok(()) };
            match Arc::try_unwrap(replica) {
                Ok(replica) => Ok(replica.close().await?),
                Err(_) => unreachable!("each user holds the lock"),
            }
        })
    }

    fn start<T, F>(
        &self,
        work: impl FnOnce(Arc<libmigrate::Replica>, CancellationToken) -> F + Send + 'static,
    ) -> Result<Job<T>, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        self.engine.check()?;
        if self.closing.is_cancelled() {
            return Err(CallError::Closed { what: "replica" }.into());
        }
        let open = Arc::clone(&self.open);
        self.engine.start(&self.closing, |cancel| async move {
            let open = open.read().await;
            let replica = open.as_ref().map(Arc::clone).ok_or(CallError::Closed { what: "replica" })?;
            work(replica, cancel).await
        })
    }
}
