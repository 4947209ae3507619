//! Threads for work that blocks. A simulation has none: there the work is a task.

use std::future::Future;

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

/// Runs a loop that blocks between its awaits on a thread of its own.
pub(super) fn spawn_loop(work: impl Future<Output = ()> + Send + 'static) {
    #[cfg(feature = "simulation")]
    if crate::simulation::machines().is_some() {
        tokio::spawn(work);
        return;
    }
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(work));
}
