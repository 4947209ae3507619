//! Keeps the lease while a replica is open, and stops all writing in time when it cannot.
//!
//! The lease is renewed every third of its term. When two thirds of the term have passed by this
//! machine's own clock without a successful renewal, everything stops: the service may give the lease to
//! another writer one third of a term later, and no request of ours may still be under way by then. Every
//! request asks the clock before it is sent, so a process that was stopped for long and wakes up sends
//! nothing, however late its timers are. A lock that goes with the process has no term and no deadline.
//!
//! Once everything has stopped, the target is asked why, for a moment: another owner there means that the
//! replica was taken over (`target.fenced`), and not merely that the network is bad.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{Error, ReplicateError};
use super::replica::Owner;
use super::target_record::TargetRecord;
use crate::target::{LeaseId, PageTarget, TargetError};

/// How long the target is asked who owns it now.
const ASKED_FOR: Duration = Duration::from_secs(2);

/// Renews in a task of its own until dropped.
#[derive(Debug)]
pub(super) struct LeaseKeeper {
    task: JoinHandle<()>,
}

/// The lease that is kept.
#[derive(Debug)]
pub(super) struct HeldLease<L = TargetLease> {
    pub(super) lease: L,
    pub(super) term: Duration,
    /// Whether the service gives it to somebody else after its term.
    pub(super) runs_out: bool,
    /// Unknown until the target is under our name.
    pub(super) owner: Arc<OnceLock<Owner>>,
}

/// What the keeper asks of a target.
#[async_trait]
pub(super) trait Lease: Send + Sync + 'static {
    /// One attempt to start its time anew.
    async fn renew(&self) -> Result<(), TargetError>;

    /// What the target says of itself; `None` when that cannot be told.
    async fn record(&self) -> Option<TargetRecord>;
}

/// The lease on a target.
#[derive(Debug)]
pub(super) struct TargetLease {
    pub(super) target: Arc<dyn PageTarget>,
    pub(super) id: LeaseId,
}

#[async_trait]
impl Lease for TargetLease {
    async fn renew(&self) -> Result<(), TargetError> {
        self.target.renew_lease(self.id).await
    }

    async fn record(&self) -> Option<TargetRecord> {
        let state = self.target.state().await.ok()??;
        TargetRecord::from_metadata(&state.metadata, &self.target.location()).ok()
    }
}

/// Whether the lease is ours, for those who write under it.
#[derive(Clone, Debug)]
pub(super) struct LeaseHealth {
    state: watch::Receiver<State>,
}

#[derive(Clone, Debug)]
enum State {
    /// Ours, until then at least; without a moment for as long as the process lives.
    Held { until: Option<Instant> },
    /// Not ours any more; the reason is being found out.
    Stopped,
    /// Not ours any more.
    Lost(Loss),
}

#[derive(Clone, Debug)]
enum Loss {
    Fenced { reason: String },
    Taken { reason: String },
    Expired { without_answer: Duration },
}

impl LeaseKeeper {
    /// Starts to renew; the lease was taken at `taken`, before the request was sent.
    pub(super) fn start<L: Lease>(held: HeldLease<L>, taken: Instant) -> (Self, LeaseHealth) {
        let (tell, state) = watch::channel(held.state_after(taken));
        let task = tokio::spawn(async move {
            let loss = held.keep(taken, &tell).await;
            // All writing ends now, whatever the reason turns out to be.
            tell.send_replace(State::Stopped);
            let loss = held.taken_over().await.unwrap_or(loss);
            tell.send_replace(State::Lost(loss));
        });
        (Self { task }, LeaseHealth { state })
    }
}

impl Drop for LeaseKeeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LeaseHealth {
    /// Whether a request may be sent under the lease at this moment.
    pub(super) fn is_held(&self) -> bool {
        matches!(&*self.state.borrow(), State::Held { until } if until.is_none_or(|until| Instant::now() < until))
    }

    /// Ends when the lease is lost; all writing must end with it.
    pub(super) async fn lost(&self) {
        // An error means that the keeper was dropped: the replica is closed.
        let _ = self.state.clone().wait_for(|state| !matches!(state, State::Held { .. })).await;
    }

    /// Why it was lost. Waits until that is known: moments, once [`lost`](Self::lost) has ended.
    pub(super) async fn error(&self, location: &str) -> Error {
        let mut state = self.state.clone();
        let loss = match state.wait_for(|state| matches!(state, State::Lost(_))).await.as_deref() {
            Ok(State::Lost(loss)) => Some(loss.clone()),
            _ => None,
        };
        let location = location.to_owned();
        match loss {
            Some(Loss::Fenced { reason }) => {
                TargetError::Fenced { operation: "keep the lease", location, reason }.into()
            }
            Some(Loss::Expired { without_answer }) => ReplicateError::LeaseExpired { location, without_answer }.into(),
            Some(Loss::Taken { reason }) => TargetError::LeaseLost { location, reason }.into(),
            None => TargetError::LeaseLost { location, reason: "the replica was closed".into() }.into(),
        }
    }
}

impl<L: Lease> HeldLease<L> {
    fn deadline(&self, renewed: Instant) -> Option<Instant> {
        self.runs_out.then(|| renewed + 2 * self.term / 3)
    }

    fn state_after(&self, renewed: Instant) -> State {
        State::Held { until: self.deadline(renewed) }
    }

    /// Renews for as long as that works.
    async fn keep(&self, taken: Instant, tell: &watch::Sender<State>) -> Loss {
        let mut renewed = taken;
        loop {
            tokio::time::sleep_until(renewed + self.term / 3).await;
            let tries = self.renew();
            let result = match self.deadline(renewed) {
                Some(deadline) => timeout_at(deadline, tries).await.ok(),
                None => Some(tries.await),
            };
            match result {
                Some(Ok(sent)) => renewed = sent,
                Some(Err(e)) => return Loss::Taken { reason: e.to_string() },
                None => return Loss::Expired { without_answer: renewed.elapsed() },
            }
            tell.send_replace(self.state_after(renewed));
        }
    }

    /// Tries until there is an answer: the moment at which the successful request was sent, or the error
    /// that says that the lease is not ours.
    async fn renew(&self) -> Result<Instant, TargetError> {
        loop {
            let sent = Instant::now();
            match self.lease.renew().await {
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
    }

    /// Whether the target says that somebody else owns it now.
    async fn taken_over(&self) -> Option<Loss> {
        let record = timeout(ASKED_FOR, self.lease.record()).await.ok()??;
        self.owner.get()?.words_of_another(&record).map(|reason| Loss::Fenced { reason })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use uuid::Uuid;

    use super::*;
    use crate::size::BlockSize;

    const OURS: Owner = Owner { name: Uuid::from_u128(1), generation: 6 };

    /// What renewals are answered with; the last answer stays.
    #[derive(Clone, Copy, Debug)]
    enum Answer {
        Ok,
        Busy,
        Never,
        Lost,
    }

    /// A target with this owner and these answers.
    struct Script {
        owner: Owner,
        answers: Mutex<VecDeque<Answer>>,
    }

    #[async_trait]
    impl Lease for Script {
        async fn renew(&self) -> Result<(), TargetError> {
            let answer = {
                let mut answers = self.answers.lock().unwrap();
                if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0] }
            };
            let (operation, location) = ("renew the lease", String::from("here"));
            match answer {
                Answer::Ok => Ok(()),
                Answer::Never => std::future::pending().await,
                Answer::Lost => Err(TargetError::LeaseLost { location, reason: "broken".into() }),
                Answer::Busy => {
                    Err(TargetError::Transient { operation, location, reason: "503".into(), retry_after: None })
                }
            }
        }

        async fn record(&self) -> Option<TargetRecord> {
            let Owner { name: owner, generation } = self.owner;
            Some(TargetRecord { generation, owner, ..TargetRecord::new(1 << 20, BlockSize::MIN) })
        }
    }

    fn keep(owner: Owner, answers: &[Answer]) -> (LeaseKeeper, LeaseHealth) {
        start(owner, answers, true)
    }

    fn start(owner: Owner, answers: &[Answer], runs_out: bool) -> (LeaseKeeper, LeaseHealth) {
        let lease = Script { owner, answers: Mutex::new(answers.iter().copied().collect()) };
        let held = HeldLease { lease, term: Duration::from_secs(60), runs_out, owner: Arc::new(OURS.into()) };
        LeaseKeeper::start(held, Instant::now())
    }

    async fn code_after(health: &LeaseHealth) -> (&'static str, Duration) {
        let start = Instant::now();
        health.lost().await;
        let lost_after = start.elapsed();
        (health.error("here").await.code(), lost_after)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_renewed_stays() {
        let (_keeper, health) = keep(OURS, &[Answer::Ok]);
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_secs(7)).await;
            assert!(health.is_held());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn renewals_without_an_answer_end_all_writing_at_two_thirds_of_the_term() {
        let (_keeper, health) = keep(OURS, &[Answer::Never]);
        let (code, after) = code_after(&health).await;
        assert_eq!((code, after.as_secs()), ("target.lease_expired", 40));
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_service_is_asked_again_before_the_lease_is_given_up() {
        let (_keeper, health) = keep(OURS, &[Answer::Busy, Answer::Busy, Answer::Ok]);
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert!(health.is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_another_owner_has_ends_as_fenced() {
        let other = Owner { name: Uuid::from_u128(2), generation: 7 };
        for answer in [Answer::Lost, Answer::Never] {
            let (_keeper, health) = keep(other, &[answer]);
            assert_eq!(code_after(&health).await.0, "target.fenced", "{answer:?}");
            let words = health.error("here").await.to_string();
            assert!(words.contains("generation 7") && words.contains("ours is 6"), "{words}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_broken_and_not_taken_is_lost() {
        let (_keeper, health) = keep(OURS, &[Answer::Lost]);
        assert_eq!(code_after(&health).await.0, "target.lease_lost");
    }

    /// The clock is moved while no task runs, as for a process that was stopped.
    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_stopped_for_long_sends_nothing_when_it_wakes() {
        let (_keeper, health) = keep(OURS, &[Answer::Ok]);
        tokio::task::yield_now().await;
        assert!(health.is_held());
        // Moves the clock, and with it the timers, but runs no task before this one goes on.
        let stopped = tokio::time::advance(Duration::from_secs(41));
        let mut stopped = std::pin::pin!(stopped);
        let _ = futures::poll!(&mut stopped);
        assert!(!health.is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_has_no_deadline() {
        let (_keeper, health) = start(OURS, &[Answer::Busy], false);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(health.is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_replica_says_so() {
        let (keeper, health) = keep(OURS, &[Answer::Ok]);
        drop(keeper);
        health.lost().await;
        assert!(health.error("here").await.to_string().contains("closed"));
    }
}
