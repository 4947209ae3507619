//! Which operation each verb is, for each kind of migration.

use serde::Serialize;

use self::Method::{Delete, Patch, Post, Put};
use super::super::source::{AZ_MIGRATE, Certainty, EXAMPLES, PHYSICAL, SPECIFICATION};
use super::super::verb::{Choice, Verb};
use crate::control::Scenario;
use crate::control::named::named;
use crate::finding::Rule;

named! {
    /// An HTTP method.
    pub enum Method {
        /// Make or replace.
        Put = "PUT",
        /// Change.
        Patch = "PATCH",
        /// Do.
        Post = "POST",
        /// Delete.
        Delete = "DELETE",
    }
}

/// One row: the operation that a verb is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// For which kind of migration.
    pub scenario: Scenario,
    /// The verb.
    pub verb: Verb,
    /// The method.
    pub method: Method,
    /// The segment after the item in the path; empty for the item itself.
    pub action: &'static str,
    /// The operation's id in the specification.
    pub operation: &'static str,
    /// The word for it in the item's `allowedOperations`; none where the service says nothing of it.
    pub allowed_as: Option<&'static str>,
    /// Who says so.
    pub rule: Rule,
    /// How sure it is.
    pub certainty: Certainty,
}

impl Call {
    const fn new(
        scenario: Scenario,
        verb: Verb,
        method: Method,
        action: &'static str,
        operation: &'static str,
    ) -> Self {
        Self {
            scenario,
            verb,
            method,
            action,
            operation,
            allowed_as: None,
            rule: SPECIFICATION,
            certainty: Certainty::Stated,
        }
    }

    const fn allowed_as(self, word: &'static str) -> Self {
        Self { allowed_as: Some(word), ..self }
    }

    const fn by(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    const fn guessing(self, what: &'static str) -> Self {
        Self { certainty: Certainty::Guess(what), ..self }
    }

    /// The path below the protection container, with `{item}` for the item's name.
    pub fn path(&self) -> String {
        let slash = if self.action.is_empty() { "" } else { "/" };
        format!("{}/{{item}}{slash}{}", self.scenario.resource(), self.action)
    }
}

const fn vmware(verb: Verb, method: Method, action: &'static str, operation: &'static str) -> Call {
    Call::new(Scenario::VmwareAgentless, verb, method, action, operation)
}

const fn hyper_v(verb: Verb, method: Method, action: &'static str, operation: &'static str) -> Call {
    Call::new(Scenario::HyperV, verb, method, action, operation)
}

const fn agent(verb: Verb, method: Method, action: &'static str, operation: &'static str) -> Call {
    Call::new(Scenario::AgentBased, verb, method, action, operation)
}

const AS_HYPER_V: &str = "the word in allowedOperations: the examples are all of Hyper-V";
const WHICH_FAILOVER: &str = "the operation: which of planned and unplanned failover the portal sends is not documented, and both examples are of Hyper-V";
const REASON: &str = "that completing is removing with the reason MigrationComplete: the specification has that reason, no document says when it is sent";

/// The table: one row for each verb that a kind of migration has.
pub static CALLS: &[Call] = &[
    vmware(Verb::Enable, Put, "", "ReplicationMigrationItems_Create"),
    vmware(Verb::Update, Patch, "", "ReplicationMigrationItems_Update"),
    vmware(Verb::TestMigrate, Post, "testMigrate", "ReplicationMigrationItems_TestMigrate").allowed_as("TestMigrate"),
    vmware(Verb::CleanUpTest, Post, "testMigrateCleanup", "ReplicationMigrationItems_TestMigrateCleanup")
        .allowed_as("TestMigrateCleanup"),
    vmware(Verb::Migrate, Post, "migrate", "ReplicationMigrationItems_Migrate").allowed_as("Migrate"),
    vmware(Verb::Complete, Delete, "", "ReplicationMigrationItems_Delete")
        .allowed_as("DisableMigration")
        .by(AZ_MIGRATE),
    vmware(Verb::Pause, Post, "pauseReplication", "ReplicationMigrationItems_PauseReplication")
        .allowed_as("PauseReplication"),
    vmware(Verb::Resume, Post, "resumeReplication", "ReplicationMigrationItems_ResumeReplication")
        .allowed_as("ResumeReplication"),
    vmware(Verb::Resync, Post, "resync", "ReplicationMigrationItems_Resync").allowed_as("StartResync"),
    vmware(Verb::Remove, Delete, "", "ReplicationMigrationItems_Delete").allowed_as("DisableMigration"),
    hyper_v(Verb::Enable, Put, "", "ReplicationProtectedItems_Create"),
    hyper_v(Verb::Update, Patch, "", "ReplicationProtectedItems_Update"),
    hyper_v(Verb::TestMigrate, Post, "testFailover", "ReplicationProtectedItems_TestFailover")
        .allowed_as("TestFailover")
        .by(EXAMPLES),
    hyper_v(Verb::CleanUpTest, Post, "testFailoverCleanup", "ReplicationProtectedItems_TestFailoverCleanup")
        .allowed_as("TestFailoverCleanup")
        .by(EXAMPLES),
    hyper_v(Verb::Migrate, Post, "plannedFailover", "ReplicationProtectedItems_PlannedFailover")
        .allowed_as("PlannedFailover")
        .by(EXAMPLES)
        .guessing(WHICH_FAILOVER),
    hyper_v(Verb::Commit, Post, "failoverCommit", "ReplicationProtectedItems_FailoverCommit")
        .allowed_as("Commit")
        .by(EXAMPLES),
    hyper_v(Verb::Complete, Post, "remove", "ReplicationProtectedItems_Delete")
        .allowed_as("CompleteMigration")
        .by(EXAMPLES)
        .guessing(REASON),
    hyper_v(Verb::Resync, Post, "repairReplication", "ReplicationProtectedItems_RepairReplication"),
    hyper_v(Verb::Remove, Post, "remove", "ReplicationProtectedItems_Delete")
        .allowed_as("DisableProtection")
        .by(EXAMPLES),
    agent(Verb::Enable, Put, "", "ReplicationProtectedItems_Create"),
    agent(Verb::Update, Patch, "", "ReplicationProtectedItems_Update"),
    agent(Verb::TestMigrate, Post, "testFailover", "ReplicationProtectedItems_TestFailover")
        .allowed_as("TestFailover")
        .guessing(AS_HYPER_V),
    agent(Verb::CleanUpTest, Post, "testFailoverCleanup", "ReplicationProtectedItems_TestFailoverCleanup")
        .allowed_as("TestFailoverCleanup")
        .guessing(AS_HYPER_V),
    agent(Verb::Migrate, Post, "unplannedFailover", "ReplicationProtectedItems_UnplannedFailover")
        .allowed_as("UnplannedFailover")
        .guessing(WHICH_FAILOVER),
    agent(Verb::Commit, Post, "failoverCommit", "ReplicationProtectedItems_FailoverCommit")
        .allowed_as("Commit")
        .guessing(AS_HYPER_V),
    agent(Verb::Complete, Post, "remove", "ReplicationProtectedItems_Delete")
        .allowed_as("CompleteMigration")
        .guessing(REASON),
    agent(Verb::Resync, Post, "repairReplication", "ReplicationProtectedItems_RepairReplication"),
    agent(Verb::Remove, Post, "remove", "ReplicationProtectedItems_Delete")
        .allowed_as("DisableProtection")
        .guessing(AS_HYPER_V),
];

/// Which operation a verb is; none where the service has no such operation for this kind of migration.
pub fn call(scenario: Scenario, verb: Verb) -> Option<&'static Call> {
    CALLS.iter().find(|row| row.scenario == scenario && row.verb == verb)
}

/// One row: how a choice is told to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ChoiceCall {
    /// What is chosen.
    pub choice: Choice,
    /// For which kind of migration.
    pub scenario: Scenario,
    /// Where it is written in the request.
    pub field: &'static str,
    /// What is written there where it is chosen.
    pub chosen: &'static str,
    /// What is written there where it is not; none where the field is left out then.
    pub otherwise: Option<&'static str>,
    /// Who says so.
    pub rule: Rule,
    /// How sure it is.
    pub certainty: Certainty,
}

impl ChoiceCall {
    const fn new(
        choice: Choice,
        scenario: Scenario,
        field: &'static str,
        chosen: &'static str,
        otherwise: Option<&'static str>,
    ) -> Self {
        Self { choice, scenario, field, chosen, otherwise, rule: SPECIFICATION, certainty: Certainty::Stated }
    }

    const fn by(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    const fn guessing(self, what: &'static str) -> Self {
        Self { certainty: Certainty::Guess(what), ..self }
    }
}

/// The table. Booleans are strings in these requests.
pub static CHOICE_CALLS: &[ChoiceCall] = &[
    ChoiceCall::new(
        Choice::ShutDownSource,
        Scenario::VmwareAgentless,
        "body: providerSpecificDetails.performShutdown",
        "true",
        Some("false"),
    ),
    ChoiceCall::new(Choice::ShutDownSource, Scenario::HyperV, "the operation", "plannedFailover", Some("unplannedFailover"))
        .guessing("that a planned failover shuts the machine down, and that the portal sends an unplanned one otherwise: the request of neither has a field for it"),
    ChoiceCall::new(
        Choice::ShutDownSource,
        Scenario::AgentBased,
        "body: providerSpecificDetails.performShutdown",
        "true, which is refused here",
        Some("false"),
    )
    .by(PHYSICAL),
    ChoiceCall::new(
        Choice::DeleteTarget,
        Scenario::VmwareAgentless,
        "body: providerSpecificDetails.deleteMigrationResources",
        "true",
        Some("false"),
    ),
    ChoiceCall::new(Choice::Force, Scenario::VmwareAgentless, "query: deleteOption", "Force", None)
        .by(AZ_MIGRATE)
        .guessing("the value: the specification has a plain string, the client a switch that it writes into it"),
    ChoiceCall::new(Choice::Force, Scenario::HyperV, "the operation", "DELETE (ReplicationProtectedItems_Purge)", Some("POST remove")),
    ChoiceCall::new(Choice::Force, Scenario::AgentBased, "the operation", "DELETE (ReplicationProtectedItems_Purge)", Some("POST remove")),
];
