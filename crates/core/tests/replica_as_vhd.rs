//! A sealed replica is a fixed VHD that others read: qemu-img, and Microsoft's own client.

use std::path::Path;
use std::sync::Arc;

use libmigrate::source::{self, Format};
use libmigrate::target::azure::{AzureOptions, AzurePageBlob, Credential};
use libmigrate::target::local::LocalTarget;
use libmigrate::{CancellationToken, CycleRequest, DiskDescription, Engine, EngineOptions, PageTarget};
use libmigrate_test_support::azurite::Azurite;
use libmigrate_test_support::python_reader;
use libmigrate_test_support::qemu::qemu_img;
use libmigrate_test_support::sample_disk::SampleDisk;

async fn replicate(image: &Path, target: Arc<dyn PageTarget>) {
    let source = source::open(image, Format::Raw).unwrap();
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let cancel = CancellationToken::new();
    let replica = engine.open(target, DiskDescription::of(&*source), &cancel).await.unwrap();
    replica.replicate(source, CycleRequest::default(), &cancel).await.unwrap();
    replica.close().await.unwrap();
}

fn sample(path: &Path) {
    // 1 GiB is no multiple of a CHS cylinder: a reader that trusted the geometry would see another size.
    SampleDisk { len: 1 << 30, data_bytes: 16 << 20, seed: 11 }.write(path).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qemu_img_reads_the_replica_as_the_disk_it_is_of() {
    let folder = tempfile::tempdir().unwrap();
    let [image, vhd, copy] = ["disk.raw", "disk.vhd", "copy.raw"].map(|name| folder.path().join(name));
    sample(&image);
    replicate(&image, Arc::new(LocalTarget::new(&vhd).unwrap())).await;
    let [image, vhd, copy] = [&image, &vhd, &copy].map(|path| path.to_str().unwrap());

    let Some(info) = qemu_img(["info", "-f", "vpc", "--output", "json", vhd]) else { return };
    let info: serde_json::Value = serde_json::from_str(&info.unwrap()).unwrap();
    assert_eq!((info["format"].as_str(), info["virtual-size"].as_u64()), (Some("vpc"), Some(1 << 30)));
    qemu_img(["compare", "-f", "raw", "-F", "vpc", image, vhd]).unwrap().unwrap();
    qemu_img(["convert", "-f", "vpc", "-O", "raw", vhd, copy]).unwrap().unwrap();
    qemu_img(["compare", "-f", "raw", "-F", "raw", image, copy]).unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsofts_client_downloads_the_replica_equal() {
    let Some(azurite) = tokio::task::spawn_blocking(Azurite::start).await.unwrap() else { return };
    azurite.create_container("replicas").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [image, downloaded] = ["disk.raw", "disk.vhd"].map(|name| folder.path().join(name));
    SampleDisk { len: 64 << 20, data_bytes: 16 << 20, seed: 12 }.write(&image).unwrap();
    let credential = Credential::from_connection_string(&azurite.connection_string()).unwrap();
    let target =
        AzurePageBlob::new(&azurite.blob_url("replicas", "disk.vhd"), credential, AzureOptions::default()).unwrap();
    replicate(&image, Arc::new(target)).await;

    let connection_string = azurite.connection_string();
    let Some(result) =
        python_reader::download_with_python(&connection_string, "replicas", "disk.vhd", &downloaded).await
    else {
        return;
    };
    result.unwrap();
    let (found, expected) = (std::fs::read(&downloaded).unwrap(), std::fs::read(&image).unwrap());
    assert_eq!(found.len(), expected.len() + 512);
    assert!(found[..expected.len()] == expected[..]);
    assert_eq!(&found[expected.len()..expected.len() + 8], b"conectix");
}
