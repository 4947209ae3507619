//! The verbs of the lifecycle on the wire.

use super::Unready;
use super::surroundings::no_kind;
use crate::control::arm::{Operation, Request};
use crate::control::lifecycle::Verb;
use crate::control::lifecycle::wire::{Item, call};
use crate::control::model::DisableProtectionReason::{MigrationComplete, NotSpecified};
use crate::control::model::{
    CleanUpTest, DisableProtection, HyperVPlannedFailover, HyperVTestFailover, HyperVUnplannedFailover,
    InMageRcmTestFailover, InMageRcmUnplannedFailover, Migrate, PauseReplication, PlannedFailover,
    PlannedFailoverDetails, ResumeReplication, Resync, TestFailover, TestFailoverDetails, TestMigrate,
    UnplannedFailover, UnplannedFailoverDetails, VmwareCbtMigrate, VmwareCbtResume, VmwareCbtResync,
    VmwareCbtTestMigrate,
};
use crate::control::observed::Observed;
use crate::control::settings::MigrationSettings;
use crate::control::{ArmId, Scenario};

/// What a test migration is cleaned up with.
const COMMENT: &str = "libmigrate: the test has come to its end";

/// The request for a verb. A test is made in the network for tests, from the newest recovery point.
pub(super) fn ask(
    item: &ArmId,
    verb: Verb,
    shuts_down: bool,
    wanted: &MigrationSettings,
    seen: &Observed,
) -> Result<Request, Unready> {
    let unknown = |what| Unready::NotKnown { action: verb.as_str(), subject: item.clone(), what };
    let scenario = wanted.scenario;
    // A cutover of Hyper-V without a shut-down is another operation than one with it.
    let name = match (scenario, verb, shuts_down) {
        (Scenario::HyperV, Verb::Migrate, false) => "ReplicationProtectedItems_UnplannedFailover",
        _ => call(scenario, verb).ok_or_else(|| unknown("such a verb of this kind of migration"))?.operation,
    };
    let operation = Operation::named(name).ok_or_else(|| unknown("its operation"))?;
    let request = operation.on(item);
    let network = || {
        let test = wanted.target.test.as_ref();
        test.map(|test| test.network.clone()).ok_or_else(|| unknown("the network for test machines"))
    };
    Ok(match (scenario, verb) {
        (Scenario::VmwareAgentless, Verb::TestMigrate) => {
            let point = last_recovery_point(item, seen).ok_or_else(|| unknown("a recovery point"))?;
            request.with_body(&TestMigrate::of_vmware(VmwareCbtTestMigrate {
                recovery_point_id: Some(point),
                network_id: Some(network()?),
                ..VmwareCbtTestMigrate::default()
            }))?
        }
        (_, Verb::CleanUpTest) => request.with_body(&CleanUpTest::with_comments(COMMENT))?,
        (Scenario::VmwareAgentless, Verb::Migrate) => request.with_body(&Migrate::of_vmware(VmwareCbtMigrate {
            perform_shutdown: Some(shuts_down.into()),
            ..VmwareCbtMigrate::default()
        }))?,
        (Scenario::VmwareAgentless, Verb::Pause) => request.with_body(&PauseReplication::of_vmware())?,
        (Scenario::VmwareAgentless, Verb::Resume) => {
            request.with_body(&ResumeReplication::of_vmware(VmwareCbtResume {
                delete_migration_resources: Some(false.into()),
                ..VmwareCbtResume::default()
            }))?
        }
        (Scenario::VmwareAgentless, Verb::Resync) => request.with_body(&Resync::of_vmware(VmwareCbtResync {
            skip_cbt_reset: Some(true.into()),
            ..VmwareCbtResync::default()
        }))?,
        (Scenario::HyperV, Verb::TestMigrate) => {
            let details = TestFailoverDetails::HyperV(HyperVTestFailover::default());
            request.with_body(&TestFailover::in_network(network()?, details))?
        }
        (Scenario::AgentBased, Verb::TestMigrate) => {
            let details = TestFailoverDetails::InMageRcm(InMageRcmTestFailover {
                network_id: Some(network()?),
                ..InMageRcmTestFailover::default()
            });
            request.with_body(&TestFailover::in_network(network()?, details))?
        }
        (Scenario::HyperV, Verb::Migrate) if shuts_down => {
            let details = PlannedFailoverDetails::HyperV(HyperVPlannedFailover::default());
            request.with_body(&PlannedFailover::to_azure(details))?
        }
        (Scenario::HyperV, Verb::Migrate) => {
            let details = UnplannedFailoverDetails::HyperV(HyperVUnplannedFailover::default());
            request.with_body(&UnplannedFailover::to_azure(details))?
        }
        (Scenario::AgentBased, Verb::Migrate) => {
            let details = UnplannedFailoverDetails::InMageRcm(InMageRcmUnplannedFailover {
                // The server stays running while the rest of its changes is sent.
                perform_shutdown: Some(false.into()),
                ..InMageRcmUnplannedFailover::default()
            });
            request.with_body(&UnplannedFailover::to_azure(details))?
        }
        (Scenario::HyperV | Scenario::AgentBased, Verb::Complete | Verb::Remove) => {
            let completes = verb == Verb::Complete;
            let reason = if completes { MigrationComplete } else { NotSpecified };
            let mut body = DisableProtection::because(reason);
            body.properties.replication_provider_input = Some(no_kind("DisableProtectionProviderSpecificInput"));
            request.with_body(&body)?
        }
        // DELETE, commit and repair have no body.
        _ => request,
    })
}

/// The newest recovery point that a `VMware` machine has.
fn last_recovery_point(item: &ArmId, seen: &Observed) -> Option<ArmId> {
    seen.items.iter().find_map(|one| match one {
        Item::Vmware(one) if one.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(item.name())) => {
            let details = one.properties.provider_specific_details.as_ref()?;
            details.rest.get("lastRecoveryPointId")?.as_str().filter(|id| !id.is_empty()).map(ArmId::new)
        }
        _ => None,
    })
}
