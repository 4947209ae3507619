//! Whether what a step wants is there already: what is around the servers.
//!
//! What is there is compared as far as the step would make it. Something else under the same name is somebody's, and
//! is left alone: that is an error for a person to decide.

use std::net::Ipv4Addr;

use super::error::ApplyError;
use super::outcome::Wait;
use super::run::{Absent, Look, Run, is_given};
use crate::control::ArmId;
use crate::control::arm::operations;
use crate::control::model::{
    ConnectionStatus, ContainerMapping, Policy, PrivateDnsZone, PrivateDnsZoneGroup, PrivateEndpoint, RecordSet,
    RoleAssignment, StorageAccount, Vault, VirtualNetworkLink,
};
use crate::control::observed::Observed;
use crate::control::plan::observe::grants_of;
use crate::control::plan::{Action, Approval, Step, request};

/// How far a resource is, by its `provisioningState`.
enum Provisioned {
    Yes,
    /// It is being made.
    NotYet(String),
    /// It is a ruin: making it again mends it.
    Failed,
}

impl Provisioned {
    fn of(state: Option<&String>) -> Self {
        match state.map(|state| state.to_ascii_lowercase()).as_deref() {
            None | Some("" | "succeeded") => Self::Yes,
            Some("failed" | "canceled" | "cancelled") => Self::Failed,
            Some(state) => Self::NotYet(state.to_owned()),
        }
    }
}

impl Run<'_> {
    /// Whether what a step wants is there.
    pub(super) async fn look(&mut self, step: &Step) -> Result<Look, ApplyError> {
        let nothing = || Look::absent(step, Observed::default());
        let there = |found: bool| if found { Look::There } else { nothing() };
        Ok(match &step.action {
            Action::CreateGroup { group, .. } => {
                there(self.find::<serde_json::Value>(&operations::RESOURCE_GROUPS_GET, group).await?.is_some())
            }
            Action::CreateVault { vault, .. } => self.look_at_vault(step, vault).await?,
            Action::GiveIdentity { vault } => {
                let found: Option<Vault> = self.find(&operations::VAULTS_GET, vault).await?;
                there(found.ok_or_else(|| missing(step, vault))?.principal_id().is_some())
            }
            Action::TrustServices { account } => {
                let found = self.account(step, account).await?;
                if !found.restricts_network() || found.trusts_azure_services() {
                    return Ok(Look::There);
                }
                Look::absent(step, Observed { accounts: vec![found], ..Observed::default() })
            }
            Action::CreateEndpoint { endpoint, target, request, .. } => {
                self.look_at_endpoint(step, endpoint, target, request.is_some()).await?
            }
            Action::ApproveEndpoint { target, endpoint } => self.look_at_approval(step, endpoint, target).await?,
            Action::CreateZone { zone } => {
                there(self.find::<PrivateDnsZone>(&operations::PRIVATE_ZONES_GET, zone).await?.is_some())
            }
            Action::LinkZone { link, network } => self.look_at_link(step, link, network).await?,
            Action::AttachZone { endpoint, zone } => self.look_at_group(step, endpoint, zone).await?,
            Action::WriteRecords { endpoint, zone } => self.look_at_records(step, endpoint, zone).await?,
            Action::GrantRole { scope, vault, role } => {
                let found: Option<Vault> = self.find(&operations::VAULTS_GET, vault).await?;
                let found = found.ok_or_else(|| missing(step, vault))?;
                if let Some(principal) = found.principal_id() {
                    let grants: Vec<RoleAssignment> = self.list(&grants_of(principal, scope)).await?;
                    if is_given(&grants, scope, principal, *role) {
                        return Ok(Look::There);
                    }
                }
                Look::absent(step, Observed { vault: Some(found), ..Observed::default() })
            }
            Action::CreatePolicy { policy, .. } => {
                there(self.find::<Policy>(&operations::POLICIES_GET, policy).await?.is_some())
            }
            Action::MapContainer { mapping, policy, .. } => {
                match self.find::<ContainerMapping>(&operations::MAPPINGS_GET, mapping).await? {
                    None => nothing(),
                    Some(found) if found.properties.policy_id.as_ref() == Some(policy) => Look::There,
                    Some(_) => return Err(taken(step, mapping, "maps the container to another policy")),
                }
            }
            Action::Enable { item, .. } => self.look_at_enable(step, item).await?,
            Action::Update { item, settings } => self.look_at_update(step, item, settings).await?,
            Action::Ask { item, verb, shuts_down } => self.look_at_ask(step, item, *verb, *shuts_down).await?,
        })
    }

    async fn account(&self, step: &Step, id: &ArmId) -> Result<StorageAccount, ApplyError> {
        let found: Option<StorageAccount> = self.find(&operations::STORAGE_ACCOUNTS_GET, id).await?;
        let found = found.ok_or_else(|| missing(step, id))?;
        Ok(StorageAccount { id: Some(id.clone()), ..found })
    }

    async fn look_at_vault(&self, step: &Step, id: &ArmId) -> Result<Look, ApplyError> {
        let found: Option<Vault> = self.find(&operations::VAULTS_GET, id).await?;
        let Some(vault) = found else { return Ok(Look::absent(step, Observed::default())) };
        Ok(match Provisioned::of(vault.properties.provisioning_state.as_ref()) {
            Provisioned::NotYet(state) => Look::Making(state),
            Provisioned::Failed => Look::absent(step, Observed::default()),
            Provisioned::Yes if vault.principal_id().is_some() => Look::There,
            // It is there by now, from somebody else: it is given what it lacks and keeps what it has.
            Provisioned::Yes => {
                let step = Step { action: Action::GiveIdentity { vault: id.clone() }, ..step.clone() };
                Look::absent(&step, Observed::default())
            }
        })
    }

    /// The private endpoint, approved, unless its approval is a step of its own.
    async fn look_at_endpoint(
        &self,
        step: &Step,
        id: &ArmId,
        target: &ArmId,
        is_asked_for: bool,
    ) -> Result<Look, ApplyError> {
        let found: Option<PrivateEndpoint> = self.find(&operations::PRIVATE_ENDPOINTS_GET, id).await?;
        let Some(endpoint) = found else { return Ok(Look::absent(step, Observed::default())) };
        if endpoint.connection_to(target).is_none() {
            return Err(taken(step, id, &format!("leads to something else than {target}")));
        }
        match Provisioned::of(endpoint.properties.provisioning_state.as_ref()) {
            Provisioned::NotYet(state) => return Ok(Look::Making(state)),
            Provisioned::Failed => return Ok(Look::absent(step, Observed::default())),
            Provisioned::Yes if is_asked_for => return Ok(Look::There),
            Provisioned::Yes => {}
        }
        self.approval(step, id, target, &endpoint).await
    }

    async fn look_at_approval(&self, step: &Step, id: &ArmId, target: &ArmId) -> Result<Look, ApplyError> {
        let found: Option<PrivateEndpoint> = self.find(&operations::PRIVATE_ENDPOINTS_GET, id).await?;
        let endpoint = found.ok_or_else(|| missing(step, id))?;
        self.approval(step, id, target, &endpoint).await
    }

    /// Whether the owner has let the endpoint in; what the approval is, where nobody has.
    async fn approval(
        &self,
        step: &Step,
        id: &ArmId,
        target: &ArmId,
        endpoint: &PrivateEndpoint,
    ) -> Result<Look, ApplyError> {
        match endpoint.connection_to(target).and_then(|connection| connection.status()) {
            Some(ConnectionStatus::Approved) => return Ok(Look::There),
            Some(status @ (ConnectionStatus::Rejected | ConnectionStatus::Disconnected)) => {
                let (step, endpoint, status) = (step.id.clone(), id.clone(), status.to_string());
                return Err(ApplyError::EndpointRefused { step, endpoint, status });
            }
            _ => {}
        }
        let mut seen = Observed::default();
        if target.is_of("Microsoft.RecoveryServices/vaults") {
            seen.vault = self.find(&operations::VAULTS_GET, target).await?;
        } else {
            seen.accounts.push(self.account(step, target).await?);
        }
        let action = Action::ApproveEndpoint { target: target.clone(), endpoint: id.clone() };
        let approval = Some(Approval::ApproveEndpoint);
        let step = Step { action, approval, ..step.clone() };
        Ok(Look::Absent(Box::new(Absent { step, seen, job_before: None })))
    }

    async fn look_at_link(&self, step: &Step, id: &ArmId, network: &ArmId) -> Result<Look, ApplyError> {
        let Some(zone) = id.parent() else { return Ok(Look::absent(step, Observed::default())) };
        let links: Vec<VirtualNetworkLink> = self.list(&operations::VIRTUAL_NETWORK_LINKS_LIST.on(&zone)).await?;
        let leads = |link: &VirtualNetworkLink| {
            link.properties.virtual_network.as_ref().and_then(|one| one.id.as_ref()) == Some(network)
        };
        if links.iter().any(leads) {
            return Ok(Look::There);
        }
        if links.iter().any(|link| link.id.as_ref() == Some(id)) {
            return Err(taken(step, id, "links the zone to another network"));
        }
        Ok(Look::absent(step, Observed::default()))
    }

    async fn look_at_group(&self, step: &Step, endpoint: &ArmId, zone: &ArmId) -> Result<Look, ApplyError> {
        let groups: Vec<PrivateDnsZoneGroup> =
            self.list(&operations::PRIVATE_DNS_ZONE_GROUPS_LIST.on(endpoint)).await?;
        let Some(group) = groups.first() else { return Ok(Look::absent(step, Observed::default())) };
        let mut configs = groups.iter().flat_map(|one| one.properties.private_dns_zone_configs.iter().flatten());
        if !configs.any(|config| config.properties.private_dns_zone_id.as_ref() == Some(zone)) {
            let id = group.id.as_ref().unwrap_or(endpoint);
            return Err(taken(step, id, "keeps the names of the private endpoint in another zone"));
        }
        Ok(match Provisioned::of(group.properties.provisioning_state.as_ref()) {
            Provisioned::Yes => Look::There,
            Provisioned::NotYet(state) => Look::Making(state),
            Provisioned::Failed => Look::absent(step, Observed::default()),
        })
    }

    async fn look_at_records(&self, step: &Step, endpoint: &ArmId, zone: &ArmId) -> Result<Look, ApplyError> {
        let found: Option<PrivateEndpoint> = self.find(&operations::PRIVATE_ENDPOINTS_GET, endpoint).await?;
        let found = PrivateEndpoint { id: Some(endpoint.clone()), ..found.ok_or_else(|| missing(step, endpoint))? };
        let records: Vec<RecordSet> = self.list(&operations::RECORD_SETS_LIST.on(zone)).await?;
        let seen = Observed { endpoints: vec![found], records, ..Observed::default() };
        if request::records(endpoint, zone, &seen).is_empty() {
            let state = "the private endpoint has no names yet".to_owned();
            return Ok(Look::Waits(Wait::NotYet { step: step.id.clone(), state }));
        }
        if missing_records(step, endpoint, zone, &seen)?.is_empty() {
            return Ok(Look::There);
        }
        Ok(Look::absent(step, seen))
    }
}

/// The records that an endpoint lacks in a zone. One that leads elsewhere is an error: it is somebody's.
pub(super) fn missing_records(
    step: &Step,
    endpoint: &ArmId,
    zone: &ArmId,
    seen: &Observed,
) -> Result<Vec<(String, Vec<Ipv4Addr>)>, ApplyError> {
    let mut missing = Vec::new();
    for (label, addresses) in request::records(endpoint, zone, seen) {
        let id = zone.child("A", &label);
        let there = seen.records.iter().find(|record| {
            record.id.as_ref() == Some(&id)
                || record.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(&label))
        });
        let Some(record) = there else {
            missing.push((label, addresses));
            continue;
        };
        let told: Vec<Ipv4Addr> = record.properties.addresses().collect();
        if !addresses.iter().all(|address| told.contains(address)) {
            return Err(taken(step, &id, "leads to other addresses than the private endpoint's"));
        }
    }
    Ok(missing)
}

pub(super) fn missing(step: &Step, id: &ArmId) -> ApplyError {
    ApplyError::Missing { step: step.id.clone(), id: id.clone() }
}

fn taken(step: &Step, id: &ArmId, why: &str) -> ApplyError {
    ApplyError::NameTaken { step: step.id.clone(), id: id.clone(), why: why.to_owned() }
}
