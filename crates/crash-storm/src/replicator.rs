//! The process that is killed.

use std::sync::Arc;

use libmigrate::source::{self, Format};
use libmigrate::target::azure::{AzureOptions, AzurePageBlob, Credential};
use libmigrate::target::local::LocalTarget;
use libmigrate::{CancellationToken, CycleRequest, DiskDescription, Engine, EngineOptions, PageTarget};

use crate::Job;
use crate::put_log::Logged;

/// Replicates once.
pub(crate) async fn run(job: &Job) -> anyhow::Result<()> {
    let source = source::open(&job.source, Format::Raw)?;
    let connection_string = std::env::var("AZURE_STORAGE_CONNECTION_STRING").unwrap_or_default();
    let target = Arc::new(Logged::new(open_target(&job.target, &connection_string)?, &job.log)?);
    let engine = Engine::new(EngineOptions {
        state_dir: Some(job.state.clone()),
        memory_limit: 32 << 20,
        ..EngineOptions::default()
    })?;
    let cancel = CancellationToken::new();
    let replica = engine.open(target, DiskDescription::of(&*source), &cancel).await?;
    replica.replicate(source, CycleRequest::default(), &cancel).await?;
    replica.close().await?;
    Ok(())
}

/// A path, or a URL with its credential.
pub(crate) fn open_target(named: &str, connection_string: &str) -> anyhow::Result<Arc<dyn PageTarget>> {
    if !named.starts_with("http") {
        return Ok(Arc::new(LocalTarget::new(named)?));
    }
    let credential = Credential::from_connection_string(connection_string)?;
    Ok(Arc::new(AzurePageBlob::new(named, credential, AzureOptions::default())?))
}
