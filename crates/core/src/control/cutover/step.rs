//! The requests that make a machine, in their order: disks, interfaces, machine.

use serde::{Serialize, Serializer};

use super::body;
use super::error::CutoverError;
use super::plan::{DiskPlan, MachinePlan};
use super::replica::Replica;
use super::settings::Filling;
use crate::control::ArmId;
use crate::control::arm::{Request, operations};
use crate::control::model::GrantAccess;
use crate::control::named::named;
use crate::control::plan::OwnerRequest;

/// For how long a disk stays open to be written, in seconds: a day, in which a disk of 8 TiB passes at 100 MB/s. An
/// upload that takes longer is opened again by the next run.
const OPEN_SECONDS: i64 = 24 * 3600;

named! {
    /// What a step does.
    pub enum Action {
        /// Makes a managed disk.
        MakeDisk = "make_disk",
        /// Opens an empty disk to be written.
        OpenDisk = "open_disk",
        /// Has the caller copy the replica to it. No request to Azure Resource Manager.
        CopyPages = "copy_pages",
        /// Ends the writing, and makes it an ordinary disk.
        CloseDisk = "close_disk",
        /// Makes a network interface.
        MakeNic = "make_nic",
        /// Makes the machine.
        MakeMachine = "make_machine",
    }
}

/// One step on the way to the machine. In JSON its request is an [`OwnerRequest`].
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What it does.
    pub action: Action,
    /// To what.
    pub subject: ArmId,
    /// What is sent, if it is not there already. None for what the caller does.
    #[serde(serialize_with = "as_owner_request")]
    pub request: Option<Request>,
    /// What is copied, where something is.
    pub replica: Option<Replica>,
}

#[allow(clippy::ref_option)] // as serde hands it over
fn as_owner_request<S: Serializer>(request: &Option<Request>, serializer: S) -> Result<S::Ok, S::Error> {
    request.as_ref().map(OwnerRequest::of).serialize(serializer)
}

/// The steps to the machine. Pure: the same plan gives the same steps.
///
/// # Errors
///
/// [`CutoverError::Arm`] for a body that is larger than Azure Resource Manager takes.
pub fn steps(plan: &MachinePlan) -> Result<Vec<Step>, CutoverError> {
    let mut steps = Vec::new();
    for disk in &plan.disks {
        make_disk(plan, disk, &mut steps)?;
    }
    for nic in &plan.nics {
        let request = operations::NETWORK_INTERFACES_CREATE_OR_UPDATE.on(&nic.id).with_body(&body::nic(plan, nic))?;
        steps.push(Step::sent(Action::MakeNic, request));
    }
    let machine = operations::VIRTUAL_MACHINES_CREATE_OR_UPDATE.on(&plan.machine).with_body(&body::machine(plan))?;
    steps.push(Step::sent(Action::MakeMachine, machine));
    Ok(steps)
}

fn make_disk(plan: &MachinePlan, disk: &DiskPlan, steps: &mut Vec<Step>) -> Result<(), CutoverError> {
    let request = operations::DISKS_CREATE_OR_UPDATE.on(&disk.id).with_body(&body::disk(plan, disk))?;
    steps.push(Step::sent(Action::MakeDisk, request));
    if plan.filling == Filling::Upload {
        let open = operations::DISKS_GRANT_ACCESS.on(&disk.id).with_body(&GrantAccess::to_write(OPEN_SECONDS))?;
        steps.push(Step::sent(Action::OpenDisk, open));
        let (subject, replica) = (disk.id.clone(), Some(disk.replica.clone()));
        steps.push(Step { action: Action::CopyPages, subject, request: None, replica });
        steps.push(Step::sent(Action::CloseDisk, operations::DISKS_REVOKE_ACCESS.on(&disk.id)));
    }
    Ok(())
}

impl Step {
    fn sent(action: Action, request: Request) -> Self {
        Self { action, subject: request.id().clone(), request: Some(request), replica: None }
    }
}
