//! The steps in their order; one step until it is done, waits or fails.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ApplyOptions;
use super::error::ApplyError;
use super::job::Followed;
use super::journal::{Journal, Record, Standing};
use super::outcome::{ApplyEvent, Needed, Outcome, Wait};
use crate::control::ArmId;
use crate::control::arm::{ArmClient, ArmError, Operation, Request, ServiceError, operations};
use crate::control::model::{Role, RoleAssignment, RoleGrant, StorageAccount, Vault};
use crate::control::observed::Observed;
use crate::control::plan::observe::grants_of;
use crate::control::plan::{Action, OwnerRequest, Plan, Step, StepId, request};
use crate::control::settings::MigrationSettings;
use crate::error::Diagnose;

/// How often one call looks again after an answer was lost or contradicts what was read.
const MOST_DOUBTS: u32 = 4;

/// What a look at what a step wants has found.
pub(super) enum Look {
    /// It is there.
    There,
    /// A job that makes it, or hinders it, goes on.
    Job(String),
    /// It is being made, by what the service says of the resource.
    Making(String),
    /// It is not there. What is done about it, usually the step itself, and what its request is made of.
    Absent(Box<Absent>),
    /// Somebody or something else comes first.
    Waits(Wait),
}

/// What is not there yet.
pub(super) struct Absent {
    pub(super) step: Step,
    pub(super) seen: Observed,
    /// The job that the item had last, of steps that ask for something.
    pub(super) job_before: Option<String>,
}

impl Look {
    pub(super) fn absent(step: &Step, seen: Observed) -> Self {
        Self::Absent(Box::new(Absent { step: step.clone(), seen, job_before: None }))
    }
}

/// What has become of a request.
enum Sent {
    Done,
    LookAgain,
    Waits(Wait),
}

/// How often something went otherwise than thought.
struct Doubts {
    left: u32,
    failures: u32,
    refused_since: Option<Instant>,
}

/// One call.
pub(super) struct Run<'a> {
    pub(super) client: &'a ArmClient,
    pub(super) wanted: &'a MigrationSettings,
    pub(super) cancel: &'a CancellationToken,
    plan: &'a Plan,
    options: &'a ApplyOptions,
    journal: Journal,
    outcome: Outcome,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        client: &'a ArmClient,
        plan: &'a Plan,
        wanted: &'a MigrationSettings,
        options: &'a ApplyOptions,
        cancel: &'a CancellationToken,
        journal: Journal,
    ) -> Self {
        Self { client, wanted, cancel, plan, options, journal, outcome: Outcome::default() }
    }

    /// Every step that can be done.
    pub(super) async fn all(mut self) -> Result<Outcome, ApplyError> {
        let mut open: BTreeSet<&StepId> = BTreeSet::new();
        for step in &self.plan.steps {
            if self.cancel.is_cancelled() {
                return Err(ApplyError::Cancelled);
            }
            if step.after.iter().any(|before| open.contains(before)) {
                open.insert(&step.id);
                continue;
            }
            if let Some(wait) = self.step(step).await? {
                open.insert(&step.id);
                self.tell(&ApplyEvent::Waits { wait: wait.clone() });
                self.outcome.waits.push(wait);
            }
        }
        Ok(self.outcome)
    }

    /// One step; what it waits for, where it cannot be done now.
    async fn step(&mut self, step: &Step) -> Result<Option<Wait>, ApplyError> {
        match self.journal.standing(&step.id) {
            Standing::Done => return Ok(None),
            Standing::Begun { tracking: Some(tracking), .. } => {
                let started = self.client.resume(*tracking)?;
                match self.follow(step, started).await? {
                    Followed::Ended if !looks_back(step) => return self.done(step, false).await,
                    Followed::Waits(wait) => return Ok(Some(wait)),
                    Followed::Ended | Followed::Forgotten => {}
                }
            }
            Standing::New | Standing::Begun { .. } => {}
        }
        let mut doubts = Doubts { left: MOST_DOUBTS, failures: 0, refused_since: None };
        let (since, mut looks, mut sent) = (Instant::now(), 0, 0);
        loop {
            let look = match self.look(step).await {
                Err(ApplyError::Arm(error @ ArmError::Forbidden { .. })) => {
                    return Ok(Some(Wait::Approval(self.lacking(step, &Observed::default(), &error))));
                }
                look => look?,
            };
            match look {
                Look::There => return self.done(step, sent == 0).await,
                Look::Waits(wait) => return Ok(Some(wait)),
                Look::Job(name) => match self.follow_job(step, &name, false).await? {
                    Followed::Waits(wait) => return Ok(Some(wait)),
                    Followed::Ended | Followed::Forgotten => {}
                },
                Look::Making(state) => {
                    if since.elapsed() > self.client.poll_policy().deadline {
                        return Ok(Some(Wait::NotYet { step: step.id.clone(), state }));
                    }
                    self.tell(&ApplyEvent::Progress { step: step.id.clone(), status: state, percent: None });
                    self.pause(looks).await?;
                    looks += 1;
                }
                Look::Absent(absent) => {
                    if !self.options.approvals.agree_to(&absent.step) {
                        return Ok(Some(Wait::Approval(self.needed(&absent.step, &absent.seen))));
                    }
                    if sent > MOST_DOUBTS && doubts.refused_since.is_none() {
                        let state = "what was sent has no effect that can be seen yet".to_owned();
                        return Ok(Some(Wait::NotYet { step: step.id.clone(), state }));
                    }
                    sent += 1;
                    match self.send(step, *absent, &mut doubts).await? {
                        Sent::Done if !looks_back(step) => return self.done(step, false).await,
                        Sent::Waits(wait) => return Ok(Some(wait)),
                        Sent::Done | Sent::LookAgain => {}
                    }
                }
            }
        }
    }

    async fn done(&mut self, step: &Step, found: bool) -> Result<Option<Wait>, ApplyError> {
        self.journal.append(Record::Done { step: step.id.clone() }).await?;
        self.tell(&ApplyEvent::Done { step: step.id.clone(), found });
        Ok(None)
    }

    /// Writes down that nothing came of the step; gives the error back.
    pub(super) async fn failed(&mut self, step: &Step, error: ApplyError) -> Result<ApplyError, ApplyError> {
        self.journal.append(Record::Failed { step: step.id.clone(), code: error.code().to_owned() }).await?;
        Ok(error)
    }

    /// Sends what makes what is absent, and follows it.
    async fn send(&mut self, step: &Step, absent: Absent, doubts: &mut Doubts) -> Result<Sent, ApplyError> {
        let requests = self.requests(&absent.step, &absent.seen);
        let requests = match requests {
            Ok(requests) => requests,
            // What Azure's client for this cannot express, an owner can do.
            Err(ApplyError::Unready { .. }) if absent.step.approval.is_some() => {
                return Ok(Sent::Waits(Wait::Approval(self.needed(&absent.step, &absent.seen))));
            }
            Err(error) => return Err(error),
        };
        self.journal.append(Record::Begun { step: step.id.clone(), job_before: absent.job_before }).await?;
        self.tell(&ApplyEvent::Begun { step: step.id.clone() });
        for request in &requests {
            let started = match self.client.begin(request, self.cancel).await {
                Ok(started) => started,
                Err(error) => return self.not_sent(step, &absent.seen, doubts, error).await,
            };
            if let Some(tracking) = started.tracking() {
                let tracking = tracking.clone();
                self.journal.append(Record::Tracking { step: step.id.clone(), tracking }).await?;
            }
            match self.follow(step, started).await? {
                Followed::Ended => {}
                Followed::Forgotten => {
                    return self
                        .doubt(step, doubts, || ApplyError::Missing {
                            step: step.id.clone(),
                            id: step.action.subject().clone(),
                        })
                        .await;
                }
                Followed::Waits(wait) => return Ok(Sent::Waits(wait)),
            }
        }
        Ok(Sent::Done)
    }

    /// What is done about a request that was not answered with success.
    async fn not_sent(
        &mut self,
        step: &Step,
        seen: &Observed,
        doubts: &mut Doubts,
        error: ArmError,
    ) -> Result<Sent, ApplyError> {
        match error {
            // The service may have acted, also on an earlier sending, or somebody else has: what is there now decides.
            ArmError::InDoubt { .. } | ArmError::Conflict { .. } | ArmError::Busy { .. } => {
                self.doubt(step, doubts, || ApplyError::Arm(error)).await
            }
            error if is_not_effective(step, &error) => self.wait_for_effect(step, doubts, error).await,
            error @ ArmError::Forbidden { .. } => {
                let needed = self.lacking(step, seen, &error);
                self.failed(step, ApplyError::Arm(error)).await?;
                Ok(Sent::Waits(Wait::Approval(needed)))
            }
            // Nothing came of it, for certain.
            error @ (ArmError::Rejected { .. }
            | ArmError::NotFound { .. }
            | ArmError::Precondition { .. }
            | ArmError::BadId { .. }
            | ArmError::BadRequest { .. }
            | ArmError::OperationFailed { .. }
            | ArmError::Throttled { .. }) => Err(self.failed(step, ApplyError::Arm(error)).await?),
            error => Err(cancelled_or(error)),
        }
    }

    /// Looks again, unless that was so too often.
    async fn doubt(
        &mut self,
        step: &Step,
        doubts: &mut Doubts,
        error: impl FnOnce() -> ApplyError,
    ) -> Result<Sent, ApplyError> {
        let Some(left) = doubts.left.checked_sub(1) else { return Err(error()) };
        doubts.left = left;
        tracing::debug!(step = step.id.as_str(), left, "looked at again, as the answer does not decide");
        self.pause(MOST_DOUBTS - left).await?;
        Ok(Sent::LookAgain)
    }

    /// Waits until what was granted has effect.
    async fn wait_for_effect(&mut self, step: &Step, doubts: &mut Doubts, error: ArmError) -> Result<Sent, ApplyError> {
        doubts.failures += 1;
        let since = *doubts.refused_since.get_or_insert_with(Instant::now);
        let wait = self.options.effect.wait_after(doubts.failures);
        let waited = since.elapsed();
        if waited + wait > self.options.effect.budget || !self.has_grants(step).await? {
            let error = ApplyError::NotEffective { step: step.id.clone(), waited, source: Box::new(error) };
            return Err(self.failed(step, error).await?);
        }
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.tell(&ApplyEvent::Retrying { step: step.id.clone(), why: error.to_string(), wait_ms });
        self.sleep(wait).await?;
        Ok(Sent::LookAgain)
    }

    /// Whether what the vault's identity needs is granted: what is not cannot come into effect. For `VMware` the
    /// service grants it.
    async fn has_grants(&mut self, step: &Step) -> Result<bool, ApplyError> {
        if !matches!(step.action, Action::Enable { .. }) {
            return Ok(true);
        }
        let vault: Option<Vault> = self.find(&operations::VAULTS_GET, &self.wanted.vault).await?;
        let Some(principal) = vault.as_ref().and_then(|vault| vault.principal_id()) else {
            return Ok(self.wanted.scenario == crate::control::Scenario::VmwareAgentless);
        };
        let mut is_complete = true;
        for id in self.wanted.accounts() {
            let account: Option<StorageAccount> = self.find(&operations::STORAGE_ACCOUNTS_GET, id).await?;
            let grants: Vec<RoleAssignment> = self.list(&grants_of(principal, id)).await?;
            let is_premium = account.is_some_and(|account| account.is_premium());
            is_complete &= Role::for_account(is_premium).iter().all(|role| is_given(&grants, id, principal, *role));
        }
        Ok(is_complete || self.wanted.scenario == crate::control::Scenario::VmwareAgentless)
    }

    /// What a step is on the wire: one request, or one for each record that is missing.
    fn requests(&self, step: &Step, seen: &Observed) -> Result<Vec<Request>, ApplyError> {
        let requests = match &step.action {
            Action::WriteRecords { endpoint, zone } => super::look::missing_records(step, endpoint, zone, seen)?
                .into_iter()
                .map(|(label, addresses)| super::super::request::record(zone, &label, addresses))
                .collect(),
            _ => request(step, self.wanted, seen).map(|request| vec![request]),
        };
        requests.map_err(|unready| ApplyError::Unready { step: step.id.clone(), unready: Box::new(unready) })
    }

    /// Who must agree to a step, and to what.
    pub(super) fn needed(&self, step: &Step, seen: &Observed) -> Needed {
        let (requests, why) = match self.requests(step, seen) {
            Ok(requests) => (requests.iter().map(OwnerRequest::of).collect(), step.why.clone()),
            Err(error) => (Vec::new(), format!("{}; {error}", step.why)),
        };
        let who = step.approval.map_or("the owner", crate::control::plan::Approval::who).to_owned();
        Needed { step: step.id.clone(), approval: step.approval, who, requests, missing: None, why }
    }

    /// That the caller may not do a step.
    fn lacking(&self, step: &Step, seen: &Observed, error: &ArmError) -> Needed {
        let missing = match error {
            ArmError::Forbidden { missing, .. } => missing.as_deref().cloned(),
            _ => None,
        };
        let who = step.approval.map_or("whoever may do this", crate::control::plan::Approval::who).to_owned();
        Needed { who, missing, why: error.to_string(), ..self.needed(step, seen) }
    }

    pub(super) fn standing(&self, step: &Step) -> Standing {
        self.journal.standing(&step.id)
    }

    pub(super) fn found(&mut self, findings: Vec<crate::finding::Finding>) {
        for finding in findings {
            if !self.outcome.findings.contains(&finding) {
                self.outcome.findings.push(finding);
            }
        }
    }

    pub(super) fn tell(&self, event: &ApplyEvent) {
        if let Some(on_event) = &self.options.on_event {
            on_event(event);
        }
    }

    pub(super) async fn find<T: DeserializeOwned>(
        &self,
        operation: &'static Operation,
        id: &ArmId,
    ) -> Result<Option<T>, ApplyError> {
        self.client.find(operation, id, self.cancel).await.map_err(cancelled_or)
    }

    /// What is in a list; nothing where what it would be a list of is not there.
    pub(super) async fn list<T: DeserializeOwned>(&self, request: &Request) -> Result<Vec<T>, ApplyError> {
        match self.client.list(request, self.cancel).await {
            Err(ArmError::NotFound { .. }) => Ok(Vec::new()),
            listed => listed.map_err(cancelled_or),
        }
    }

    /// The wait before the next look, when there were so many.
    pub(super) async fn pause(&self, looks: u32) -> Result<(), ApplyError> {
        self.sleep(self.client.poll_policy().wait(looks, None)).await
    }

    async fn sleep(&self, wait: std::time::Duration) -> Result<(), ApplyError> {
        let slept = self.cancel.run_until_cancelled(tokio::time::sleep(wait)).await;
        slept.ok_or(ApplyError::Cancelled)
    }
}

/// The error of a request as that of a step.
pub(super) fn cancelled_or(error: ArmError) -> ApplyError {
    match error {
        ArmError::Cancelled { .. } => ApplyError::Cancelled,
        error => ApplyError::Arm(error),
    }
}

/// Whether a step is looked at once more when its operation has ended: the approval of a private endpoint is not part
/// of its making.
const fn looks_back(step: &Step) -> bool {
    matches!(step.action, Action::CreateEndpoint { .. })
}

/// Whether the service refuses because of a grant, or of an identity, that is not known everywhere yet.
///
/// `PrincipalNotFound` is what a grant to a new identity is refused with. A machine is refused with a code of Site
/// Recovery's own; where the caller lacks something itself, Azure Resource Manager speaks.
fn is_not_effective(step: &Step, error: &ArmError) -> bool {
    match (&step.action, error) {
        (Action::GrantRole { .. }, error) => error.service().is_some_and(|told| told.has_code("PrincipalNotFound")),
        (Action::Enable { .. }, ArmError::Forbidden { service, .. }) => !is_of_the_caller(service),
        _ => false,
    }
}

fn is_of_the_caller(service: &ServiceError) -> bool {
    ["AuthorizationFailed", "LinkedAuthorizationFailed"].iter().any(|code| service.code.eq_ignore_ascii_case(code))
}

/// Whether a role is granted, or one that includes it.
pub(super) fn is_given(grants: &[RoleAssignment], scope: &ArmId, principal: &str, role: Role) -> bool {
    let given = |role| {
        let grant = RoleGrant { scope: scope.clone(), principal: principal.to_owned(), role };
        grants.iter().any(|assignment| grant.is_given_by(assignment))
    };
    given(role) || (role == Role::StorageBlobDataContributor && given(Role::StorageBlobDataOwner))
}
