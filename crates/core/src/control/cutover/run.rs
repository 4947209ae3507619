//! The way up: makes what is missing, in the order of the steps, and nothing twice.
//!
//! Everything is read before it is made. What is there, carries the tag of this cutover and is as wanted, is left as it
//! is; what is there and carries another tag or none is somebody else's, and ends the run. So a run that was killed at
//! any moment is simply run again. What is about to be made is written into the record first, so that nothing is ever
//! made that a clean-up would not know of.

use std::error::Error;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio_util::sync::CancellationToken;

use super::body;
use super::compare::{self, Standing};
use super::error::CutoverError;
use super::plan::MachinePlan;
use super::record::{Ledger, Record};
use super::replica::Replica;
use super::settings::Filling;
use super::step::{Action, Step, steps};
use super::tag::{self, TAG_CUTOVER, TAG_POINT, TAG_USED};
use crate::control::ArmId;
use crate::control::arm::{ArmClient, ArmError, Operation, Precondition, Request, operations};
use crate::control::model::{AccessUri, Disk, DiskState, Resource, VirtualMachine};
use crate::secret::Secret;

/// How often something is looked at again whose making is in doubt, or that others changed meanwhile.
const MOST_LOOKS: u32 = 5;

/// Copies replicas to disks that were opened to be written ([`Filling::Upload`]).
#[async_trait]
pub trait PageCopier: Send + Sync {
    /// Writes the whole replica, with its footer, to the page blob at `to`, which has the replica's size and may hold
    /// a part of it already. The URL holds a signature. Returns when everything is acknowledged, or soon after its
    /// cancellation with an error.
    ///
    /// # Errors
    ///
    /// What went wrong, without the URL. The next run copies the replica again, from its beginning.
    async fn copy(
        &self,
        replica: &Replica,
        to: &Secret<String>,
        cancel: &CancellationToken,
    ) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// A cutover of one machine: the way up ([`Cutover::run`]) and the ways down ([`Cutover::clean_up`],
/// [`Cutover::roll_back`], [`Cutover::complete`]).
///
/// Every call returns soon after its cancellation. Two calls at once on one plan are not meant to be: the second may
/// end in [`CutoverError::Differs`], but nothing is made twice.
#[derive(Clone, Copy)]
pub struct Cutover<'a> {
    pub(super) client: &'a ArmClient,
    pub(super) plan: &'a MachinePlan,
    pub(super) ledger: &'a dyn Ledger,
    copier: Option<&'a dyn PageCopier>,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// What was made now.
    pub made: Vec<ArmId>,
    /// What was there already, as wanted.
    pub found: Vec<ArmId>,
}

/// Something that is to be there: what is read, what is sent, and how the two are held against each other.
struct Part<'a, P> {
    get: &'static Operation,
    request: &'a Request,
    wanted: Resource<P>,
    state: fn(&P) -> Option<&str>,
    differs: fn(&Resource<P>, &Resource<P>) -> Option<String>,
}

impl<'a> Cutover<'a> {
    /// The cutover that `plan` says. Sends nothing.
    pub fn new(client: &'a ArmClient, plan: &'a MachinePlan, ledger: &'a dyn Ledger) -> Self {
        Self { client, plan, ledger, copier: None }
    }

    /// With somebody who copies replicas, where disks are uploaded.
    #[must_use]
    pub fn with_copier(self, copier: &'a dyn PageCopier) -> Self {
        Self { copier: Some(copier), ..self }
    }

    /// Makes disks, interfaces and the machine, as far as they are not there, and waits for each.
    ///
    /// # Errors
    ///
    /// [`CutoverError::NameTaken`], [`CutoverError::Differs`], [`CutoverError::DiskUsed`] and
    /// [`CutoverError::MachineGone`] if what is there is not what this cutover would have made;
    /// [`CutoverError::DiskFailed`] if Azure cannot make a disk; [`CutoverError::NoCopier`],
    /// [`CutoverError::NotFilled`] and [`CutoverError::Copy`] where disks are uploaded; otherwise
    /// [`CutoverError::OtherRecord`], [`CutoverError::Record`] and [`CutoverError::Arm`]. After each of them the same
    /// call goes on.
    pub async fn run(&self, record: &mut Record, cancel: &CancellationToken) -> Result<Outcome, CutoverError> {
        record.check(self.plan)?;
        if record.is_complete {
            return Err(self.not_now("cut over", "it was completed"));
        }
        if self.plan.filling == Filling::Upload && self.copier.is_none() {
            return Err(CutoverError::NoCopier { disk: self.plan.disks[0].id.clone() });
        }
        self.check_not_gone(record, cancel).await?;
        let (mut outcome, mut open) = (Outcome::default(), None);
        for step in steps(self.plan)? {
            let is_made = match step.action {
                Action::MakeDisk => self.make_disk(&step, record, cancel).await?,
                Action::MakeNic => self.make_nic(&step, record, cancel).await?,
                Action::MakeMachine => self.make_machine(&step, record, cancel).await?,
                Action::OpenDisk => {
                    open = self.open_disk(&step, record, cancel).await?;
                    continue;
                }
                Action::CopyPages => {
                    self.copy(&step, open.take(), record, cancel).await?;
                    continue;
                }
                Action::CloseDisk => {
                    self.close_disk(&step, cancel).await?;
                    continue;
                }
            };
            let told = if is_made { &mut outcome.made } else { &mut outcome.found };
            told.push(step.subject);
        }
        Ok(outcome)
    }

    pub(super) fn keep(&self, record: &Record) -> Result<(), CutoverError> {
        self.ledger.keep(record).map_err(|error| CutoverError::Record { reason: error.to_string() })
    }

    pub(super) fn not_now(&self, what: &'static str, why: &'static str) -> CutoverError {
        CutoverError::NotNow { what, machine: self.plan.machine.clone(), why }
    }

    /// A machine that was whole and is gone has written to its disks.
    async fn check_not_gone(&self, record: &Record, cancel: &CancellationToken) -> Result<(), CutoverError> {
        let machine = &self.plan.machine;
        if !record.is_done(machine) {
            return Ok(());
        }
        let found: Option<VirtualMachine> =
            self.client.find(&operations::VIRTUAL_MACHINES_GET, machine, cancel).await?;
        match found {
            Some(_) => Ok(()),
            None => Err(CutoverError::MachineGone { machine: machine.clone() }),
        }
    }

    async fn make_disk(
        &self,
        step: &Step,
        record: &mut Record,
        cancel: &CancellationToken,
    ) -> Result<bool, CutoverError> {
        let Some((request, plan)) =
            step.request.as_ref().zip(self.plan.disks.iter().find(|disk| disk.id == step.subject))
        else {
            return Ok(false);
        };
        let part = Part {
            get: &operations::DISKS_GET,
            request,
            wanted: body::disk(self.plan, plan),
            state: |disk| disk.provisioning_state.as_deref(),
            differs: compare::disk,
        };
        self.ensure(&part, record, cancel).await.map_err(|error| match error {
            CutoverError::Arm(ArmError::OperationFailed { service, .. }) => {
                CutoverError::DiskFailed { disk: step.subject.clone(), service }
            }
            error => error,
        })
    }

    async fn make_nic(
        &self,
        step: &Step,
        record: &mut Record,
        cancel: &CancellationToken,
    ) -> Result<bool, CutoverError> {
        let Some((request, plan)) = step.request.as_ref().zip(self.plan.nics.iter().find(|nic| nic.id == step.subject))
        else {
            return Ok(false);
        };
        let part = Part {
            get: &operations::NETWORK_INTERFACES_GET,
            request,
            wanted: body::nic(self.plan, plan),
            state: |nic| nic.provisioning_state.as_deref(),
            differs: compare::nic,
        };
        self.ensure(&part, record, cancel).await
    }

    async fn make_machine(
        &self,
        step: &Step,
        record: &mut Record,
        cancel: &CancellationToken,
    ) -> Result<bool, CutoverError> {
        let Some(request) = &step.request else { return Ok(false) };
        let part = Part {
            get: &operations::VIRTUAL_MACHINES_GET,
            request,
            wanted: body::machine(self.plan),
            state: |machine| machine.provisioning_state.as_deref(),
            differs: compare::machine,
        };
        self.ensure(&part, record, cancel).await
    }

    /// Makes it, unless it is there; whether it was made now.
    async fn ensure<P>(
        &self,
        part: &Part<'_, P>,
        record: &mut Record,
        cancel: &CancellationToken,
    ) -> Result<bool, CutoverError>
    where
        P: DeserializeOwned + Default + PartialEq,
    {
        let id = part.request.id();
        let (mut is_made, mut looks) = (false, 0);
        loop {
            looks += 1;
            let found: Option<Resource<P>> = self.client.find(part.get, id, cancel).await?;
            let made = match found {
                None => self.make(part.request, record, cancel).await,
                Some(found) => {
                    self.check_ours(part, &found)?;
                    match Standing::of((part.state)(&found.properties)) {
                        Standing::Whole => {
                            if record.finish(id) {
                                self.keep(record)?;
                            }
                            return Ok(is_made);
                        }
                        Standing::Running => self.wait_for(part.request, record, cancel).await,
                        Standing::Failed => self.make_again(part.request, record, cancel).await,
                    }
                }
            };
            match made {
                Ok(()) => is_made = true,
                // Whether it was made is seen by looking again.
                Err(CutoverError::Arm(ArmError::InDoubt { .. } | ArmError::Precondition { .. }))
                    if looks < MOST_LOOKS => {}
                Err(error) => return Err(error),
            }
            if looks > MOST_LOOKS {
                let what = "it does not become whole, though its making has ended".to_owned();
                return Err(CutoverError::Differs { id: id.clone(), what });
            }
        }
    }

    /// That what was found is this cutover's, and as it is wanted.
    fn check_ours<P>(&self, part: &Part<'_, P>, found: &Resource<P>) -> Result<(), CutoverError> {
        let id = part.request.id().clone();
        let tags = found.tags.as_ref();
        if !tag::are_of(tags, self.plan.cutover) {
            let owner = match tag::value(tags, TAG_CUTOVER) {
                Some(other) => format!("belongs to the cutover {}", other.chars().take(64).collect::<String>()),
                None => "was not made by a cutover".to_owned(),
            };
            return Err(CutoverError::NameTaken { id, owner });
        }
        if tag::value(tags, TAG_USED).is_some() {
            return Err(CutoverError::DiskUsed { disk: id });
        }
        let point = |tags| tag::value(tags, TAG_POINT).unwrap_or("none").chars().take(64).collect::<String>();
        let (told, wanted) = (point(tags), point(part.wanted.tags.as_ref()));
        if told != wanted {
            let what = format!("its recovery point is {told}, and {wanted} is wanted");
            return Err(CutoverError::Differs { id, what });
        }
        (part.differs)(&part.wanted, found).map_or(Ok(()), |what| Err(CutoverError::Differs { id, what }))
    }

    /// Makes what is not there.
    async fn make(
        &self,
        request: &Request,
        record: &mut Record,
        cancel: &CancellationToken,
    ) -> Result<(), CutoverError> {
        record.begin(request.id());
        self.keep(record)?;
        let mut request = request.clone();
        if request.operation().conditional {
            // Nobody's machine is replaced that was made since this was read.
            request = request.only_if(Precondition::Absent);
        }
        self.send(&request, record, cancel).await
    }

    /// Makes what is there and could not be made before. A disk keeps where its content comes from, so a failed one
    /// goes first; nothing was ever written to it.
    async fn make_again(
        &self,
        request: &Request,
        record: &mut Record,
        cancel: &CancellationToken,
    ) -> Result<(), CutoverError> {
        let id = request.id();
        if !record.has(id) {
            let what = "could not be made, and is not in the record".to_owned();
            return Err(CutoverError::Differs { id: id.clone(), what });
        }
        if request.operation().name == operations::DISKS_CREATE_OR_UPDATE.name {
            self.client.run::<IgnoredAny>(&operations::DISKS_DELETE.on(id), cancel).await?;
        }
        record.begin(id);
        self.keep(record)?;
        self.send(request, record, cancel).await
    }

    async fn send(
        &self,
        request: &Request,
        record: &mut Record,
        cancel: &CancellationToken,
    ) -> Result<(), CutoverError> {
        let mut started = self.client.begin(request, cancel).await?;
        record.running = started.tracking().cloned();
        self.keep(record)?;
        let ended = self.client.wait::<IgnoredAny>(&mut started, cancel).await;
        self.note_end(ended.map(drop), record)
    }

    /// Waits for what was begun before: by what was kept of it, or else by the resource itself.
    async fn wait_for(
        &self,
        request: &Request,
        record: &mut Record,
        cancel: &CancellationToken,
    ) -> Result<(), CutoverError> {
        if let Some(tracking) = record.running.clone().filter(|tracking| tracking.id() == request.id()) {
            let mut started = self.client.resume(tracking)?;
            match self.client.wait::<IgnoredAny>(&mut started, cancel).await {
                // The service has forgotten the operation; the resource still tells.
                Err(ArmError::NotFound { .. }) => {}
                ended => return self.note_end(ended.map(drop), record),
            }
        }
        let mut started = self.client.watch(request.operation(), request.id())?;
        let ended = self.client.wait::<IgnoredAny>(&mut started, cancel).await;
        self.note_end(ended.map(drop), record)
    }

    /// Forgets the operation if it has ended, and keeps it if it goes on.
    fn note_end(&self, ended: Result<(), ArmError>, record: &mut Record) -> Result<(), CutoverError> {
        if matches!(ended, Ok(()) | Err(ArmError::OperationFailed { .. } | ArmError::OperationCancelled { .. })) {
            record.running = None;
            self.keep(record)?;
        }
        Ok(ended?)
    }

    async fn disk_state(&self, disk: &ArmId, cancel: &CancellationToken) -> Result<Option<DiskState>, CutoverError> {
        let found: Disk = self.client.get(&operations::DISKS_GET, disk, cancel).await?;
        Ok(found.properties.disk_state)
    }

    /// Opens a disk that waits for its content; none for one that has it.
    async fn open_disk(
        &self,
        step: &Step,
        record: &Record,
        cancel: &CancellationToken,
    ) -> Result<Option<Secret<String>>, CutoverError> {
        let (disk, Some(request)) = (&step.subject, &step.request) else { return Ok(None) };
        if record.is_filled(disk) {
            return Ok(None);
        }
        match self.disk_state(disk, cancel).await? {
            Some(DiskState::ReadyToUpload | DiskState::ActiveUpload) => {}
            _ => return Err(CutoverError::NotFilled { disk: disk.clone() }),
        }
        let access = self.client.run::<AccessUri>(request, cancel).await?;
        Ok(Some(access.body.access_sas))
    }

    async fn copy(
        &self,
        step: &Step,
        open: Option<Secret<String>>,
        record: &mut Record,
        cancel: &CancellationToken,
    ) -> Result<(), CutoverError> {
        let disk = &step.subject;
        let (Some(to), Some(replica)) = (open, &step.replica) else { return Ok(()) };
        let copier = self.copier.ok_or_else(|| CutoverError::NoCopier { disk: disk.clone() })?;
        copier
            .copy(replica, &to, cancel)
            .await
            .map_err(|error| CutoverError::Copy { disk: disk.clone(), reason: error.to_string() })?;
        record.fill(disk);
        self.keep(record)
    }

    async fn close_disk(&self, step: &Step, cancel: &CancellationToken) -> Result<(), CutoverError> {
        let Some(request) = &step.request else { return Ok(()) };
        if self.disk_state(&step.subject, cancel).await? == Some(DiskState::ActiveUpload) {
            self.client.run::<IgnoredAny>(request, cancel).await?;
        }
        Ok(())
    }
}
