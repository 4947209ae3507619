//! Does what a plan says, so that it can be killed anywhere and go on.
//!
//! ```text
//! journal.rs       what is known of the steps that are being done: a file
//! run.rs           the steps in their order; one step until it is done, waits or fails
//! look.rs          whether what a step wants is there already: what is around the servers
//! server.rs        the same for the servers, and whether the service allows a verb now
//! job.rs           Site Recovery's jobs until they end
//! approvals.rs, outcome.rs, error.rs   who has agreed; what a plan waits for; what can go wrong
//! ```
//!
//! For each step [`apply`] reads what there is *now*. What is wanted and there already is done, whoever did it.
//! Otherwise, once whoever must agree has agreed, it writes down that it begins, sends the request, writes down how
//! the operation is followed, and follows it. After a crash, or where an answer was lost, it reads again and decides:
//! what was done is not done twice.

mod approvals;
mod error;
mod job;
mod journal;
mod look;
mod outcome;
mod run;
mod server;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use self::approvals::Approvals;
pub use self::error::{ApplyError, Reason};
use self::journal::Journal;
pub use self::outcome::{ApplyEvent, Needed, Outcome, Wait};
use super::Plan;
use crate::control::arm::ArmClient;
use crate::control::settings::MigrationSettings;
use crate::retry_policy::RetryPolicy;

/// Is told what happens while a plan is done, as it happens. It must not block.
pub type OnApplyEvent = Arc<dyn Fn(&ApplyEvent) + Send + Sync>;

/// How a plan is done.
#[derive(Clone)]
pub struct ApplyOptions {
    /// What somebody has agreed to.
    pub approvals: Approvals,
    /// How long a step is tried again that the service refuses because a grant, or the identity that it is for, is
    /// not known everywhere yet.
    ///
    /// Source: Microsoft Learn, "Troubleshoot Azure RBAC" (2025): changes of roles take up to ten minutes.
    pub effect: RetryPolicy,
    /// Who is told what happens.
    pub on_event: Option<OnApplyEvent>,
}

impl Default for ApplyOptions {
    /// Nobody has agreed to anything; ten minutes; nobody is told.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        let effect = RetryPolicy { first_wait: seconds(5), longest_wait: seconds(30), budget: seconds(600) };
        Self { approvals: Approvals::default(), effect, on_event: None }
    }
}

impl fmt::Debug for ApplyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplyOptions")
            .field("approvals", &self.approvals)
            .field("effect", &self.effect)
            .finish_non_exhaustive()
    }
}

/// Does the steps of a plan, as far as they can be done now.
///
/// `journal` is a file that is made where there is none; the same plan must be given the same one again, and the
/// settings that the plan was made of. Steps that
/// wait for somebody's approval, or for a server that is on its way, are left out, with those that come after them;
/// the others are done. Nothing is deleted but the replication of a server, where the plan says so and somebody has
/// agreed. Ends within a second of its cancellation.
///
/// ```no_run
/// # async fn run(client: libmigrate::control::arm::ArmClient, settings: libmigrate::control::settings::MigrationSettings)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use libmigrate::CancellationToken;
/// use libmigrate::control::limits::Limits;
/// use libmigrate::control::plan::{ApplyOptions, Approval, Approvals, Goal, Wait, apply, observe, plan};
///
/// let cancel = CancellationToken::new();
/// let seen = observe(&client, &settings, &cancel).await?;
/// let plan = plan(&settings, Goal::Replicating.into(), &seen, Limits::published());
/// let options = ApplyOptions { approvals: Approvals::of([Approval::GrantRole]), ..ApplyOptions::default() };
/// let outcome = apply(&client, &plan, &settings, "plan.journal".as_ref(), &options, &cancel).await?;
/// for wait in &outcome.waits {
///     match wait {
///         Wait::Approval(needed) => println!("{} must agree: {:?}", needed.who, needed.requests),
///         Wait::NotYet { step, state } => println!("{step} waits: {state}"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Whatever goes wrong at a step ends the call. The journal is good to go on from.
pub async fn apply(
    client: &ArmClient,
    plan: &Plan,
    wanted: &MigrationSettings,
    journal: &Path,
    options: &ApplyOptions,
    cancel: &CancellationToken,
) -> Result<Outcome, ApplyError> {
    if plan.scenario != wanted.scenario {
        return Err(ApplyError::OtherScenario);
    }
    let given = wanted.digest();
    if plan.settings != given {
        return Err(ApplyError::OtherSettings { made_of: plan.settings.clone(), given });
    }
    let (path, digest) = (journal.to_owned(), plan.digest());
    let opened = tokio::task::spawn_blocking(move || Journal::open(&path, &digest)).await;
    let journal = opened.unwrap_or_else(|ended| {
        let source = std::io::Error::other(ended);
        Err(ApplyError::JournalIo { path: journal.to_owned(), source })
    })?;
    // On the heap: callers are not to carry the state of every kind of step.
    Box::pin(run::Run::new(client, plan, wanted, options, cancel, journal).all()).await
}
