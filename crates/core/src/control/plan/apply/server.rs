//! Whether what a step wants of a server is there already, and whether the service allows it now.

use serde_json::{Map, Value};

use super::error::ApplyError;
use super::job::{has_failed, is_over};
use super::journal::Standing;
use super::look::missing;
use super::outcome::Wait;
use super::run::{Absent, Look, Run};
use crate::control::arm::operations;
use crate::control::lifecycle::wire::Item;
use crate::control::lifecycle::{Choice, Decision, PhaseKind, Refusal, State, TestKind, Verb, decide, decide_with};
use crate::control::observed::Observed;
use crate::control::plan::Step;
use crate::control::{ArmId, Scenario, differences};

impl Run<'_> {
    /// The server, as the service has it.
    async fn item(&self, id: &ArmId) -> Result<Option<Item>, ApplyError> {
        Ok(match self.wanted.scenario {
            Scenario::VmwareAgentless => self.find(&operations::MIGRATION_ITEMS_GET, id).await?.map(Item::Vmware),
            Scenario::HyperV => self.find(&operations::PROTECTED_ITEMS_GET, id).await?.map(Item::HyperV),
            Scenario::AgentBased => self.find(&operations::PROTECTED_ITEMS_GET, id).await?.map(Item::Agent),
        })
    }

    /// The item's last job, where it still goes on.
    async fn running_job(&self, item: &Item) -> Result<Option<String>, ApplyError> {
        let Some(name) = last_job(item) else { return Ok(None) };
        Ok(self.job(&name).await?.filter(|job| !is_over(job)).map(|_| name))
    }

    pub(super) async fn look_at_enable(&mut self, step: &Step, id: &ArmId) -> Result<Look, ApplyError> {
        let Some(item) = self.item(id).await? else { return Ok(Look::absent(step, Observed::default())) };
        let state = item.state();
        Ok(match state.phase().kind() {
            PhaseKind::NotEnabled => Look::absent(step, Observed::default()),
            PhaseKind::Enabling => match self.running_job(&item).await? {
                Some(job) => Look::Job(job),
                None => not_yet(step, &state),
            },
            PhaseKind::EnableFailed => {
                if let Some(error) = self.own_failure(step, &item).await? {
                    return Err(error);
                }
                return Err(ApplyError::Stuck { step: step.id.clone(), state: state.to_string() });
            }
            PhaseKind::Disabling | PhaseKind::Gone => not_yet(step, &state),
            _ => Look::There,
        })
    }

    /// Why the job has failed that the step has begun; none where it has begun none, or none has failed.
    async fn own_failure(&mut self, step: &Step, item: &Item) -> Result<Option<ApplyError>, ApplyError> {
        if !matches!(self.standing(step), Standing::Begun { .. }) {
            return Ok(None);
        }
        let Some(name) = last_job(item) else { return Ok(None) };
        match self.job(&name).await?.filter(has_failed) {
            Some(job) => Ok(Some(self.job_failed(step, &name, &job).await?)),
            None => Ok(None),
        }
    }

    pub(super) async fn look_at_update(
        &mut self,
        step: &Step,
        id: &ArmId,
        settings: &[String],
    ) -> Result<Look, ApplyError> {
        let item = self.item(id).await?.ok_or_else(|| missing(step, id))?;
        let server = self.wanted.servers.iter().find(|server| server.item.eq_ignore_ascii_case(id.name()));
        let server = server.ok_or_else(|| missing(step, id))?;
        let is_asked = |name: &str| settings.iter().any(|setting| setting == name);
        if !differences(self.wanted, server, &item).iter().any(|one| is_asked(one.setting.as_str())) {
            return Ok(Look::There);
        }
        if let Some(job) = self.running_job(&item).await? {
            return Ok(Look::Job(job));
        }
        self.gate(step, &item, decide(&item, Verb::Update))
    }

    /// Whether what a verb leads to is there, or on its way; otherwise whether the service allows it now.
    pub(super) async fn look_at_ask(
        &mut self,
        step: &Step,
        id: &ArmId,
        verb: Verb,
        shuts_down: bool,
    ) -> Result<Look, ApplyError> {
        let Some(item) = self.item(id).await? else {
            let ends = matches!(verb, Verb::Complete | Verb::Remove);
            return if ends { Ok(Look::There) } else { Err(missing(step, id)) };
        };
        let state = item.state();
        if is_reached(verb, &state) {
            return Ok(Look::There);
        }
        let last = last_job(&item);
        if let Some(name) = &last
            && let Some(job) = self.job(name).await?
        {
            if !is_over(&job) {
                return Ok(Look::Job(name.clone()));
            }
            // The item has another job than before the request: the service has taken it up, and it is over.
            if let Standing::Begun { job_before: Some(before), .. } = self.standing(step)
                && !before.eq_ignore_ascii_case(name)
            {
                if has_failed(&job) {
                    return Err(self.job_failed(step, name, &job).await?);
                }
                return Ok(Look::There);
            }
        }
        let decision = match verb {
            Verb::Migrate if shuts_down => decide_with(&item, Choice::ShutDownSource),
            _ => decide(&item, verb),
        };
        self.gate(step, &item, decision)
    }

    /// What comes of a decision: the service's word is the last one.
    fn gate(&mut self, step: &Step, item: &Item, decision: Decision) -> Result<Look, ApplyError> {
        self.found(decision.findings);
        let state = item.state();
        match decision.verdict {
            Ok(()) => {
                let job_before = Some(last_job(item).unwrap_or_default());
                let seen = Observed { items: vec![item.clone()], ..Observed::default() };
                Ok(Look::Absent(Box::new(Absent { step: step.clone(), seen, job_before })))
            }
            Err(refusal) if may_pass(&refusal, &state) => Ok(not_yet(step, &state)),
            Err(refusal) => Err(ApplyError::Refused { step: step.id.clone(), refusal: Box::new(refusal) }),
        }
    }
}

fn not_yet(step: &Step, state: &State) -> Look {
    Look::Waits(Wait::NotYet { step: step.id.clone(), state: state.to_string() })
}

/// Whether a refusal may be another answer later without anybody doing anything.
fn may_pass(refusal: &Refusal, state: &State) -> bool {
    match refusal {
        Refusal::Phase { .. } | Refusal::Test { .. } => state.passes(),
        Refusal::Service { .. } | Refusal::Unclear { .. } => true,
        Refusal::NoSuchVerb { .. } | Refusal::Choice { .. } => false,
    }
}

/// Whether the server is where a verb leads to. A resync leads to where the server was before.
fn is_reached(verb: Verb, state: &State) -> bool {
    use PhaseKind as P;

    let (phase, test) = (state.phase().kind(), state.test().kind());
    match verb {
        Verb::TestMigrate => matches!(test, TestKind::Succeeded | TestKind::WithInformation | TestKind::Partially),
        Verb::CleanUpTest => test == TestKind::None,
        Verb::Migrate => matches!(phase, P::CommitPending | P::Migrated),
        Verb::Commit => phase == P::Migrated,
        Verb::Pause => phase == P::Paused,
        Verb::Resume => matches!(phase, P::Replicating | P::InitialReplication | P::Resynchronizing),
        Verb::Complete | Verb::Remove => phase == P::Gone,
        Verb::Enable | Verb::Update | Verb::Resync => false,
    }
}

/// The name of the job that an item had last.
fn last_job(item: &Item) -> Option<String> {
    let (rest, field): (&Map<String, Value>, _) = match item {
        Item::Vmware(item) => (&item.properties.rest, "currentJob"),
        Item::HyperV(item) | Item::Agent(item) => (&item.properties.rest, "currentScenario"),
    };
    let id = ArmId::new(rest.get(field)?.get("jobId")?.as_str()?);
    let name = id.name();
    (!name.is_empty() && !name.eq_ignore_ascii_case("None")).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::sample;

    #[test]
    fn a_verb_is_reached_where_the_plan_has_no_more_of_it() {
        let scenario = Scenario::VmwareAgentless;
        let of = |state: &str, test: Option<&str>| sample::item(scenario, "web01", state, test).state();
        let cases = [
            (Verb::TestMigrate, of("Replicating", Some("TestMigrationSucceeded")), of("Replicating", None)),
            (Verb::CleanUpTest, of("Replicating", None), of("Replicating", Some("TestMigrationFailed"))),
            (Verb::Migrate, of("MigrationSucceeded", None), of("MigrationFailed", None)),
            (Verb::Pause, of("ProtectionSuspended", None), of("SuspendingProtection", None)),
            (Verb::Resume, of("Replicating", None), of("ResumeInProgress", None)),
        ];
        for (verb, reached, not) in cases {
            assert!(is_reached(verb, &reached) && !is_reached(verb, &not), "{verb}");
        }
        let pending = sample::item(Scenario::HyperV, "web01", "PlannedFailoverCommitRequired", None).state();
        assert!(is_reached(Verb::Migrate, &pending) && !is_reached(Verb::Commit, &pending));
        assert!(!is_reached(Verb::Resync, &of("Replicating", None)));
        assert!(!is_reached(Verb::CleanUpTest, &of("Replicating", Some("SomethingNew"))));
    }

    #[test]
    fn the_last_job_is_named_unless_there_was_none() {
        let with = |id: &str| {
            let mut item = sample::item(Scenario::VmwareAgentless, "web01", "Replicating", None);
            let Item::Vmware(vmware) = &mut item else { unreachable!() };
            vmware.properties.rest.insert("currentJob".into(), json!({ "jobId": id }));
            last_job(&item)
        };
        assert_eq!(with("/Subscriptions/s/v/replicationJobs/7"), Some("7".to_owned()));
        assert_eq!(with("/Subscriptions/s/v/replicationJobs/None"), None);
        assert_eq!(with(""), None);
        assert_eq!(last_job(&sample::item(Scenario::HyperV, "web01", "Protected", None)), None);
    }
}
