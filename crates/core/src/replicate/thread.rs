//! Threads for work that blocks. A simulation has none: there the work is a task.

use std::future::Future;
use std::ops::ControlFlow;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Runs blocking work on a thread for it. It goes on when nobody waits for it any more.
pub(super) fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    #[cfg(feature = "simulation")]
    if let Some(machines) = crate::simulation::machines() {
        return crate::simulation::spawn_blocking(&*machines, work);
    }
    tokio::task::spawn_blocking(work)
}

/// Waits for work and does it, on a thread of its own, until there is none or one says that it was the last. The
/// work may block, also on channels of the runtime's, which those that wait for it may not.
pub(super) fn spawn_loop<T, W>(
    mut wait: impl FnMut() -> W + Send + 'static,
    mut work: impl FnMut(T) -> ControlFlow<()> + Send + 'static,
) where
    T: Send + 'static,
    W: Future<Output = Option<T>> + Send + 'static,
{
    #[cfg(feature = "simulation")]
    if crate::simulation::machines().is_some() {
        tokio::spawn(async move { while wait().await.is_some_and(|item| work(item).is_continue()) {} });
        return;
    }
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || while runtime.block_on(wait()).is_some_and(|item| work(item).is_continue()) {});
}
