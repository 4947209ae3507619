//! A process's way to the target: every call is a request on the simulated network.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libmigrate::PageTarget;
use libmigrate::size::{MIB, PageRange};
use libmigrate::target::{
    Capabilities, ETag, Fence, LeaseId, Metadata, Snapshot, SnapshotId, TargetError, TargetState, View,
};
use tokio::sync::oneshot;

use crate::faults::{Heard, Kind};
use crate::planted::Planted;
use crate::service::{Answer, LOCATION, Request};
use crate::world::{Dead, ProcessId, World};

/// How long a process waits for an answer.
const PATIENCE: Duration = Duration::from_secs(8);

pub(crate) type Outcome = Result<Answer, TargetError>;

#[derive(Debug)]
pub(crate) struct SimulatedTarget {
    pub(crate) world: Arc<World>,
    pub(crate) process: ProcessId,
    pub(crate) capabilities: Capabilities,
}

impl SimulatedTarget {
    async fn call(&self, request: Request) -> Outcome {
        match self.try_call(&request).await {
            Ok(outcome) => outcome,
            // A dead process waits for ever.
            Err(Dead) => std::future::pending().await,
        }
    }

    async fn try_call(&self, request: &Request) -> Result<Outcome, Dead> {
        let fate = self.world.send(self.process, request)?;
        let operation = request.name();
        if self.world.planted() == Planted::EarlyAcknowledgement && matches!(request, Request::Put { .. }) {
            self.acknowledge_early(request.clone());
            return Ok(Ok(Answer::Done));
        }
        let (answered, answer) = oneshot::channel();
        let acts = [fate.acts, fate.acts_again];
        let mut answered = Some(answered);
        for at in acts.into_iter().flatten() {
            let (world, process, request, answered) =
                (Arc::clone(&self.world), self.process, request.clone(), answered.take());
            let in_part = fate.kind == Kind::LostAfter || fate.kind == Kind::ActsLate;
            tokio::spawn(async move {
                tokio::time::sleep(at).await;
                let Some(detour) = world.detour(process) else { return };
                tokio::time::sleep(detour).await;
                if in_part && matches!(request, Request::Put { .. }) && world.lock().random.u8(..4) == 0 {
                    world.act_in_part(process, &request);
                    return;
                }
                let outcome = world.act(process, &request);
                tokio::time::sleep(fate.back).await;
                if let Some(answered) = answered {
                    let _ = answered.send(outcome);
                }
            });
        }
        let transient = |reason: &str, retry_after| {
            Err(TargetError::Transient { operation, location: LOCATION.into(), reason: reason.into(), retry_after })
        };
        let outcome = match fate.heard {
            Heard::Answer => answer.await.unwrap_or_else(|_| transient("the connection broke", None)),
            Heard::Nothing => {
                tokio::time::sleep(PATIENCE).await;
                transient("no answer in time", None)
            }
            Heard::TryAgain { retry_after } => {
                tokio::time::sleep(fate.back).await;
                transient("500 or 503", retry_after)
            }
        };
        self.world.deliver(self.process, request)?;
        Ok(outcome)
    }

    /// The planted defect: the put is acknowledged, and acts a while later or never.
    fn acknowledge_early(&self, request: Request) {
        let (world, process) = (Arc::clone(&self.world), self.process);
        let (wait, forgotten) = {
            let mut state = world.lock();
            (Duration::from_millis(state.random.u64(1..400)), state.random.u8(..16) == 0)
        };
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            if !forgotten {
                let _ = world.act(process, &request);
            }
        });
    }
}

/// The one capability set: what an Azure page blob has.
pub(crate) fn capabilities() -> Capabilities {
    let json = format!(
        r#"{{"lease":"service","snapshots":true,"checksum":"crc64","max_put_bytes":{},"diff":"probed","route":"private_link"}}"#,
        4 * MIB
    );
    serde_json::from_str(&json).expect("the capabilities of a page blob")
}

macro_rules! answer {
    ($answer:expr, $variant:ident) => {
        match $answer? {
            Answer::$variant(value) => Ok(value),
            other => unreachable!("the service answered {other:?}"),
        }
    };
}

#[async_trait]
impl PageTarget for SimulatedTarget {
    fn location(&self) -> String {
        LOCATION.into()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn state(&self) -> Result<Option<TargetState>, TargetError> {
        answer!(self.call(Request::State).await, State)
    }

    async fn create(&self, len: u64, metadata: &Metadata) -> Result<(), TargetError> {
        self.call(Request::Create { len, metadata: metadata.clone() }).await.map(drop)
    }

    async fn resize(&self, len: u64, lease: LeaseId, etag: &ETag) -> Result<(), TargetError> {
        self.call(Request::Resize { len, lease, etag: etag.clone() }).await.map(drop)
    }

    async fn put(&self, range: PageRange, data: Bytes, fence: Fence) -> Result<(), TargetError> {
        self.call(Request::Put { range, data, fence }).await.map(drop)
    }

    async fn clear(&self, range: PageRange, fence: Fence) -> Result<(), TargetError> {
        self.call(Request::Clear { range, fence }).await.map(drop)
    }

    /// An acknowledged write is durable here, as in Azure. But asking takes its time, and may fail for good, as
    /// where it is a file system that is asked.
    async fn flush(&self) -> Result<(), TargetError> {
        self.call(Request::Flush).await?;
        if self.world.flush_fails() {
            let source = std::io::Error::other("the disk under the target failed");
            return Err(TargetError::Io { operation: "flush", location: LOCATION.into(), source });
        }
        Ok(())
    }

    async fn read(&self, view: &View, range: PageRange) -> Result<Bytes, TargetError> {
        answer!(self.call(Request::Read { view: view.clone(), range }).await, Bytes)
    }

    async fn page_ranges(&self, view: &View, window: Range<u64>) -> Result<Vec<PageRange>, TargetError> {
        answer!(self.call(Request::PageRanges { view: view.clone(), window }).await, Pages)
    }

    async fn changed_ranges(
        &self,
        since: &SnapshotId,
        window: Range<u64>,
    ) -> Result<Option<Vec<PageRange>>, TargetError> {
        answer!(self.call(Request::ChangedRanges { since: since.clone(), window }).await, ChangedPages)
    }

    async fn set_metadata(&self, metadata: &Metadata, lease: LeaseId, etag: &ETag) -> Result<(), TargetError> {
        let request = Request::SetMetadata { metadata: metadata.clone(), lease, etag: etag.clone() };
        self.call(request).await.map(drop)
    }

    async fn raise_sequence(&self, sequence: u64, lease: LeaseId) -> Result<(), TargetError> {
        self.call(Request::RaiseSequence { sequence, lease }).await.map(drop)
    }

    async fn snapshot(&self, metadata: &Metadata, lease: LeaseId, etag: &ETag) -> Result<SnapshotId, TargetError> {
        let request = Request::TakeSnapshot { metadata: metadata.clone(), lease, etag: etag.clone() };
        answer!(self.call(request).await, Snapshot)
    }

    async fn snapshots(&self) -> Result<Vec<Snapshot>, TargetError> {
        answer!(self.call(Request::Snapshots).await, Snapshots)
    }

    async fn delete_snapshot(&self, id: &SnapshotId) -> Result<(), TargetError> {
        self.call(Request::DeleteSnapshot { id: id.clone() }).await.map(drop)
    }

    async fn acquire_lease(&self, proposed: LeaseId, duration: Duration) -> Result<(), TargetError> {
        self.call(Request::AcquireLease { proposed, term: duration }).await.map(drop)
    }

    async fn renew_lease(&self, lease: LeaseId) -> Result<(), TargetError> {
        self.call(Request::RenewLease { lease }).await.map(drop)
    }

    async fn release_lease(&self, lease: LeaseId) -> Result<(), TargetError> {
        self.call(Request::ReleaseLease { lease }).await.map(drop)
    }

    async fn break_lease(&self) -> Result<(), TargetError> {
        self.call(Request::BreakLease).await.map(drop)
    }

    async fn put_object(&self, name: &str, data: Bytes) -> Result<(), TargetError> {
        self.call(Request::PutObject { name: name.to_owned(), data }).await.map(drop)
    }

    async fn get_object(&self, name: &str, _max_len: u64) -> Result<Option<Bytes>, TargetError> {
        let found = answer!(self.call(Request::GetObject { name: name.to_owned() }).await, Object)?;
        Ok(found.map(|(_, bytes)| bytes))
    }

    async fn list_objects(&self, prefix: &str) -> Result<Vec<String>, TargetError> {
        answer!(self.call(Request::ListObjects { prefix: prefix.to_owned() }).await, Names)
    }

    async fn delete_object(&self, name: &str) -> Result<(), TargetError> {
        let found = answer!(self.call(Request::GetObject { name: name.to_owned() }).await, Object)?;
        let Some((version, _)) = found else { return Ok(()) };
        self.call(Request::DeleteObject { name: name.to_owned(), version }).await.map(drop)
    }
}
