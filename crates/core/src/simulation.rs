//! The seam through which a simulated world runs the engine.
//!
//! Behind the feature `simulation`, for this library's own simulation, and **not covered by semantic
//! versioning**. The engine's logic is the same in both worlds; replaced is only what a machine gives it:
//!
//! - **threads**: work that blocks runs on the simulation's own thread, as a task that takes simulated time
//!   before and after. Like a thread, it goes on when nobody waits for it any more;
//! - **files**: checkpoints are kept in files that the simulation lends.
//!
//! A simulation is one thread with a tokio runtime of its own ([`enter`]); other threads see nothing of it.
//! [`inspect`] tells what a checkpoint says of each block, so that it can be held against what the target
//! holds.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use redb::StorageBackend;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::digest::block::BlockState;

/// What machines give the engine.
pub trait Machines: 'static {
    /// How long the next piece of blocking work takes.
    fn blocking_time(&self) -> BlockingTime;

    /// Length of a file; `None` when there is none.
    fn file_len(&self, path: &Path) -> io::Result<Option<u64>>;

    /// Makes an empty file, in place of one that is there.
    fn create_file(&self, path: &Path) -> io::Result<()>;

    /// Opens a file for one owner; [`io::ErrorKind::WouldBlock`] when it has one.
    fn open_file(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>>;

    /// Gives a file another name, durably.
    fn rename_file(&self, from: &Path, to: &Path) -> io::Result<()>;
}

/// How long a piece of blocking work takes: it acts in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockingTime {
    /// Until it acts: the wait for a thread.
    pub before: Duration,
    /// From then until the caller knows.
    pub after: Duration,
}

thread_local! {
    static MACHINES: RefCell<Option<Rc<dyn Machines>>> = const { RefCell::new(None) };
}

/// Makes this thread a simulation until the guard is dropped.
pub fn enter(machines: Rc<dyn Machines>) -> Entered {
    MACHINES.set(Some(machines));
    Entered { _not_send: std::marker::PhantomData }
}

/// This thread is a simulation as long as this lives.
#[derive(Debug)]
pub struct Entered {
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        MACHINES.set(None);
    }
}

/// The simulation that this thread is, if it is one.
pub(crate) fn machines() -> Option<Rc<dyn Machines>> {
    MACHINES.with_borrow(Clone::clone)
}

/// Runs blocking work as a task, inside a simulation.
pub(crate) fn spawn_blocking<T: Send + 'static>(
    machines: &dyn Machines,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let BlockingTime { before, after } = machines.blocking_time();
    tokio::spawn(async move {
        tokio::time::sleep(before).await;
        let done = work();
        tokio::time::sleep(after).await;
        done
    })
}

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The name under which it last owned the target.
    pub owner: Uuid,
    /// The name under which it was about to own it.
    pub next_owner: Option<Uuid>,
    /// The replica's size in bytes.
    pub disk_bytes: u64,
    /// Bytes in a block.
    pub block_bytes: u64,
    /// What the target holds, block by block. A block in doubt is unknown.
    pub blocks: Vec<BlockState>,
    /// The last sealed cycle.
    pub sealed: Option<u32>,
    /// The cycle that was begun and not sealed.
    pub open: Option<u32>,
}

/// Reads the checkpoint in `file`, which must be nobody's; `path` is its name in errors. Opening repairs
/// what a crash left, so give it a copy.
pub fn inspect(file: Box<dyn StorageBackend>, path: &Path) -> Result<Inspection, CheckpointError> {
    let checkpoint = Checkpoint::over(file, path)?;
    let record = checkpoint.record()?;
    let disk = record.disk();
    let mut blocks = Vec::new();
    for window in 0..disk.windows() {
        blocks.append(&mut checkpoint.window(window, disk, record.blank)?.states);
    }
    Ok(Inspection {
        owner: record.owner,
        next_owner: record.next_owner,
        disk_bytes: record.disk_bytes,
        block_bytes: record.block_bytes,
        blocks,
        sealed: record.sealed.map(|seal| seal.cycle),
        open: record.open.map(|open| open.number),
    })
}

/// A lent file as redb wants it.
#[derive(Debug)]
pub(crate) struct LentFile(pub(crate) Box<dyn StorageBackend>);

impl StorageBackend for LentFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}
