//! From what is wanted and what is there to steps.

use std::collections::BTreeSet;

use super::goal::{Aim, Goal, is_stuck, verbs};
use super::step::{Action, Approval, Step, StepId};
use super::{Plan, Stuck};
use crate::control::lifecycle::wire::Item;
use crate::control::lifecycle::{State, Verb};
use crate::control::limits::Limits;
use crate::control::model::{ConnectionStatus, PrivateEndpoint, Role, RoleGrant};
use crate::control::observed::Observed;
use crate::control::settings::{Changeable, MigrationSettings, ServerSettings, batches, changeable};
use crate::control::{ArmId, Scenario, differences};
use crate::private_link::PrivateService;

/// Gathers steps; each comes after those that it was told to wait for.
struct Draft<'a> {
    wanted: &'a MigrationSettings,
    seen: &'a Observed,
    steps: Vec<Step>,
}

impl Draft<'_> {
    /// Adds a step, and gives its name.
    fn add(
        &mut self,
        action: Action,
        after: Vec<StepId>,
        approval: Option<Approval>,
        why: impl Into<String>,
    ) -> StepId {
        let id = action.step_id();
        self.steps.push(Step { id: id.clone(), action, after, approval, why: why.into() });
        id
    }
}

/// See [`super::plan`].
pub(super) fn plan(wanted: &MigrationSettings, aim: Aim, seen: &Observed, limits: &Limits) -> Plan {
    let mut draft = Draft { wanted, seen, steps: Vec::new() };
    let mut stuck = Vec::new();
    let ends = matches!(aim.goal, Goal::Removed | Goal::Paused | Goal::TestCleanedUp);
    // What ends something needs nothing new around it.
    let ready = if ends { Vec::new() } else { surroundings(&mut draft) };
    let mut before = ready;
    for (number, batch) in batches(&wanted.servers, wanted.scenario, limits).enumerate() {
        let mut enabled = Vec::new();
        for server in batch {
            let item = item_of(seen, server);
            let state = item.map_or_else(|| without_item(server, aim.goal, seen), Item::state);
            if is_stuck(&state, aim.goal) {
                stuck.push(Stuck { server: server.name.clone(), state: state.to_string() });
                continue;
            }
            enabled.extend(lifecycle(&mut draft, server, item, &state, aim, number + 1, &before));
        }
        // A batch begins when the one before it was accepted.
        before.extend(enabled);
    }
    Plan { scenario: wanted.scenario, settings: wanted.digest(), aim: Some(aim), steps: draft.steps, stuck }
}

/// See [`super::ask`].
pub(super) fn ask(wanted: &MigrationSettings, verb: Verb, seen: &Observed) -> Plan {
    let mut draft = Draft { wanted, seen, steps: Vec::new() };
    for server in wanted.servers.iter().filter(|server| item_of(seen, server).is_some()) {
        let item = wanted.container.child(wanted.scenario.resource(), &server.item);
        let approval = matches!(verb, Verb::Complete | Verb::Remove).then_some(Approval::Delete);
        let why = format!("{verb} was asked for");
        draft.add(Action::Ask { item, verb, shuts_down: false }, Vec::new(), approval, why);
    }
    let settings = wanted.digest();
    Plan { scenario: wanted.scenario, settings, aim: None, steps: draft.steps, stuck: Vec::new() }
}

fn item_of<'a>(seen: &'a Observed, server: &ServerSettings) -> Option<&'a Item> {
    seen.items.iter().find(|item| item.name().is_some_and(|name| name.eq_ignore_ascii_case(&server.item)))
}

/// Where a server is that the service does not know. Its machine in Azure, under the name that is wanted, says that a
/// migration was completed: it does not begin anew.
fn without_item(server: &ServerSettings, goal: Goal, seen: &Observed) -> State {
    let is_there = seen.vm_names.iter().any(|name| name.eq_ignore_ascii_case(&server.name));
    if is_there && matches!(goal, Goal::Migrated | Goal::Completed) { State::gone() } else { State::not_enabled() }
}

/// The steps of one server; gives the step that enables it.
fn lifecycle(
    draft: &mut Draft<'_>,
    server: &ServerSettings,
    item: Option<&Item>,
    state: &State,
    aim: Aim,
    batch: usize,
    before: &[StepId],
) -> Option<StepId> {
    let wanted = draft.wanted;
    let id = wanted.container.child(wanted.scenario.resource(), &server.item);
    let mut last: Option<StepId> = None;
    let mut enabled = None;
    if let Some(item) = item
        && matches!(aim.goal, Goal::Replicating | Goal::Tested | Goal::Migrated | Goal::Completed)
        && state.phase().kind() == crate::control::lifecycle::PhaseKind::Replicating
    {
        let changes: BTreeSet<&str> = differences(wanted, server, item)
            .into_iter()
            .filter(|one| changeable(one.setting, wanted.scenario).until == Changeable::UntilCutover)
            .map(|one| one.setting.as_str())
            .collect();
        if !changes.is_empty() {
            let settings: Vec<String> = changes.into_iter().map(str::to_owned).collect();
            let why = format!("{} of {} is not what is wanted", settings.join(", "), server.name);
            last = Some(draft.add(Action::Update { item: id.clone(), settings }, Vec::new(), None, why));
        }
    }
    for verb in verbs(wanted.scenario, state, aim.goal) {
        if verb == Verb::Enable {
            let why = format!("{} is not replicated yet", server.name);
            let step = draft.add(Action::Enable { item: id.clone(), batch }, before.to_vec(), None, why);
            enabled = Some(step.clone());
            last = Some(step);
            continue;
        }
        let shuts_down = verb == Verb::Migrate && aim.shuts_down(wanted.scenario);
        let approval = match verb {
            Verb::Migrate if shuts_down => Some(Approval::ShutDownSource),
            Verb::Complete | Verb::Remove => Some(Approval::Delete),
            _ => None,
        };
        let why = format!("{} is {state}, and shall be {}", server.name, aim.goal);
        last = Some(draft.add(
            Action::Ask { item: id.clone(), verb, shuts_down },
            last.into_iter().collect(),
            approval,
            why,
        ));
    }
    enabled
}

/// Everything around the servers; gives the steps that must be done before one is enabled.
fn surroundings(draft: &mut Draft<'_>) -> Vec<StepId> {
    let (wanted, seen) = (draft.wanted, draft.seen);
    let group = &wanted.target.resource_group;
    let mut ready = Vec::new();
    if !seen.groups.contains(group) {
        let action = Action::CreateGroup { group: group.clone(), region: wanted.region.clone() };
        ready.push(draft.add(action, Vec::new(), None, "the machines need a resource group"));
    }
    let vault = vault(draft);
    ready.extend(vault.clone());
    for id in wanted.accounts() {
        if let Some(account) = seen.accounts.iter().find(|account| account.id.as_ref() == Some(id))
            && account.restricts_network()
            && !account.trusts_azure_services()
        {
            let action = Action::TrustServices { account: id.clone() };
            ready.push(draft.add(
                action,
                Vec::new(),
                None,
                "network access is restricted, and Microsoft's services are kept out",
            ));
        }
    }
    for target in private_targets(wanted) {
        let after = if *target == wanted.vault { vault.clone().into_iter().collect() } else { Vec::new() };
        ready.extend(private_way(draft, target, after));
    }
    if wanted.scenario != Scenario::VmwareAgentless {
        ready.extend(grants(draft, vault.as_ref()));
    }
    ready.extend(mapping(draft, &ready));
    ready
}

/// What must have a private endpoint.
fn private_targets(wanted: &MigrationSettings) -> impl Iterator<Item = &ArmId> {
    let vault = (wanted.scenario != Scenario::VmwareAgentless).then_some(&wanted.vault);
    vault.into_iter().chain(wanted.accounts())
}

fn vault(draft: &mut Draft<'_>) -> Option<StepId> {
    let (wanted, seen) = (draft.wanted, draft.seen);
    let id = wanted.vault.clone();
    match &seen.vault {
        None => {
            let action = Action::CreateVault { vault: id, region: wanted.region.clone() };
            Some(draft.add(action, Vec::new(), None, "there is no vault that could keep the replication"))
        }
        Some(vault) if vault.principal_id().is_none() => {
            let action = Action::GiveIdentity { vault: id };
            Some(draft.add(action, Vec::new(), None, "the vault has no identity that roles could be granted to"))
        }
        Some(_) => None,
    }
}

/// The part of `target` that a private endpoint leads to.
fn service_of(target: &ArmId) -> PrivateService {
    let is_vault = target.is_of("Microsoft.RecoveryServices/vaults");
    if is_vault { PrivateService::RecoveryServices } else { PrivateService::Blob }
}

/// The private endpoint of `target`, its approval and its names; gives the last steps.
fn private_way(draft: &mut Draft<'_>, target: &ArmId, after: Vec<StepId>) -> Vec<StepId> {
    let (wanted, seen) = (draft.wanted, draft.seen);
    let service = service_of(target);
    let network = &wanted.private_network;
    let existing = seen.endpoints.iter().find(|endpoint| {
        endpoint.connection_to(target).is_some_and(|connection| {
            let leads = connection.properties.group_ids.iter().flatten();
            leads.into_iter().any(|group| group.eq_ignore_ascii_case(service.group_id()))
                // One that was refused or cut off is nobody's way; a person decides what becomes of it.
                && !matches!(connection.status(), Some(ConnectionStatus::Rejected | ConnectionStatus::Disconnected))
        })
    });
    let mut last = Vec::new();
    let endpoint = match existing.and_then(|endpoint| endpoint.id.clone()) {
        Some(id) => id,
        None if seen.endpoints.iter().any(|endpoint| endpoint.connection_to(target).is_some()) => return last,
        None => {
            let name = format!("{}-{}", target.name(), service.group_id().to_ascii_lowercase());
            let endpoint = network.endpoint_group.resource("Microsoft.Network", "privateEndpoints", &name);
            let region = region_of_subnet(wanted, seen);
            let action = Action::CreateEndpoint {
                endpoint: endpoint.clone(),
                region,
                subnet: network.subnet.clone(),
                target: target.clone(),
                group: service.group_id().to_owned(),
                request: (!network.may_approve)
                    .then(|| format!("libmigrate: private endpoint of {}", target.name()).chars().take(140).collect()),
            };
            last.push(draft.add(action, after, None, format!("no private endpoint leads to {}", target.name())));
            endpoint
        }
    };
    let status = existing.and_then(|endpoint| endpoint.connection_to(target)?.status().cloned());
    let waits = if existing.is_some() { status != Some(ConnectionStatus::Approved) } else { !network.may_approve };
    if waits {
        let action = Action::ApproveEndpoint { target: target.clone(), endpoint: endpoint.clone() };
        let why = format!("the private endpoint works when the owner of {} has approved it", target.name());
        last = vec![draft.add(action, last, Some(Approval::ApproveEndpoint), why)];
    }
    if let Some(zone) = service.zone(wanted.cloud) {
        last = names(draft, existing, &endpoint, zone, last);
    }
    last
}

/// Where a private endpoint is: where its network is.
fn region_of_subnet(wanted: &MigrationSettings, seen: &Observed) -> String {
    let network = wanted.private_network.subnet.parent();
    let found = seen.networks.iter().find(|one| one.id.is_some() && one.id == network);
    found.and_then(|network| network.location.clone()).unwrap_or_else(|| wanted.region.clone())
}

/// The zone of an endpoint's names, its link, and the endpoint's records in it; gives the last steps.
fn names(
    draft: &mut Draft<'_>,
    existing: Option<&PrivateEndpoint>,
    endpoint: &ArmId,
    zone: &str,
    after: Vec<StepId>,
) -> Vec<StepId> {
    let (wanted, seen) = (draft.wanted, draft.seen);
    let zone = wanted.private_network.zone_group.resource("Microsoft.Network", "privateDnsZones", zone);
    let is_hubs =
        zone.subscription().map(str::to_ascii_lowercase) != wanted.project.subscription().map(str::to_ascii_lowercase);
    let approval = is_hubs.then_some(Approval::ChangeHubDns);
    let mut last = after;
    let make = Action::CreateZone { zone: zone.clone() };
    let known = draft.steps.iter().any(|step| step.id == make.step_id());
    if known {
        last.push(make.step_id());
    } else if !seen.zones.iter().any(|one| one.id.as_ref() == Some(&zone)) {
        last.push(draft.add(make, Vec::new(), approval, format!("there is no private DNS zone {}", zone.name())));
    }
    let subnet = existing.and_then(|one| one.properties.subnet.as_ref()?.id.clone());
    let network = subnet.unwrap_or_else(|| wanted.private_network.subnet.clone()).parent();
    if let Some(network) = network {
        let is_linked = seen.zone_links.iter().any(|link| {
            link.id.as_ref().is_some_and(|id| id.is_within(&zone))
                && link.properties.virtual_network.as_ref().and_then(|one| one.id.as_ref()) == Some(&network)
        });
        let link = zone.child("virtualNetworkLinks", &format!("{}-link", network.name()));
        let action = Action::LinkZone { link, network };
        if draft.steps.iter().any(|step| step.id == action.step_id()) {
            last.push(action.step_id());
        } else if !is_linked {
            let zone_made: Vec<StepId> =
                last.iter().filter(|id| id.as_str().starts_with("create_zone")).cloned().collect();
            let why = "the network of the private endpoint does not see the zone";
            last.push(draft.add(action, zone_made, approval, why));
        }
    }
    let groups: Vec<_> =
        seen.zone_groups.iter().filter(|group| group.id.as_ref().is_some_and(|id| id.is_within(endpoint))).collect();
    let is_attached = groups.iter().any(|group| {
        let configs = group.properties.private_dns_zone_configs.iter().flatten();
        configs.into_iter().any(|config| config.properties.private_dns_zone_id.as_ref() == Some(&zone))
    });
    if is_attached {
        return last;
    }
    // An endpoint has one zone group; one that is somebody's keeps what it has.
    let why = format!("the names of {} have no records in the zone", endpoint.name());
    if groups.is_empty() {
        let action = Action::AttachZone { endpoint: endpoint.clone(), zone };
        vec![draft.add(action, last, approval, why)]
    } else if has_records(seen, existing, &zone) {
        last
    } else {
        vec![draft.add(Action::WriteRecords { endpoint: endpoint.clone(), zone }, last, approval, why)]
    }
}

/// Whether the zone has a record for each name of the endpoint.
fn has_records(seen: &Observed, endpoint: Option<&PrivateEndpoint>, zone: &ArmId) -> bool {
    let names = endpoint.into_iter().flat_map(|one| one.properties.custom_dns_configs.iter().flatten());
    names.filter_map(|config| config.fqdn.as_deref()).all(|fqdn| {
        let label = super::label_in(fqdn, zone.name());
        seen.records.iter().any(|record| {
            record.id.as_ref().is_some_and(|id| id.is_within(zone) && Some(id.name().to_ascii_lowercase()) == label)
        })
    })
}

/// The grants that the vault's identity lacks.
fn grants(draft: &mut Draft<'_>, vault: Option<&StepId>) -> Vec<StepId> {
    let (wanted, seen) = (draft.wanted, draft.seen);
    let principal = seen.vault.as_ref().and_then(|vault| vault.principal_id());
    let mut last = Vec::new();
    for id in wanted.accounts() {
        let Some(account) = seen.accounts.iter().find(|account| account.id.as_ref() == Some(id)) else { continue };
        for role in Role::for_account(account.is_premium()) {
            let is_given = principal.is_some_and(|principal| {
                let given = |role| {
                    let grant = RoleGrant { scope: id.clone(), principal: principal.to_owned(), role };
                    seen.grants.iter().any(|assignment| grant.is_given_by(assignment))
                };
                given(role) || (role == Role::StorageBlobDataContributor && given(Role::StorageBlobDataOwner))
            });
            if !is_given {
                let action = Action::GrantRole { scope: id.clone(), vault: wanted.vault.clone(), role };
                let why = format!("the vault moves data through {} as its own identity", id.name());
                last.push(draft.add(action, vault.cloned().into_iter().collect(), Some(Approval::GrantRole), why));
            }
        }
    }
    last
}

/// The policy, and the mapping of the container.
fn mapping(draft: &mut Draft<'_>, ready: &[StepId]) -> Vec<StepId> {
    let (wanted, seen) = (draft.wanted, draft.seen);
    if seen.mapping.is_some() {
        return Vec::new();
    }
    let policy = super::policy_of(wanted);
    let mut last = ready.to_vec();
    if !seen.policies.iter().any(|one| one.id.as_ref() == Some(&policy)) {
        let action = Action::CreatePolicy { policy: policy.clone(), scenario: wanted.scenario };
        let before = last.iter().filter(|id| id.as_str().starts_with("create_vault")).cloned().collect();
        last.push(draft.add(action, before, None, "the site replicates by a policy, and there is none"));
    }
    let action = Action::MapContainer {
        mapping: wanted.container.child("replicationProtectionContainerMappings", "containermapping"),
        policy,
        account: wanted.replication_account.clone(),
        region: wanted.region.clone(),
        scenario: wanted.scenario,
    };
    vec![draft.add(action, last, None, "nobody has said yet where the servers of the site go")]
}
