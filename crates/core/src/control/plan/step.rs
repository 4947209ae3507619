//! A step of a plan: what is done, after what, and who must agree.

use serde::{Deserialize, Serialize};

use crate::control::lifecycle::Verb;
use crate::control::model::Role;
use crate::control::named::named;
use crate::control::{ArmId, Scenario};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name, the same in every plan that has it.
    pub id: StepId,
    /// What is done.
    #[serde(flatten)]
    pub action: Action,
    /// The steps that come before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<StepId>,
    /// Who must agree first, where somebody must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// The reason, as a sentence.
    pub why: String,
}

/// The name of a step: the action and what it is done to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub(super) String);

impl StepId {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for StepId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Display for StepId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

named! {
    /// What somebody must agree to before it is done.
    pub enum Approval {
        /// A private endpoint is let in: the owner of the resource that it leads to.
        ApproveEndpoint = "approve_endpoint",
        /// A role is granted: an Owner or User Access Administrator of the account.
        GrantRole = "grant_role",
        /// A private DNS zone of another subscription is changed: the owner of the hub.
        ChangeHubDns = "change_hub_dns",
        /// The source is shut down: the owner of the server.
        ShutDownSource = "shut_down_source",
        /// Something is deleted, or replication is ended for good: the owner of the server.
        Delete = "delete",
    }
}

impl Approval {
    /// Who can agree.
    pub const fn who(self) -> &'static str {
        match self {
            Self::ApproveEndpoint => "the owner of the resource that the private endpoint leads to",
            Self::GrantRole => "an Owner or User Access Administrator of the account",
            Self::ChangeHubDns => "the owner of the private DNS zones",
            Self::ShutDownSource | Self::Delete => "the owner of the server",
        }
    }
}

/// What a step does. Each action holds everything that does not depend on what Azure says at the time; what does
/// (the principal of an identity that is still to be made, the name of a connection) is read when the step is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// Make a resource group.
    CreateGroup {
        /// The group.
        group: ArmId,
        /// Where it is.
        region: String,
    },
    /// Make a Recovery Services vault with an identity of its own.
    CreateVault {
        /// The vault.
        vault: ArmId,
        /// Where it is.
        region: String,
    },
    /// Give a vault an identity of its own.
    GiveIdentity {
        /// The vault.
        vault: ArmId,
    },
    /// Let Microsoft's trusted services past the network rules of an account.
    TrustServices {
        /// The account.
        account: ArmId,
    },
    /// Make a private endpoint.
    CreateEndpoint {
        /// The endpoint.
        endpoint: ArmId,
        /// Where it is: where its network is.
        region: String,
        /// Its subnet.
        subnet: ArmId,
        /// What it leads to.
        target: ArmId,
        /// Which part of that: `blob`, `AzureSiteRecovery`.
        group: String,
        /// What the owner of the target is asked; none where the caller may approve it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<String>,
    },
    /// Approve a private endpoint, on the side of what it leads to.
    ApproveEndpoint {
        /// What it leads to.
        target: ArmId,
        /// The endpoint.
        endpoint: ArmId,
    },
    /// Make a private DNS zone.
    CreateZone {
        /// The zone.
        zone: ArmId,
    },
    /// Let a virtual network see a private DNS zone.
    LinkZone {
        /// The link.
        link: ArmId,
        /// The network.
        network: ArmId,
    },
    /// Attach a private DNS zone to a private endpoint, which keeps the records from then on.
    AttachZone {
        /// The endpoint.
        endpoint: ArmId,
        /// The zone.
        zone: ArmId,
    },
    /// Write the records of a private endpoint into a zone, where no zone group does.
    WriteRecords {
        /// The endpoint, whose names and addresses are read when the step is done.
        endpoint: ArmId,
        /// The zone.
        zone: ArmId,
    },
    /// Grant a role to the identity of a vault.
    GrantRole {
        /// Where.
        scope: ArmId,
        /// The vault, whose identity is read when the step is done.
        vault: ArmId,
        /// Which role.
        role: Role,
    },
    /// Make the policy by which a site replicates.
    CreatePolicy {
        /// The policy.
        policy: ArmId,
        /// How its servers are migrated.
        scenario: Scenario,
    },
    /// Say where the servers of a site go.
    MapContainer {
        /// The mapping.
        mapping: ArmId,
        /// The policy.
        policy: ArmId,
        /// The account that replication data goes to.
        account: ArmId,
        /// The region that the servers go to.
        region: String,
        /// How the servers are migrated.
        scenario: Scenario,
    },
    /// Begin to replicate a server.
    Enable {
        /// The item that stands for it.
        item: ArmId,
        /// Which batch it is in: the first is 1.
        batch: usize,
    },
    /// Change settings of a server that replicates.
    Update {
        /// The item.
        item: ArmId,
        /// Which settings, by name.
        settings: Vec<String>,
    },
    /// Ask for something in a server's lifecycle.
    Ask {
        /// The item.
        item: ArmId,
        /// What.
        verb: Verb,
        /// Whether the source is shut down; for the cutover only.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        shuts_down: bool,
    },
}

impl Action {
    /// The resource that the action is about.
    pub const fn subject(&self) -> &ArmId {
        match self {
            Self::CreateGroup { group: id, .. }
            | Self::CreateVault { vault: id, .. }
            | Self::GiveIdentity { vault: id }
            | Self::TrustServices { account: id }
            | Self::CreateEndpoint { endpoint: id, .. }
            | Self::ApproveEndpoint { endpoint: id, .. }
            | Self::CreateZone { zone: id }
            | Self::LinkZone { link: id, .. }
            | Self::AttachZone { endpoint: id, .. }
            | Self::WriteRecords { endpoint: id, .. }
            | Self::GrantRole { scope: id, .. }
            | Self::CreatePolicy { policy: id, .. }
            | Self::MapContainer { mapping: id, .. }
            | Self::Enable { item: id, .. }
            | Self::Update { item: id, .. }
            | Self::Ask { item: id, .. } => id,
        }
    }

    /// The action's name, as in JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CreateGroup { .. } => "create_group",
            Self::CreateVault { .. } => "create_vault",
            Self::GiveIdentity { .. } => "give_identity",
            Self::TrustServices { .. } => "trust_services",
            Self::CreateEndpoint { .. } => "create_endpoint",
            Self::ApproveEndpoint { .. } => "approve_endpoint",
            Self::CreateZone { .. } => "create_zone",
            Self::LinkZone { .. } => "link_zone",
            Self::AttachZone { .. } => "attach_zone",
            Self::WriteRecords { .. } => "write_records",
            Self::GrantRole { .. } => "grant_role",
            Self::CreatePolicy { .. } => "create_policy",
            Self::MapContainer { .. } => "map_container",
            Self::Enable { .. } => "enable",
            Self::Update { .. } => "update",
            Self::Ask { .. } => "ask",
        }
    }

    /// The name that a step with this action has.
    pub(super) fn step_id(&self) -> StepId {
        let subject = self.subject().as_str().to_ascii_lowercase();
        let more = match self {
            Self::GrantRole { role, .. } => format!("#{role}"),
            Self::AttachZone { zone, .. } | Self::WriteRecords { zone, .. } => format!("#{}", zone.name()),
            Self::Ask { verb, .. } => format!("#{verb}"),
            _ => String::new(),
        };
        StepId(format!("{}:{subject}{more}", self.name()))
    }
}
