//! An independent reader: Microsoft's Python client reads back what we wrote.
//!
//! It shares no code with us, so a mistake that our reading and our writing have in common shows.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::tools;

/// Downloads a whole blob, holes and all, to a new file at `to`; `None` when the client is not installed.
///
/// `connection` is a connection string, or the URL of the service with a shared access signature.
///
/// # Panics
/// When it is not installed but must be.
pub async fn download_with_python(connection: &str, container: &str, blob: &str, to: &Path) -> Option<Result<()>> {
    let mut client = client(connection)?;
    client.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python_reader.py")).args([container, blob]).arg(to);
    let done = async {
        let output = client.output().await.context("cannot start the Python client")?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the Python client cannot download {container}/{blob}: {words}");
        Ok(())
    };
    Some(done.await)
}

/// A Python that has the client, in the virtual environment that `cargo xtask tools` made.
fn client(connection: &str) -> Option<Command> {
    if !tools::installed("python/stamp").exists() {
        tools::missing("Microsoft's Python client");
        return None;
    }
    let mut python = Command::new(tools::installed("python/bin/python3"));
    // Other users of the machine see arguments, but not the environment.
    python.env("LIBMIGRATE_CONNECTION", connection).stdin(Stdio::null()).kill_on_drop(true);
    Some(python)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azurite::Azurite;

    /// Uploads a blob with the same client, as an independent writer.
    const UPLOAD: &str = "
import os, sys
from azure.storage.blob import BlobServiceClient
service = BlobServiceClient.from_connection_string(os.environ['LIBMIGRATE_CONNECTION'], api_version='2021-12-02')
blob = service.get_blob_client('replicas', 'folder/web01.vhd')
blob.create_page_blob(size=3 << 20)
blob.upload_page(b'A' * 512, offset=512, length=512)
blob.upload_page(b'B' * 512, offset=(3 << 20) - 512, length=512)
";

    /// An emulator with that blob in it; `None` when one of the two is not installed.
    async fn azurite_with_a_blob() -> Option<Azurite> {
        let azurite = Azurite::start()?;
        azurite.create_container("replicas").unwrap();
        let mut python = client(&azurite.connection_string())?;
        assert!(python.args(["-c", UPLOAD]).status().await.unwrap().success());
        Some(azurite)
    }

    fn expected() -> Vec<u8> {
        let mut bytes = vec![0; 3 << 20];
        bytes[512..1024].fill(b'A');
        bytes[(3 << 20) - 512..].fill(b'B');
        bytes
    }

    #[tokio::test]
    async fn a_blob_comes_back_whole_by_connection_string_and_by_shared_access_signature() {
        let Some(azurite) = azurite_with_a_blob().await else { return };
        let folder = tempfile::tempdir().unwrap();
        let (by_key, by_sas) = (folder.path().join("by-key"), folder.path().join("by-sas"));
        let sas_url = format!("{}?{}", azurite.endpoint(), azurite.account_sas());

        download_with_python(&azurite.connection_string(), "replicas", "folder/web01.vhd", &by_key)
            .await
            .unwrap()
            .unwrap();
        download_with_python(&sas_url, "replicas", "folder/web01.vhd", &by_sas).await.unwrap().unwrap();

        assert!(std::fs::read(by_key).unwrap() == expected());
        assert!(std::fs::read(by_sas).unwrap() == expected());
    }

    #[tokio::test]
    async fn a_blob_that_is_not_there_is_an_error_that_names_it() {
        let Some(azurite) = azurite_with_a_blob().await else { return };
        let folder = tempfile::tempdir().unwrap();

        let (connection, to) = (azurite.connection_string(), folder.path().join("gone.vhd"));
        let download = download_with_python(&connection, "replicas", "gone.vhd", &to).await.unwrap();
        let error = download.unwrap_err().to_string();
        assert!(error.starts_with("the Python client cannot download replicas/gone.vhd: "), "{error}");
        assert!(error.contains("BlobNotFound"), "{error}");
    }
}
