//! One pass of replication, whose bytes the embedding language pushes.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use libmigrate::CancellationToken;
use libmigrate::extent::Extent;
use tokio::sync::RwLock;

use crate::engine::Engine;
use crate::failure::{CallError, Failure};
use crate::job::Job;
use crate::settings::text;
use crate::source::Source;

/// A cycle in progress. Clones are the same cycle; when the last is dropped, or by [`stop`](Self::stop), it stops,
/// and the next one at the same moment of the source goes on from what has settled.
#[derive(Clone)]
pub struct Cycle {
    engine: Engine,
    /// None once it is sealed or stopped.
    open: Arc<RwLock<Option<libmigrate::Cycle>>>,
    scope: CancellationToken,
}

impl fmt::Debug for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cycle").finish_non_exhaustive()
    }
}

/// The cycle, or why there is none: it was stopped, or it was sealed.
fn held<'a>(open: Option<&'a libmigrate::Cycle>, scope: &CancellationToken) -> Result<&'a libmigrate::Cycle, Failure> {
    open.ok_or_else(|| gone(scope))
}

fn gone(scope: &CancellationToken) -> Failure {
    if scope.is_cancelled() {
        libmigrate::ReplicateError::Cancelled.into()
    } else {
        CallError::Closed { what: "cycle" }.into()
    }
}

impl Cycle {
    pub(crate) fn new(engine: Engine, cycle: libmigrate::Cycle, scope: CancellationToken) -> Self {
        Self { engine, open: Arc::new(RwLock::new(Some(cycle))), scope }
    }

    /// The next extent to push, in bytes of the source; none when everything was handed out. At most 1 GiB is
    /// handed out ahead of what was pushed.
    pub fn next(&self) -> Result<Job<Option<Extent>>, Failure> {
        let (open, scope) = (Arc::clone(&self.open), self.scope.clone());
        self.start(|_| async move { Ok(held(open.read().await.as_ref(), &scope)?.next_wanted().await?) })
    }

    /// Pushes the bytes of an extent that [`next`](Self::next) gave, in any order; ends when there was room for
    /// them. They are not copied, and are released once they are at the target.
    pub fn push(&self, offset: u64, bytes: Bytes) -> Result<Job<()>, Failure> {
        let (open, scope) = (Arc::clone(&self.open), self.scope.clone());
        self.start(move |_| async move { Ok(held(open.read().await.as_ref(), &scope)?.push(offset, bytes).await?) })
    }

    /// The same, without waiting: gives the bytes back when the memory limit is reached, to be pushed again after
    /// [`room`](Self::room).
    pub fn try_push(&self, offset: u64, bytes: Bytes) -> Result<Option<Bytes>, Failure> {
        self.check()?;
        // Only a seal or a stop holds it otherwise.
        let open = self.open.try_read().map_err(|_| gone(&self.scope))?;
        let _threads = self.engine.handle().enter();
        Ok(held(open.as_ref(), &self.scope)?.try_push(offset, bytes)?)
    }

    /// Ends when there is room for another push.
    pub fn room(&self) -> Result<Job<()>, Failure> {
        let (open, scope) = (Arc::clone(&self.open), self.scope.clone());
        self.start(|_| async move { Ok(held(open.read().await.as_ref(), &scope)?.room().await?) })
    }

    /// Reads everything that the cycle wants from `source`, which must be the one it was begun with.
    pub fn copy_from(&self, source: &Source) -> Result<Job<()>, Failure> {
        let (open, scope, disk) = (Arc::clone(&self.open), self.scope.clone(), Arc::clone(source.disk()));
        self.start(|_| async move { Ok(held(open.read().await.as_ref(), &scope)?.copy_from(disk).await?) })
    }

    /// Makes the cycle a recovery point, once everything that was pushed has settled: its JSON. Nothing counts
    /// before this. The cycle is closed by it, whatever comes of it.
    pub fn seal(&self) -> Result<Job<String>, Failure> {
        let (open, scope) = (Arc::clone(&self.open), self.scope.clone());
        self.start(|_| async move {
            let cycle = open.write().await.take().ok_or_else(|| gone(&scope))?;
            Ok(text(&cycle.seal().await?))
        })
    }

    /// Stops the cycle without sealing it, whoever else holds it: another can begin within moments, and every call
    /// of this one fails with `cycle.cancelled`. What has settled stays. Never waits; safe to repeat, from any thread.
    pub fn stop(&self) {
        self.scope.cancel();
        let open = Arc::clone(&self.open);
        // Whoever uses it was told to end; after the end of the engine there is nothing left to stop.
        self.engine.handle().spawn(async move { drop(open.write().await.take()) });
    }

    fn start<T, F>(&self, work: impl FnOnce(CancellationToken) -> F) -> Result<Job<T>, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        self.check()?;
        self.engine.start(&self.scope, work)
    }

    fn check(&self) -> Result<(), Failure> {
        self.engine.check()?;
        if self.scope.is_cancelled() { Err(gone(&self.scope)) } else { Ok(()) }
    }
}
