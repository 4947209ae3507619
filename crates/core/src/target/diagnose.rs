//! Codes, kinds and remedies of target errors.

use super::TargetError;
use crate::error::diagnose;

diagnose!(TargetError {
    Transient: "target.transient", Retryable, "check the network and the service's health; the same call goes on where it stopped";
    NotPrivate: "target.not_private", Fatal, "run the network preflight on this machine and follow its findings; nothing was sent";
    Fenced: "target.fenced", Fatal, "stop this process: another one owns the replica now";
    LeaseHeld: "target.lease_held", Fatal, "stop the other writer, or wait until its lease has run out (a minute after it died)";
    LeaseLost: "target.lease_lost", Fatal, "open the replica again; if another process took over, leave it to that one";
    NotFound: "target.not_found", Fatal, "check the URL or path; if the replica was deleted, remove its checkpoint to start a new one";
    ContainerNotFound: "target.container_not_found", Caller, "create the container, or correct its name in the URL";
    AlreadyExists: "target.already_exists", Caller, "choose another name, or delete what is there";
    WrongKind: "target.wrong_kind", Caller, "choose another name: a replica is a page blob (or a file) of its own";
    Changed: "target.changed", Retryable, "open the replica again; if it happens again, look for a second writer";
    Unauthenticated: "target.unauthenticated", Caller, "check the key, token or SAS, its expiry, and this machine's clock";
    Forbidden: "target.forbidden", Caller, "grant Storage Blob Data Contributor, or a SAS with read, add, create, write, delete and list; check the account's network rules";
    Checksum: "target.checksum", Retryable, "check memory and network of this machine if it happens again";
    OutOfRange: "target.out_of_range", Fatal, "the target was resized by somebody else; restore its size or start a new replica";
    Unusable: "target.unusable", Caller, "correct what the message names";
    Io: "target.io", Fatal, "check the disk under the target: room, permissions, health";
    Refused: "target.refused", Fatal, "look the service's code up in its documentation";
    BadAnswer: "target.bad_answer", Fatal, "check for a proxy that changes answers; report it otherwise";
});
