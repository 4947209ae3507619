//! What is kept of a cutover, so that a killed one goes on and only what was made is ever deleted.

use std::io;

use serde::{Deserialize, Serialize};

use super::error::CutoverError;
use super::plan::{CutoverId, MachinePlan};
use super::settings::Purpose;
use crate::control::ArmId;
use crate::control::arm::Tracking;

/// What is kept of a cutover. It is of no use to anybody but the identity that makes the cutover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    cutover: CutoverId,
    purpose: Purpose,
    /// What was begun to be made, in that order.
    made: Vec<Entry>,
    /// The operation that was begun last, if its end was not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) running: Option<Tracking>,
    /// Whether the cutover was completed: then there is no way back.
    #[serde(default)]
    pub(super) is_complete: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: ArmId,
    /// Whether it was seen to be there, whole.
    #[serde(default)]
    is_done: bool,
    /// Whether the replica was copied to it.
    #[serde(default)]
    is_filled: bool,
}

impl Record {
    /// The record of a cutover that has not begun.
    pub fn new(plan: &MachinePlan) -> Self {
        let (cutover, purpose) = (plan.cutover, plan.purpose);
        Self { cutover, purpose, made: Vec::new(), running: None, is_complete: false }
    }

    /// Which cutover it is of.
    pub fn cutover(&self) -> CutoverId {
        self.cutover
    }

    /// What the machine is made for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// What this cutover has made, or has begun to make, and not deleted.
    pub fn made(&self) -> impl Iterator<Item = &ArmId> {
        self.made.iter().map(|entry| &entry.id)
    }

    /// Whether the cutover was completed.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    pub(super) fn has(&self, id: &ArmId) -> bool {
        self.entry(id).is_some()
    }

    pub(super) fn is_done(&self, id: &ArmId) -> bool {
        self.entry(id).is_some_and(|entry| entry.is_done)
    }

    pub(super) fn is_filled(&self, id: &ArmId) -> bool {
        self.entry(id).is_some_and(|entry| entry.is_filled)
    }

    /// Notes that it is about to be made, anew if it was before.
    pub(super) fn begin(&mut self, id: &ArmId) {
        self.forget(id);
        self.made.push(Entry { id: id.clone(), is_done: false, is_filled: false });
    }

    /// Notes that it is there; whether that is news. What another hand made is not noted: it is not ours to delete.
    pub(super) fn finish(&mut self, id: &ArmId) -> bool {
        let Some(entry) = self.made.iter_mut().find(|entry| entry.id == *id && !entry.is_done) else { return false };
        entry.is_done = true;
        true
    }

    pub(super) fn fill(&mut self, id: &ArmId) {
        if let Some(entry) = self.made.iter_mut().find(|entry| entry.id == *id) {
            entry.is_filled = true;
        }
    }

    pub(super) fn forget(&mut self, id: &ArmId) {
        self.made.retain(|entry| entry.id != *id);
    }

    fn entry(&self, id: &ArmId) -> Option<&Entry> {
        self.made.iter().find(|entry| entry.id == *id)
    }

    /// That this is the record of that plan.
    pub(super) fn check(&self, plan: &MachinePlan) -> Result<(), CutoverError> {
        if self.cutover == plan.cutover && self.purpose == plan.purpose {
            return Ok(());
        }
        let told = |cutover: CutoverId, purpose: Purpose| format!("{cutover} ({purpose})");
        Err(CutoverError::OtherRecord {
            found: told(self.cutover, self.purpose),
            wanted: told(plan.cutover, plan.purpose),
        })
    }
}

/// Keeps records. Called before something is made, and again when it is there; each call must have written the
/// record durably before it returns.
pub trait Ledger: Send + Sync {
    /// Keeps `record` in the place of what was kept of the same cutover before.
    ///
    /// # Errors
    ///
    /// What went wrong; then nothing more is done.
    fn keep(&self, record: &Record) -> io::Result<()>;
}

impl<F: Fn(&Record) -> io::Result<()> + Send + Sync> Ledger for F {
    fn keep(&self, record: &Record) -> io::Result<()> {
        self(record)
    }
}
