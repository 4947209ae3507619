//! Codes, kinds and remedies of source errors.

use super::{ChangeListError, SourceError};
use crate::error::diagnose;

diagnose!(SourceError {
    Open: "source.open", Caller, "check the path and that this process may read it";
    Empty: "source.empty", Caller, "name an image or device that has a size";
    NotADisk: "source.not_a_disk", Caller, "name a regular file or a block device";
    MountedReadWrite: "source.mounted_read_write", Caller, "take a snapshot and open that; or freeze the file system and say so; or accept a copy of no single moment";
    Read: "source.read", Fatal, "check the disk under the source; what was settled stays, and the next run goes on from there";
    Short: "source.short", Fatal, "take a new snapshot and run the cycle again; the file must not change while it is read";
    Damaged: "source.damaged", Fatal, "check the image with the tool that made it, or name its format if it was recognised wrongly";
    Unsupported: "source.unsupported", Caller, "convert the image to raw or VHD first, or ask for the raw format if its bytes are the disk";
    Encrypted: "source.encrypted", Caller, "decrypt the image first, or serve it decrypted over NBD by a program that has the key";
    NotAllowed: "source.not_allowed", Caller, "if the file belongs to the disk, name the image's format or allow the file or its folder in the gate; if not, the image is hostile";
    ParentMissing: "source.parent_missing", Caller, "put the parent beside the image, or allow its folder in the gate";
    ParentMismatch: "source.parent_mismatch", Fatal, "find the parent that the image was made from; read over any other, the disk would be garbage";
    Chain: "source.chain", Fatal, "merge the chain with the hypervisor's own tool, and check the image: no hypervisor makes such a chain";
    Member: "source.member", Caller, "name one of the archive's disks with OpenOptions::member";
    Snapshot: "source.snapshot", Caller, "name one of the snapshots that the image has";
    Bitmap: "source.bitmap", Caller, "replicate without a change list, which compares the whole disk, and make a new bitmap";
    Custom: "source.custom", Fatal, "see the message of the caller's own source";
} inside Nbd);

diagnose!(ChangeListError {
    Overflow: "change_list.overflow", Caller, "check the units: offsets and lengths are bytes";
    BeyondDisk: "change_list.beyond_disk", Caller, "ask the hypervisor for the list of this disk at its present size";
    Reset: "change_list.reset", Caller, "ask the tracker for a new change id after this cycle, which compares the whole disk";
    NotChained: "change_list.not_chained", Caller, "join lists in the order in which they were taken, or replicate without a list";
    NoProgress: "change_list.no_progress", Caller, "run the conformance kit on the provider; without a list the whole disk is compared";
    Provider: "change_list.provider", Retryable, "see the provider's own words; without a list the whole disk is compared";
    Csv: "change_list.csv", Caller, "write one line offset,length for each area, both in bytes";
    Json: "change_list.json", Caller, "write the list as {\"base\": …, \"end\": …, \"extents\": [{\"offset\": …, \"len\": …}]}";
});
