//! The ways down: clean up a test, roll back, complete.
//!
//! Only what carries the cutover's tag and is in its record is deleted, and what the caller names. The order is that of
//! the way up, backwards: machine, interfaces, disks. Replicas are never touched; they are not Azure Resource
//! Manager's.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::IgnoredAny;
use tokio_util::sync::CancellationToken;

use super::compare::Standing;
use super::error::CutoverError;
use super::record::Record;
use super::replica::Replica;
use super::run::Cutover;
use super::settings::Purpose;
use super::tag::{self, TAG_USED};
use crate::control::ArmId;
use crate::control::arm::{Operation, operations};
use crate::control::model::{Disk, Extra, Resource, VirtualMachine};
use crate::control::named::named;

named! {
    /// What becomes of the disks and interfaces of a machine that is rolled back.
    pub enum Leftover {
        /// They stay, to be looked at. The disks are marked: no later run takes them for the recovery point.
        Keep = "keep",
        /// They are deleted; the next run makes them again of the replicas.
        Delete = "delete",
    }
}

/// Something that was not deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    /// What.
    pub id: ArmId,
    /// Why not.
    pub why: &'static str,
}

/// What can go after a cutover was completed: it is the caller's to delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Completed {
    /// The replicas that no machine needs any more.
    pub replicas: Vec<Replica>,
}

/// How a resource of a cutover is read and deleted, and in which turn.
struct Kind {
    resource_type: &'static str,
    get: &'static Operation,
    delete: &'static Operation,
}

/// The kinds that are deleted here, in the order in which they can be.
static KINDS: [Kind; 4] = [
    Kind {
        resource_type: "Microsoft.Compute/virtualMachines",
        get: &operations::VIRTUAL_MACHINES_GET,
        delete: &operations::VIRTUAL_MACHINES_DELETE,
    },
    Kind {
        resource_type: "Microsoft.Network/networkInterfaces",
        get: &operations::NETWORK_INTERFACES_GET,
        delete: &operations::NETWORK_INTERFACES_DELETE,
    },
    Kind { resource_type: "Microsoft.Compute/disks", get: &operations::DISKS_GET, delete: &operations::DISKS_DELETE },
    Kind {
        resource_type: "Microsoft.Compute/snapshots",
        get: &operations::SNAPSHOTS_GET,
        delete: &operations::SNAPSHOTS_DELETE,
    },
];

/// The turn of a resource, and how it is deleted.
fn kind_of(id: &ArmId) -> Option<(usize, &'static Kind)> {
    KINDS.iter().enumerate().find(|(_, kind)| id.is_of(kind.resource_type))
}

impl Cutover<'_> {
    /// Deletes a test machine with its interfaces and disks. What is left is told.
    ///
    /// # Errors
    ///
    /// [`CutoverError::NotNow`] for a machine that is no test, [`CutoverError::NotOurs`] if the machine of that name is
    /// another one; otherwise [`CutoverError::OtherRecord`], [`CutoverError::Record`] and [`CutoverError::Arm`], after
    /// which the same call goes on.
    pub async fn clean_up(&self, record: &mut Record, cancel: &CancellationToken) -> Result<Vec<Left>, CutoverError> {
        record.check(self.plan)?;
        if self.plan.purpose != Purpose::Test {
            return Err(self.not_now("clean up", "it is no test machine: roll it back, or complete it"));
        }
        self.delete_machine(record, cancel).await?;
        self.delete_rest(record, cancel).await
    }

    /// Deletes the machine, so that its server can go on and be replicated further. Replicas stay as they are.
    ///
    /// # Errors
    ///
    /// [`CutoverError::NotNow`] for a test machine and after completion, [`CutoverError::NotOurs`] if the machine was
    /// not made by this cutover; otherwise as [`Cutover::clean_up`].
    pub async fn roll_back(
        &self,
        record: &mut Record,
        leftover: Leftover,
        cancel: &CancellationToken,
    ) -> Result<Vec<Left>, CutoverError> {
        record.check(self.plan)?;
        if self.plan.purpose != Purpose::Production {
            return Err(self.not_now("roll back", "it is a test machine: clean it up"));
        }
        if record.is_complete {
            return Err(self.not_now("roll back", "it was completed"));
        }
        let is_there = self.owned_machine(record, cancel).await?.is_some();
        if is_there || record.is_done(&self.plan.machine) {
            self.mark_disks(record, cancel).await?;
        }
        self.delete_machine(record, cancel).await?;
        match leftover {
            Leftover::Keep => Ok(Vec::new()),
            Leftover::Delete => self.delete_rest(record, cancel).await,
        }
    }

    /// Ends a cutover: there is no roll back after it. Deletes what the caller names (disks, snapshots, interfaces and
    /// machines that the finished machine has no part in, such as those of an earlier attempt) and nothing else. What
    /// of the data plane can go is told.
    ///
    /// # Errors
    ///
    /// [`CutoverError::NotNow`] for a test machine and for a machine that is not there or not whole,
    /// [`CutoverError::NotOurs`] for a machine that was not made by this cutover, and if something is named that the
    /// machine needs or that is of another kind: nothing is deleted then. Otherwise as [`Cutover::clean_up`].
    pub async fn complete(
        &self,
        record: &mut Record,
        named: &[ArmId],
        cancel: &CancellationToken,
    ) -> Result<Completed, CutoverError> {
        record.check(self.plan)?;
        if self.plan.purpose != Purpose::Production {
            return Err(self.not_now("complete", "it is a test machine: clean it up"));
        }
        let mut doomed = named.iter().map(|id| self.check_named(id)).collect::<Result<Vec<_>, _>>()?;
        doomed.sort_by_key(|(turn, ..)| *turn);
        let machine = self.owned_machine(record, cancel).await?;
        let is_whole = machine
            .as_ref()
            .is_some_and(|machine| Standing::of(machine.properties.provisioning_state.as_deref()) == Standing::Whole);
        if !is_whole {
            return Err(self.not_now("complete", "it is not there, or not whole: run the cutover first"));
        }
        if !record.is_complete {
            record.is_complete = true;
            self.keep(record)?;
        }
        for (_, kind, id) in doomed {
            self.client.run::<IgnoredAny>(&kind.delete.on(id), cancel).await?;
            record.forget(id);
            self.keep(record)?;
        }
        Ok(Completed { replicas: self.plan.disks.iter().map(|disk| disk.replica.clone()).collect() })
    }

    /// That what the caller names can be deleted without harm to the machine.
    fn check_named<'a>(&self, id: &'a ArmId) -> Result<(usize, &'static Kind, &'a ArmId), CutoverError> {
        let refuse = |why| Err(CutoverError::NotOurs { id: id.clone(), why });
        let plan = self.plan;
        let mut parts = plan.disks.iter().map(|disk| &disk.id).chain(plan.nics.iter().map(|nic| &nic.id));
        if *id == plan.machine || parts.any(|part| part == id) {
            return refuse("the finished machine needs it");
        }
        match kind_of(id) {
            Some((turn, kind)) if id.path().is_ok() => Ok((turn, kind, id)),
            _ => refuse("it is neither a machine nor an interface, a disk or a snapshot"),
        }
    }

    /// The machine, if it is there and was made by this cutover.
    async fn owned_machine(
        &self,
        record: &Record,
        cancel: &CancellationToken,
    ) -> Result<Option<VirtualMachine>, CutoverError> {
        let id = &self.plan.machine;
        let found: Option<VirtualMachine> = self.client.find(&operations::VIRTUAL_MACHINES_GET, id, cancel).await?;
        let Some(machine) = found else { return Ok(None) };
        let refuse = |why| Err(CutoverError::NotOurs { id: id.clone(), why });
        if !tag::are_of(machine.tags.as_ref(), self.plan.cutover) {
            return refuse("it does not carry this cutover's tag");
        }
        if !record.has(id) {
            return refuse("it is not in this cutover's record");
        }
        Ok(Some(machine))
    }

    async fn delete_machine(&self, record: &mut Record, cancel: &CancellationToken) -> Result<(), CutoverError> {
        if self.owned_machine(record, cancel).await?.is_some() {
            let delete = operations::VIRTUAL_MACHINES_DELETE.on(&self.plan.machine);
            self.client.run::<IgnoredAny>(&delete, cancel).await?;
        }
        if record.has(&self.plan.machine) {
            record.forget(&self.plan.machine);
            self.keep(record)?;
        }
        Ok(())
    }

    /// Marks the disks as written to by a machine, before it goes: afterwards nobody could tell.
    async fn mark_disks(&self, record: &Record, cancel: &CancellationToken) -> Result<(), CutoverError> {
        for id in self.plan.disks.iter().map(|disk| &disk.id).filter(|id| record.has(id)) {
            let found: Option<Disk> = self.client.find(&operations::DISKS_GET, id, cancel).await?;
            let Some(mut tags) = found.and_then(|disk| disk.tags) else { continue };
            if !tag::are_of(Some(&tags), self.plan.cutover) || tag::value(Some(&tags), TAG_USED).is_some() {
                continue;
            }
            tags.insert(TAG_USED.to_owned(), "true".to_owned());
            let body = BTreeMap::from([("tags", tags)]);
            self.client.run::<IgnoredAny>(&operations::DISKS_UPDATE.on(id).with_body(&body)?, cancel).await?;
        }
        Ok(())
    }

    /// Deletes what the record has besides the machine.
    async fn delete_rest(&self, record: &mut Record, cancel: &CancellationToken) -> Result<Vec<Left>, CutoverError> {
        let mut doomed: Vec<_> = record.made().filter_map(|id| Some((kind_of(id)?, id.clone()))).collect();
        doomed.sort_by_key(|((turn, _), _)| *turn);
        let mut left = Vec::new();
        for ((_, kind), id) in doomed {
            if let Some(why) = self.delete_owned(kind, &id, cancel).await? {
                left.push(Left { id, why });
                continue;
            }
            record.forget(&id);
            self.keep(record)?;
        }
        Ok(left)
    }

    /// Deletes it, if it is still this cutover's; otherwise why not.
    async fn delete_owned(
        &self,
        kind: &Kind,
        id: &ArmId,
        cancel: &CancellationToken,
    ) -> Result<Option<&'static str>, CutoverError> {
        let found: Option<Resource<Extra>> = self.client.find(kind.get, id, cancel).await?;
        let Some(found) = found else { return Ok(None) };
        if !tag::are_of(found.tags.as_ref(), self.plan.cutover) {
            return Ok(Some("it does not carry this cutover's tag"));
        }
        let user = holder(&found);
        if user.is_some_and(|user| user != self.plan.machine) {
            return Ok(Some("another machine has it"));
        }
        self.client.run::<IgnoredAny>(&kind.delete.on(id), cancel).await?;
        Ok(None)
    }
}

/// The machine that has the disk or the interface.
fn holder(found: &Resource<Extra>) -> Option<ArmId> {
    let of_disk = found.extra.get("managedBy").and_then(|id| id.as_str());
    let of_nic = || found.properties.get("virtualMachine")?.get("id")?.as_str();
    of_disk.filter(|id| !id.is_empty()).or_else(of_nic).map(ArmId::new)
}
