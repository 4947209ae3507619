//! The storage service of a storm.

use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use libmigrate_test_support::azurite::Azurite;
use libmigrate_test_support::page_blob_server::{PageBlobServer, ServerOptions};

/// Which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServiceKind {
    /// The page-blob server in this process, which answers as Azure documents.
    Server,
    /// A real Azurite.
    Azurite,
}

impl ServiceKind {
    /// As the command line takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Azurite => "azurite",
        }
    }
}

/// One that runs, with an empty account. An Azurite lives for one replica only: in memory mode it was seen to stop
/// answering after some ten thousand small writes.
pub(crate) enum Service {
    Server(PageBlobServer),
    Azurite(Azurite),
}

impl Service {
    pub(crate) async fn start(kind: ServiceKind) -> anyhow::Result<Self> {
        let service = match kind {
            ServiceKind::Server => {
                Self::Server(PageBlobServer::start_with(ServerOptions { journal_limit: 0, ..Default::default() }).await)
            }
            ServiceKind::Azurite => {
                let azurite = tokio::task::spawn_blocking(Azurite::start).await?;
                Self::Azurite(azurite.context("Azurite is not installed: run `cargo xtask tools`")?)
            }
        };
        match &service {
            Self::Server(server) => server.create_container(CONTAINER),
            Self::Azurite(azurite) => azurite.create_container(CONTAINER)?,
        }
        Ok(service)
    }

    pub(crate) fn endpoint(&self) -> String {
        match self {
            Self::Server(server) => server.endpoint(),
            Self::Azurite(azurite) => azurite.endpoint().to_owned(),
        }
    }

    /// Lets every lease run out; `false` where only waiting helps.
    pub(crate) fn let_leases_run_out(&self) -> bool {
        match self {
            Self::Server(server) => server.advance_clock(Duration::from_secs(61)),
            Self::Azurite(_) => return false,
        }
        true
    }
}

const CONTAINER: &str = "storm";

/// The replica behind an endpoint: the service's own, or that of a proxy before it.
pub(crate) fn replica_at(endpoint: &str) -> String {
    format!("{endpoint}/{CONTAINER}/replica.vhd")
}

/// What opens it. The in-process server takes any signature; the account and key are those of Azurite.
///
/// Source: Microsoft Learn, "Connect to Azurite with SDKs and tools".
pub(crate) fn connection_string(endpoint: &str) -> String {
    const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    format!("DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={KEY};BlobEndpoint={endpoint};")
}
