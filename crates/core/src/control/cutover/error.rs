//! What can go wrong in a cutover without the service.

use std::path::PathBuf;

use crate::control::ArmId;
use crate::control::arm::{ArmError, ServiceError};
use crate::error::diagnose;

/// What can go wrong in a cutover. Shows no signature of a URL.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CutoverError {
    /// A replica is described as it cannot be. Nothing was sent.
    #[error("the replica of disk {disk:?} cannot be used: {problem}")]
    Replica {
        /// The disk, at its source.
        disk: String,
        /// What is wrong.
        problem: String,
    },
    /// The settings make no machine. Nothing was sent.
    #[error("no machine can be made of {server:?}: {problem}")]
    Settings {
        /// The server.
        server: String,
        /// What is wrong.
        problem: String,
    },
    /// The settings ask for what only the service offers. Nothing was sent.
    #[error("{server:?} asks for {what}, which this way has not")]
    NotOffered {
        /// The server.
        server: String,
        /// What.
        what: &'static str,
    },
    /// Test machines have no network of their own. Nothing was sent.
    #[error("no test machine can be made of {server:?}: {problem}")]
    TestNetwork {
        /// The server.
        server: String,
        /// What is wrong.
        problem: String,
    },
    /// The record is another cutover's. Nothing was sent.
    #[error("the record is of the cutover {found}, and this is {wanted}")]
    OtherRecord {
        /// The record's.
        found: String,
        /// The plan's.
        wanted: String,
    },
    /// Something that this cutover did not make has the name that it needs.
    #[error("{id} is there already, and {owner}")]
    NameTaken {
        /// Whose name it is.
        id: ArmId,
        /// Whose it is, as far as can be told.
        owner: String,
    },
    /// Something that this cutover made is not as it is wanted now.
    #[error("{id} is there, made by this cutover, but {what}")]
    Differs {
        /// What is there.
        id: ArmId,
        /// In what it differs.
        what: String,
    },
    /// A machine wrote to the disk since it was made: it is no recovery point any more.
    #[error("{disk} was made by this cutover, and a machine has written to it since")]
    DiskUsed {
        /// The disk.
        disk: ArmId,
    },
    /// The machine was made, and is gone.
    #[error("{machine} was made by this cutover and is gone; its disks hold what it wrote")]
    MachineGone {
        /// The machine.
        machine: ArmId,
    },
    /// Azure could not make the disk of the replica.
    #[error("{disk} could not be made: {service}")]
    DiskFailed {
        /// The disk.
        disk: ArmId,
        /// What the service says.
        service: Box<ServiceError>,
    },
    /// The disk was closed to writing before the replica was copied to it.
    #[error("{disk} is closed to writing, and this cutover has not copied its replica to it")]
    NotFilled {
        /// The disk.
        disk: ArmId,
    },
    /// Disks are to be written, and nobody is there who does it. Nothing was sent.
    #[error("{disk} is to be written by the caller, who named no copier")]
    NoCopier {
        /// The disk.
        disk: ArmId,
    },
    /// The replica could not be copied to its disk.
    #[error("the replica could not be copied to {disk}: {reason}")]
    Copy {
        /// The disk.
        disk: ArmId,
        /// In the words of who copied.
        reason: String,
    },
    /// The machine was not made by this cutover, or not as far as can be told.
    #[error("{id} is not this cutover's to delete: {why}")]
    NotOurs {
        /// The resource.
        id: ArmId,
        /// How that is known.
        why: &'static str,
    },
    /// What is asked for is not for a machine of this kind, or not at this time.
    #[error("cannot {what} {machine}: {why}")]
    NotNow {
        /// What was asked for.
        what: &'static str,
        /// The machine.
        machine: ArmId,
        /// Why not.
        why: &'static str,
    },
    /// The record could not be kept. What it would have said was not done.
    #[error("the record could not be kept: {reason}")]
    Record {
        /// In the words of who keeps it.
        reason: String,
    },
    /// Somebody else goes on with this cutover at the moment.
    #[error("the record {} is in use by another process or call", path.display())]
    RecordInUse {
        /// The file.
        path: PathBuf,
    },
    /// The file of a record holds none.
    #[error("{} holds no record of a cutover: line {line}, column {column}", path.display())]
    RecordDamaged {
        /// The file.
        path: PathBuf,
        /// The line that cannot be read.
        line: usize,
        /// The column in it.
        column: usize,
    },
    /// Something went wrong between here and Azure Resource Manager.
    #[error(transparent)]
    Arm(#[from] ArmError),
}

diagnose! {
    CutoverError {
        Replica: "cutover.replica", Caller,
            "describe the replica as its sealed recovery point has it: the URL of the page blob without a signature, its account, and its size with the footer";
        Settings: "cutover.settings", Caller,
            "change the settings as the error says";
        NotOffered: "cutover.not_offered", Caller,
            "leave it out and add it to the finished machine, or migrate the server with Azure Migrate";
        TestNetwork: "cutover.test_network", Caller,
            "name a network for tests from which production cannot be reached";
        OtherRecord: "cutover.other_record", Caller,
            "give the record of this machine, or a new one if it was never cut over";
        NameTaken: "cutover.name_taken", Caller,
            "give the machine, disk or interface another name in the settings, or have its owner remove what is there";
        Differs: "cutover.differs", Caller,
            "roll back or clean up with deletion of the disks, and run the cutover again; or put the settings back";
        DiskUsed: "cutover.disk_used", Caller,
            "roll back with deletion of the disks and run the cutover again, or give the disks other names in the settings";
        MachineGone: "cutover.machine_gone", Fatal,
            "find out in the activity log who deleted it; then roll back with deletion of the disks, and run the cutover again";
        DiskFailed: "cutover.disk_failed", Fatal,
            "put right what the service names, the innermost cause first, and run the same call again: the failed disk is made anew";
        NotFilled: "cutover.not_filled", Fatal,
            "roll back with deletion of the disks and run the cutover again: somebody else ended the access to the disk";
        NoCopier: "cutover.no_copier", Caller,
            "name a copier, or have the disks imported";
        Copy: "cutover.copy", Retryable,
            "put right what the copier names, and run the same call again: the disk is written from the beginning";
        NotOurs: "cutover.not_ours", Caller,
            "delete it by hand, if it is to be deleted: only what carries the cutover's tag and is in its record is deleted here";
        NotNow: "cutover.not_now", Caller,
            "see the error for what is possible with this machine";
        Record: "cutover.record", Fatal,
            "make room and give permission where the record is kept, and run the same call again";
        RecordInUse: "cutover.record_in_use", Retryable,
            "wait until the other one has ended, and run the same call again";
        RecordDamaged: "cutover.record_damaged", Caller,
            "give the path of this cutover's own record; where that is lost, what the cutover made is to be deleted by hand: it carries the tag libmigrate-cutover";
    }
    inside Arm
}
