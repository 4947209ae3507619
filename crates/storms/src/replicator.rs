//! The process that is killed or paused.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use libmigrate::progress::EventKind;
use libmigrate::source::{self, Format};
use libmigrate::target::azure::{AzureOptions, AzurePageBlob, Credential};
use libmigrate::target::local::LocalTarget;
use libmigrate::{
    CancellationToken, CycleRequest, DiskDescription, Engine, EngineOptions, Error, PageTarget, RecoveryPoint,
};
use serde::{Deserialize, Serialize};

use crate::put_log::Logged;

/// The shortest lease there is: an owner that was cut off gives up after ten seconds.
const LEASE: Duration = Duration::from_secs(15);

/// What a process is to replicate.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Job {
    #[arg(long)]
    pub(crate) source: PathBuf,
    /// A path, or a URL; the credential of a URL is in `AZURE_STORAGE_CONNECTION_STRING`.
    #[arg(long)]
    pub(crate) target: String,
    #[arg(long)]
    pub(crate) state: PathBuf,
    /// Where every put is written down before it is sent.
    #[arg(long)]
    pub(crate) log: PathBuf,
    /// What to do about another writer.
    #[arg(long, value_enum, default_value = "wait")]
    pub(crate) entry: Entry,
}

/// What to do about another writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Entry {
    /// Wait until its lease runs out.
    Wait,
    /// Break its lease.
    Force,
}

/// How a process ended: its last line.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The code of the error that ended it.
    pub(crate) code: Option<String>,
    /// Its sentence.
    pub(crate) error: Option<String>,
    /// The number of this owner, once it was one.
    pub(crate) generation: Option<u32>,
    /// The cycle that it sealed.
    pub(crate) cycle: Option<u32>,
}

/// Replicates once; an error of the library is an outcome, and the process ends with 1.
pub(crate) async fn run(job: &Job) -> anyhow::Result<()> {
    let engine = Engine::new(options(&job.state))?;
    let result = replicate(job, &engine).await?;
    let mut events = engine.events().after(0);
    let generation = std::iter::from_fn(|| events.try_next()).find_map(|event| match event.kind {
        EventKind::Opened { generation, .. } => Some(generation),
        _ => None,
    });
    let outcome = match &result {
        Ok(point) => Outcome { generation, cycle: Some(point.cycle), ..Outcome::default() },
        Err(error) => {
            Outcome { code: Some(error.code().into()), error: Some(error.to_string()), generation, cycle: None }
        }
    };
    println!("{}", serde_json::to_string(&outcome)?);
    if result.is_err() {
        std::process::exit(1);
    }
    Ok(())
}

async fn replicate(job: &Job, engine: &Engine) -> anyhow::Result<Result<RecoveryPoint, Error>> {
    let source = source::open(&job.source, Format::Raw)?;
    let connection_string = std::env::var("AZURE_STORAGE_CONNECTION_STRING").unwrap_or_default();
    let target = open_target(&job.target, &connection_string, AzureOptions::default())?;
    let target = Arc::new(Logged::new(target, &job.log)?);
    let cancel = CancellationToken::new();
    let cycle = async {
        let disk = DiskDescription::of(&*source);
        let replica = match job.entry {
            Entry::Wait => engine.open(target, disk, &cancel).await?,
            Entry::Force => engine.take_over(target, disk, &cancel).await?,
        };
        let point = replica.replicate(source, CycleRequest::default(), &cancel).await?;
        replica.close().await?;
        Ok(point)
    };
    Ok(cycle.await)
}

/// The options of every engine here.
pub(crate) fn options(state: &std::path::Path) -> EngineOptions {
    EngineOptions {
        state_dir: Some(state.to_owned()),
        memory_limit: 32 << 20,
        lease_term: LEASE,
        ..EngineOptions::default()
    }
}

/// A path, or a URL with its credential.
pub(crate) fn open_target(
    named: &str,
    connection_string: &str,
    options: AzureOptions,
) -> anyhow::Result<Arc<dyn PageTarget>> {
    if !named.starts_with("http") {
        return Ok(Arc::new(LocalTarget::new(named)?));
    }
    let credential = Credential::from_connection_string(connection_string)?;
    Ok(Arc::new(AzurePageBlob::new(named, credential, options)?))
}
