//! What each operation does to the account.
//!
//! Every operation is one step under one lock: it either happens wholly or answers a refusal and changes
//! nothing.

mod container;
mod lease;
mod page;
mod whole_blob;

use jiff::Timestamp;

use super::account::Account;
use super::answer::Answer;
use super::received::Received;
use super::refusal::Refusal;
use super::request::{Call, Op};

/// One operation at one moment.
pub(crate) struct Step<'a> {
    pub(crate) account: &'a mut Account,
    pub(crate) call: &'a Call,
    pub(crate) body: &'a Received,
    pub(crate) now: Timestamp,
}

impl Step<'_> {
    /// Does what is asked.
    pub(crate) fn run(mut self) -> Result<Answer, Refusal> {
        self.body.check()?;
        match self.call.op {
            Op::CreateContainer => self.create_container(),
            Op::DeleteContainer => self.delete_container(),
            Op::GetContainerProperties => self.get_container_properties(),
            Op::GetAccountInformation => Ok(self.get_account_information()),
            Op::ListBlobs => self.list_blobs(),
            Op::CreatePageBlob => self.create_page_blob(),
            Op::PutBlockBlob => self.put_block_blob(),
            Op::PutBlock => self.put_block(),
            Op::PutBlockList => self.put_block_list(),
            Op::GetBlob => self.get_blob(),
            Op::GetBlobProperties => self.get_blob_properties(),
            Op::DeleteBlob => self.delete_blob(),
            Op::SetBlobMetadata => self.set_blob_metadata(),
            Op::SetBlobProperties | Op::ResizeBlob | Op::SetSequenceNumber => self.set_blob_properties(),
            Op::SnapshotBlob => self.snapshot_blob(),
            Op::AcquireLease | Op::RenewLease | Op::ChangeLease | Op::ReleaseLease | Op::BreakLease => self.lease(),
            Op::PutPage => self.put_page(),
            Op::ClearPage => self.clear_page(),
            Op::GetPageRanges => self.get_page_ranges(),
            Op::GetPageRangesDiff => self.get_page_ranges_diff(),
        }
    }
}
