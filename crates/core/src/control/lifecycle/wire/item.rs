//! The resources that stand for a replicated machine, as far as the lifecycle needs them.
//!
//! What is not read here is kept, so that an item that is written again has lost nothing but empty properties
//! (`null`).

use serde::{Deserialize, Serialize};

use super::super::state::{Percent, Phase, State, Test};
use super::meaning::{Field, Means, meaning};
use super::word::{MigrationItemOperation, MigrationState, ResyncState, TestMigrateState};
use crate::control::model::Extra;
use crate::control::{ArmId, Scenario};

/// A machine as the service has it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Item {
    /// Of `VMware`, without an agent.
    Vmware(MigrationItem),
    /// Of Hyper-V.
    HyperV(ProtectedItem),
    /// With an agent.
    Agent(ProtectedItem),
}

impl Item {
    /// How it is migrated.
    pub const fn scenario(&self) -> Scenario {
        match self {
            Self::Vmware(_) => Scenario::VmwareAgentless,
            Self::HyperV(_) => Scenario::HyperV,
            Self::Agent(_) => Scenario::AgentBased,
        }
    }

    /// What it is called: its resource id, or its name where the service gave no id.
    pub fn subject(&self) -> &str {
        let (id, name) = match self {
            Self::Vmware(item) => (&item.id, &item.name),
            Self::HyperV(item) | Self::Agent(item) => (&item.id, &item.name),
        };
        id.as_ref().map(ArmId::as_str).or(name.as_deref()).unwrap_or("an item without a name")
    }

    /// The name, in its container.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Vmware(item) => item.name.as_deref(),
            Self::HyperV(item) | Self::Agent(item) => item.name.as_deref(),
        }
    }

    /// Where its migration is. Words that are not known, and states that contradict each other, are unknown, with
    /// what was said.
    pub fn state(&self) -> State {
        match self {
            Self::Vmware(item) => item.state(),
            Self::HyperV(item) | Self::Agent(item) => item.state(),
        }
    }

    /// What the service allows now, in its words; none where it does not say.
    pub fn allowed_operations(&self) -> Option<Vec<&str>> {
        match self {
            Self::Vmware(item) => {
                let listed = item.properties.allowed_operations.as_ref()?;
                Some(listed.iter().map(MigrationItemOperation::as_str).collect())
            }
            Self::HyperV(item) | Self::Agent(item) => {
                let listed = item.properties.allowed_operations.as_ref()?;
                Some(listed.iter().map(String::as_str).collect())
            }
        }
    }
}

/// A `replicationMigrationItems` resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MigrationItem {
    /// The resource id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ArmId>,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is.
    #[serde(default)]
    pub properties: MigrationProperties,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Extra,
}

/// The properties of a [`MigrationItem`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationProperties {
    /// Where the migration is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration_state: Option<MigrationState>,
    /// Where the test migration is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_migrate_state: Option<TestMigrateState>,
    /// What the service allows now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_operations: Option<Vec<MigrationItemOperation>>,
    /// What only this kind of migration has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_specific_details: Option<VmwareCbtDetails>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Extra,
}

/// What only `VMware` machines have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VmwareCbtDetails {
    /// Where a resync is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resync_state: Option<ResyncState>,
    /// How far initial replication is, in hundredths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_seeding_progress_percentage: Option<i64>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Extra,
}

/// A `replicationProtectedItems` resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProtectedItem {
    /// The resource id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ArmId>,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is.
    #[serde(default)]
    pub properties: ProtectedProperties,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Extra,
}

/// The properties of a [`ProtectedItem`]. Its states are plain strings in the specification.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProtectedProperties {
    /// Where the migration is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection_state: Option<String>,
    /// Where the test migration is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_failover_state: Option<String>,
    /// What the service allows now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_operations: Option<Vec<String>>,
    /// What only one kind of migration has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_specific_details: Option<ProtectedDetails>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Extra,
}

/// What Hyper-V or agents have of their own. In the specification only agents tell the first two, and only Hyper-V
/// the third.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProtectedDetails {
    /// Where a resync is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resync_state: Option<ResyncState>,
    /// How far initial replication is, in hundredths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_replication_progress_percentage: Option<i64>,
    /// How initial replication goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_replication_details: Option<InitialReplicationDetails>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Extra,
}

/// How initial replication goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitialReplicationDetails {
    /// How far it is, in hundredths: a text, unlike the agents' number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_replication_progress_percentage: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Extra,
}

impl ProtectedDetails {
    /// How far initial replication is; none where nobody says, or a text is no whole number.
    fn progress(&self) -> Option<i64> {
        let text = || self.initial_replication_details.as_ref()?.initial_replication_progress_percentage.as_deref();
        self.initial_replication_progress_percentage.or_else(|| text()?.trim().parse().ok())
    }
}

impl MigrationItem {
    fn state(&self) -> State {
        let MigrationProperties { migration_state, test_migrate_state, provider_specific_details, .. } =
            &self.properties;
        let details = provider_specific_details.as_ref();
        let phase = phase_of(Field::MigrationState, migration_state.as_ref().map(MigrationState::as_str));
        let percent = details.and_then(|details| details.initial_seeding_progress_percentage);
        let resync = details.and_then(|details| details.resync_state.as_ref());
        let test = test_of(Field::TestMigrateState, test_migrate_state.as_ref().map(TestMigrateState::as_str));
        together(in_detail(phase, percent, resync), test)
    }
}

impl ProtectedItem {
    fn state(&self) -> State {
        let ProtectedProperties { protection_state, test_failover_state, provider_specific_details, .. } =
            &self.properties;
        let details = provider_specific_details.as_ref();
        let phase = phase_of(Field::ProtectionState, protection_state.as_deref());
        let percent = details.and_then(ProtectedDetails::progress);
        let resync = details.and_then(|details| details.resync_state.as_ref());
        together(in_detail(phase, percent, resync), test_of(Field::TestFailoverState, test_failover_state.as_deref()))
    }
}

/// The phase with what the details say of it. A number that is no percentage is none.
fn in_detail(phase: Phase, percent: Option<i64>, resync: Option<&ResyncState>) -> Phase {
    match (phase, resync) {
        (Phase::InitialReplication { .. }, _) => {
            Phase::InitialReplication { progress: percent.and_then(|percent| Percent::try_from(percent).ok()) }
        }
        (Phase::Replicating, Some(resync)) => match meaning(Field::ResyncState, resync.as_str()).map(|row| row.means) {
            Some(Means::Phase(kind)) => kind.begun(resync.as_str()),
            Some(_) => Phase::Replicating,
            None => Phase::Unknown { said: format!("{} {resync}", Field::ResyncState) },
        },
        (phase, _) => phase,
    }
}

fn phase_of(field: Field, word: Option<&str>) -> Phase {
    let Some(word) = word else { return Phase::Unknown { said: format!("no {field}") } };
    match meaning(field, word).map(|row| row.means) {
        Some(Means::Phase(kind)) => kind.begun(word),
        Some(Means::Migrated(outcome)) => Phase::Migrated { outcome },
        _ => Phase::Unknown { said: word.to_owned() },
    }
}

/// No word for a test is no test: the service leaves the property out before the first one.
fn test_of(field: Field, word: Option<&str>) -> Test {
    let Some(word) = word else { return Test::None };
    match meaning(field, word).map(|row| row.means) {
        Some(Means::Test(kind)) => kind.begun(word),
        _ => Test::Unknown { said: word.to_owned() },
    }
}

fn together(phase: Phase, test: Test) -> State {
    State::new(phase, test).unwrap_or_else(|incoherent| State::unknown(incoherent.to_string()))
}
