//! The tags by which a cutover knows what it made.

use std::collections::BTreeMap;

use super::plan::{CutoverId, MachinePlan};
use super::replica::Replica;

/// What all tags of a cutover begin with; settings may have none of these.
pub const TAG_PREFIX: &str = "libmigrate-";

/// Which cutover made it.
pub const TAG_CUTOVER: &str = "libmigrate-cutover";

/// What the machine is for: `production` or `test`.
pub const TAG_PURPOSE: &str = "libmigrate-purpose";

/// Which sealed recovery point a disk was made of.
pub const TAG_POINT: &str = "libmigrate-point";

/// That a machine wrote to the disk since.
pub const TAG_USED: &str = "libmigrate-used";

/// The most tags that settings may have: Azure takes 50, and a cutover has four of its own.
///
/// Source: Microsoft Learn, "Use tags to organize your Azure resources", limitations.
pub(super) const MOST_TAGS: usize = 46;

/// The tags of what a plan makes, with those that the settings want.
pub(super) fn tags(plan: &MachinePlan, wanted: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut tags = wanted.clone();
    tags.insert(TAG_CUTOVER.to_owned(), plan.cutover.to_string());
    tags.insert(TAG_PURPOSE.to_owned(), plan.purpose.to_string());
    tags
}

/// The tags of a disk.
pub(super) fn disk_tags(plan: &MachinePlan, replica: &Replica) -> BTreeMap<String, String> {
    let mut tags = tags(plan, &plan.tags.disk);
    tags.insert(TAG_POINT.to_owned(), point(replica));
    tags
}

/// The recovery point, as a tag has it: the seal, and the blob. Values of tags have at most 256 characters, so of
/// the blob there is a digest.
pub(super) fn point(replica: &Replica) -> String {
    let blob = blake3::hash(replica.source().as_str().as_bytes()).to_hex();
    format!("{}-{}", replica.seal(), &blob[..16])
}

/// The value of a tag; names of tags are the same without case.
pub(super) fn value<'a>(tags: Option<&'a BTreeMap<String, String>>, name: &str) -> Option<&'a str> {
    tags?.iter().find(|(told, _)| told.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Whether these are tags of what that cutover made.
pub(super) fn are_of(tags: Option<&BTreeMap<String, String>>, cutover: CutoverId) -> bool {
    value(tags, TAG_CUTOVER) == Some(cutover.to_string().as_str())
}
