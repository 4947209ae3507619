//! A place for one target, and how every behaviour begins.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libmigrate::size::{MIB, PageRange};
use libmigrate::target::azure::{AzureOptions, AzurePageBlob, Credential};
use libmigrate::target::local::LocalTarget;
use libmigrate::target::{ETag, Fence, LeaseId, Metadata, PageTarget, View};
use libmigrate_test_support::azurite::Azurite;
use libmigrate_test_support::page_blob_server::PageBlobServer;

/// The term of every lease here: longer than any behaviour takes.
pub(crate) const TERM: Duration = Duration::from_secs(60);

/// How long the targets are unless a behaviour says otherwise.
pub(crate) const LEN: u64 = 8 * MIB;

/// A place where one target can be: empty at first, gone with this value.
pub(crate) struct Place {
    open: Box<dyn Fn() -> Arc<dyn PageTarget> + Send + Sync>,
    _kept_alive: Box<dyn Any + Send + Sync>,
}

impl Place {
    /// `open` makes a new handle each time it is called; `kept_alive` is what the place needs meanwhile.
    pub(crate) fn new(
        kept_alive: impl Any + Send + Sync,
        open: impl Fn() -> Arc<dyn PageTarget> + Send + Sync + 'static,
    ) -> Self {
        Self { open: Box::new(open), _kept_alive: Box::new(kept_alive) }
    }

    /// A new handle, independent of the others.
    pub(crate) fn handle(&self) -> Arc<dyn PageTarget> {
        (self.open)()
    }

    /// A target of [`LEN`] bytes that nobody holds.
    pub(crate) async fn created(&self) -> Arc<dyn PageTarget> {
        let target = self.handle();
        target.create(LEN, &Metadata::new()).await.unwrap();
        target
    }

    /// A target of [`LEN`] bytes, leased, and what its writes carry.
    pub(crate) async fn owned(&self) -> (Arc<dyn PageTarget>, Fence) {
        let target = self.created().await;
        let fence = Fence { lease: LeaseId::random(), sequence: 7 };
        target.acquire_lease(fence.lease, TERM).await.unwrap();
        target.raise_sequence(fence.sequence, fence.lease).await.unwrap();
        (target, fence)
    }
}

/// A file in a folder of its own.
#[expect(clippy::unused_async, reason = "all backends' places are made alike")]
pub(crate) async fn local() -> Option<Place> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web01.vhd");
    Some(Place::new(folder, move || Arc::new(LocalTarget::new(&path).unwrap())))
}

/// The etag that the target has now.
pub(crate) async fn etag_of(target: &Arc<dyn PageTarget>) -> ETag {
    target.state().await.unwrap().unwrap().etag
}

pub(crate) fn pages(offset: u64, len: u64) -> PageRange {
    PageRange::new(offset, len).unwrap()
}

pub(crate) fn filled(byte: u8, len: u64) -> Bytes {
    vec![byte; len as usize].into()
}

pub(crate) fn metadata(pairs: &[(&str, &str)]) -> Metadata {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Whether every byte of `range` is `byte`.
pub(crate) async fn reads_as(target: &Arc<dyn PageTarget>, view: &View, range: PageRange, byte: u8) -> bool {
    target.read(view, range).await.unwrap() == filled(byte, range.len_bytes())
}

/// A server in this process that answers as Azure documents.
pub(crate) async fn page_blob_server() -> Option<Place> {
    let server = PageBlobServer::start().await;
    server.create_container("replicas");
    let url = format!("{}/replicas/web01.vhd?sig=open", server.endpoint());
    Some(Place::new(server, move || azure(&url, Credential::SasUrl)))
}

/// A real Azurite, one container a place.
pub(crate) async fn azurite() -> Option<Place> {
    let azurite = tokio::task::spawn_blocking(Azurite::shared).await.unwrap()?;
    let container = format!("c{:016x}", fastrand::u64(..));
    azurite.create_container(&container).unwrap();
    let (url, connection_string) = (azurite.blob_url(&container, "web01.vhd"), azurite.connection_string());
    Some(Place::new((), move || azure(&url, Credential::from_connection_string(&connection_string).unwrap())))
}

fn azure(url: &str, credential: Credential) -> Arc<dyn PageTarget> {
    Arc::new(AzurePageBlob::new(url, credential, AzureOptions::default()).unwrap())
}
