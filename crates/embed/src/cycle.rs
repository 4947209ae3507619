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

const CLOSED: CallError = CallError::Closed { what: "cycle" };

impl Cycle {
    pub(crate) fn new(engine: Engine, cycle: libmigrate::Cycle, scope: CancellationToken) -> Self {
        Self { engine, open: Arc::new(RwLock::new(Some(cycle))), scope }
    }

    /// The next extent to push, in bytes of the source; none when everything was handed out. At most 1 GiB is
    /// handed out ahead of what was pushed.
    pub fn next(&self) -> Result<Job<Option<Extent>>, Failure> {
        let open = Arc::clone(&self.open);
        self.start(|_| async move { Ok(open.read().await.as_ref().ok_or(CLOSED)?.next_wanted().await?) })
    }

    /// Pushes the bytes of an extent that [`next`](Self::next) gave, in any order; ends when there was room for
    /// them. They are not copied, and are released once they are at the target.
    pub fn push(&self, offset: u64, bytes: Bytes) -> Result<Job<()>, Failure> {
        let open = Arc::clone(&self.open);
        self.start(move |_| async move { Ok(open.read().await.as_ref().ok_or(CLOSED)?.push(offset, bytes).await?) })
    }

    /// The same, without waiting: gives the bytes back when the memory limit is reached, to be pushed again after
    /// [`room`](Self::room).
    pub fn try_push(&self, offset: u64, bytes: Bytes) -> Result<Option<Bytes>, Failure> {
        self.engine.check()?;
        // Only a seal or a stop holds it otherwise.
        let open = self.open.try_read().map_err(|_| CLOSED)?;
        let _threads = self.engine.handle().enter();
        Ok(open.as_ref().ok_or(CLOSED)?.try_push(offset, bytes)?)
    }

    /// Ends when there is room for another push.
    pub fn room(&self) -> Result<Job<()>, Failure> {
        let open = Arc::clone(&self.open);
        self.start(|_| async move { Ok(open.read().await.as_ref().ok_or(CLOSED)?.room().await?) })
    }

    /// Reads everything that the cycle wants from `source`, which must be the one it was begun with.
    pub fn copy_from(&self, source: &Source) -> Result<Job<()>, Failure> {
        let (open, disk) = (Arc::clone(&self.open), Arc::clone(source.disk()));
        self.start(|_| async move { Ok(open.read().await.as_ref().ok_or(CLOSED)?.copy_from(disk).await?) })
    }

    /// Makes the cycle a recovery point, once everything that was pushed has settled: its JSON. Nothing counts
    /// before this. The cycle is closed by it, whatever comes of it.
    pub fn seal(&self) -> Result<Job<String>, Failure> {
        let open = Arc::clone(&self.open);
        self.start(|_| async move {
            let cycle = open.write().await.take().ok_or(CLOSED)?;
            Ok(text(&cycle.seal().await?))
        })
    }

    /// Stops the cycle without sealing it, whoever else holds it: another can begin within moments. What has settled
    /// stays. Never waits; safe to repeat, from any thread.
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
        self.engine.check()?;
        self.engine.start(&self.scope, work)
    }
}
