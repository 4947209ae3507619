//! Keeps the lease while a replica is open, and stops all writing in time when it cannot.
//!
//! The lease is renewed every third of its term. When two thirds of the term have passed by this
//! machine's own clock without a successful renewal, everything stops: the service may give the lease to
//! another writer one third of a term later, and no request of ours may still be under way by then.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::error::{Error, ReplicateError};
use crate::target::{LeaseId, PageTarget, TargetError};

/// Renews in a task of its own until dropped.
#[derive(Debug)]
pub(super) struct LeaseKeeper {
    task: JoinHandle<()>,
    health: Arc<LeaseHealth>,
}

/// Whether the lease is ours, for those who write under it.
#[derive(Debug, Default)]
pub(super) struct LeaseHealth {
    lost: CancellationToken,
    why: OnceLock<Loss>,
}

#[derive(Clone, Debug)]
enum Loss {
    Taken { reason: String },
    Expired { without_answer: Duration },
}

impl LeaseKeeper {
    /// Starts to renew; the lease was taken at `taken`, before the request was sent.
    pub(super) fn start(target: Arc<dyn PageTarget>, lease: LeaseId, term: Duration, taken: Instant) -> Self {
        let health = Arc::new(LeaseHealth::default());
        let task = tokio::spawn(keep(target, lease, term, taken, Arc::clone(&health)));
        Self { task, health }
    }

    pub(super) fn health(&self) -> &Arc<LeaseHealth> {
        &self.health
    }
}

impl Drop for LeaseKeeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LeaseHealth {
    /// Ends when the lease is lost; all writing must end with it.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Why it was lost.
    pub(super) fn error(&self, location: &str) -> Error {
        let location = location.to_owned();
        match self.why.get().cloned() {
            Some(Loss::Expired { without_answer }) => ReplicateError::LeaseExpired { location, without_answer }.into(),
            Some(Loss::Taken { reason }) => TargetError::LeaseLost { location, reason }.into(),
            None => TargetError::LeaseLost { location, reason: "the replica was closed".into() }.into(),
        }
    }

    fn lose(&self, why: Loss) {
        let _ = self.why.set(why);
        self.lost.cancel();
    }
}

async fn keep(target: Arc<dyn PageTarget>, lease: LeaseId, term: Duration, taken: Instant, health: Arc<LeaseHealth>) {
    let third = term / 3;
    let mut renewed = taken;
    loop {
        tokio::time::sleep_until(renewed + third).await;
        match renew_until(&*target, lease, renewed + 2 * third).await {
            Some(Ok(sent)) => renewed = sent,
            Some(Err(e)) => return health.lose(Loss::Taken { reason: e.to_string() }),
            None => return health.lose(Loss::Expired { without_answer: renewed.elapsed() }),
        }
    }
}

/// Tries until `deadline`: the moment at which the successful request was sent, the error that says that
/// the lease is not ours, or nothing when there was no answer in time.
async fn renew_until(
    target: &dyn PageTarget,
    lease: LeaseId,
    deadline: Instant,
) -> Option<Result<Instant, TargetError>> {
    let tries = async {
        loop {
            let sent = Instant::now();
            match target.renew_lease(lease).await {
                Ok(()) => return Ok(sent),
                Err(
                    e @ (TargetError::LeaseLost { .. } | TargetError::Fenced { .. } | TargetError::NotFound { .. }),
                ) => {
                    return Err(e);
                }
                // Any other answer may pass; the deadline decides.
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    };
    timeout_at(deadline, tries).await.ok()
}
