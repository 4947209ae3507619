//! Managed disks, snapshots, the keys that encrypt them, and leave to write them from outside.
//!
//! Source: Azure REST API specification, Compute, `disk.json`, `diskRPCommon.json`, `snapshot.json` and
//! `diskEncryptionSet.json` (2023-10-02).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use super::resource::{PublicNetworkAccess, Resource, ResourceRef};
use super::scalar::Stamp;
use super::wire::wire;
use crate::control::ArmId;
use crate::control::open_enum::open_enum;
use crate::secret::{Secret, redacted_url};

/// A managed disk.
pub type Disk = Resource<DiskProperties>;
/// A snapshot of a managed disk.
pub type Snapshot = Resource<SnapshotProperties>;
/// Keys of the owner that encrypt disks.
pub type DiskEncryptionSet = Resource<DiskEncryptionSetProperties>;

open_enum! {
    /// The kind of a managed disk: its SKU, and `diskType` in Site Recovery.
    pub enum DiskType {
        /// A hard disk.
        StandardLrs = "Standard_LRS",
        /// Solid-state, for production.
        PremiumLrs = "Premium_LRS",
        /// Solid-state, slower.
        StandardSsdLrs = "StandardSSD_LRS",
        /// Solid-state, speed and size set apart from each other.
        PremiumV2Lrs = "PremiumV2_LRS",
        /// Solid-state, the fastest.
        UltraSsdLrs = "UltraSSD_LRS",
        /// Solid-state, slower, copies in several zones.
        StandardSsdZrs = "StandardSSD_ZRS",
        /// Solid-state, for production, copies in several zones.
        PremiumZrs = "Premium_ZRS",
    }
}

open_enum! {
    /// Where the content of a new disk comes from.
    pub enum DiskCreateOption {
        /// Nowhere.
        Empty,
        /// From a disk that is there: of virtual machines only.
        Attach,
        /// From an image.
        FromImage,
        /// From a blob.
        Import,
        /// From another disk or snapshot.
        Copy,
        /// From a restore point.
        Restore,
        /// From whoever is given leave to write it.
        Upload,
        /// From another disk or snapshot, in the background.
        CopyStart,
        /// From a blob, for a confidential virtual machine.
        ImportSecure,
        /// From whoever is given leave to write it, for a confidential virtual machine.
        UploadPreparedSecure,
    }
}

open_enum! {
    /// What the owner's keys of an encryption set are for.
    pub enum DiskEncryptionSetType {
        /// Disks are encrypted with the owner's key.
        EncryptionAtRestWithCustomerKey,
        /// Twice, with the platform's key and the owner's.
        EncryptionAtRestWithPlatformAndCustomerKeys,
        /// Confidential virtual machines are, with the owner's key.
        ConfidentialVmEncryptedWithCustomerKey,
    }
}

open_enum! {
    /// The generation of a virtual machine that a disk starts.
    pub enum HyperVGeneration {
        /// By a BIOS.
        V1,
        /// By UEFI.
        V2,
    }
}

open_enum! {
    /// Where a disk is in its life.
    pub enum DiskState {
        /// No virtual machine has it.
        Unattached,
        /// One has it, and runs.
        Attached,
        /// One has it, and does not run.
        Reserved,
        /// One has it, and sleeps.
        Frozen,
        /// Somebody has leave to read or write it.
        ActiveSas = "ActiveSAS",
        /// It waits for leave to be written.
        ReadyToUpload,
        /// It is being written from outside.
        ActiveUpload,
    }
}

/// The URL of a blob. What follows the path may be a signature, so that `Debug` and `Display` leave it out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlobUrl(String);

impl BlobUrl {
    /// As it is written, with its signature where it has one.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&Url> for BlobUrl {
    fn from(url: &Url) -> Self {
        Self(url.as_str().to_owned())
    }
}

impl fmt::Display for BlobUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Url::parse(&self.0) {
            Ok(url) => f.write_str(&redacted_url(&url)),
            // What is no URL may still be one with a signature that was cut or mistyped.
            Err(_) => f.write_str("***"),
        }
    }
}

impl fmt::Debug for BlobUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

wire! {
    /// The properties of a [`Disk`].
    pub struct DiskProperties {
        /// Where its content comes from.
        creation_data: CreationData,
        /// `Windows` or `Linux` where it starts a machine.
        os_type: String,
        /// Which generation it starts.
        hyper_v_generation: HyperVGeneration,
        /// Its size in GiB.
        #[serde(rename = "diskSizeGB")]
        disk_size_gb: i64,
        /// Its size in bytes.
        disk_size_bytes: i64,
        /// How many operations a second it does; to be set for Ultra and Premium v2.
        #[serde(rename = "diskIOPSReadWrite")]
        disk_iops_read_write: i64,
        /// How much it moves, in MB a second; to be set for Ultra and Premium v2.
        #[serde(rename = "diskMBpsReadWrite")]
        disk_mbps_read_write: i64,
        /// Where it is in its life.
        disk_state: DiskState,
        /// Whose keys encrypt it.
        encryption: DiskEncryption,
        /// Who may read and write it from outside: `AllowAll`, `AllowPrivate` or `DenyAll`.
        network_access_policy: String,
        /// What private endpoints lead to it through, with `AllowPrivate`.
        disk_access_id: ArmId,
        /// Whether that may be over its public endpoint.
        public_network_access: PublicNetworkAccess,
        /// What protects it.
        security_profile: DiskSecurityProfile,
        /// How many virtual machines may have it at once.
        max_shares: i64,
        /// `Succeeded`, `Failed` and others.
        provisioning_state: String,
        /// When it was made.
        time_created: Stamp,
        /// Its id, which no other disk ever has.
        unique_id: String,
    }

    /// Where the content of a new disk comes from.
    pub struct CreationData {
        /// Which way.
        create_option: DiskCreateOption,
        /// With Upload: how much will be written, in bytes, with the footer of 512 bytes.
        upload_size_bytes: i64,
        /// With Import: the blob.
        source_uri: BlobUrl,
        /// With Import: the account of the blob, where that is in another subscription.
        storage_account_id: ArmId,
        /// With Copy: the disk or snapshot.
        source_resource_id: ArmId,
        /// The bytes of a sector: 512 or 4096, of Ultra and Premium v2.
        logical_sector_size: i64,
        /// With Import for a confidential machine: the blob of its secrets.
        security_data_uri: BlobUrl,
    }

    /// Whose keys encrypt a disk.
    pub struct DiskEncryption {
        /// `EncryptionAtRestWithPlatformKey`, `EncryptionAtRestWithCustomerKey` or
        /// `EncryptionAtRestWithPlatformAndCustomerKeys`.
        #[serde(rename = "type")]
        encryption_type: String,
        /// The owner's keys.
        disk_encryption_set_id: ArmId,
    }

    /// What protects a disk of a trusted or confidential virtual machine.
    pub struct DiskSecurityProfile {
        /// `TrustedLaunch`, `ConfidentialVM_DiskEncryptedWithCustomerKey` and others.
        security_type: String,
        /// The owner's keys, for a confidential machine.
        #[serde(rename = "secureVMDiskEncryptionSetId")]
        secure_vm_disk_encryption_set_id: ArmId,
    }

    /// The properties of a [`Snapshot`].
    pub struct SnapshotProperties {
        /// Where its content comes from.
        creation_data: CreationData,
        /// Whether it holds only what changed since the last one.
        incremental: bool,
        /// `Windows` or `Linux` where it starts a machine.
        os_type: String,
        /// Which generation it starts.
        hyper_v_generation: HyperVGeneration,
        /// Its size in GiB.
        #[serde(rename = "diskSizeGB")]
        disk_size_gb: i64,
        /// Its size in bytes.
        disk_size_bytes: i64,
        /// Whose keys encrypt it.
        encryption: DiskEncryption,
        /// Who may read it from outside.
        network_access_policy: String,
        /// Where it is in its life.
        disk_state: DiskState,
        /// `Succeeded`, `Failed` and others.
        provisioning_state: String,
        /// When it was made.
        time_created: Stamp,
    }

    /// The properties of a [`DiskEncryptionSet`].
    pub struct DiskEncryptionSetProperties {
        /// What its keys are for.
        encryption_type: DiskEncryptionSetType,
        /// The key of now.
        active_key: EncryptionKey,
        /// Whether a new version of the key is taken by itself.
        rotation_to_latest_key_version_enabled: bool,
        /// `Succeeded`, `Failed` and others.
        provisioning_state: String,
    }

    /// A key of the owner.
    pub struct EncryptionKey {
        /// The key vault.
        source_vault: ResourceRef,
        /// The key in it: its address, not itself.
        key_url: String,
    }

    /// A request for leave to read or write a disk from outside (`beginGetAccess`).
    pub struct GrantAccess {
        /// `Read` or `Write`.
        access: AccessLevel,
        /// For how long, in seconds.
        duration_in_seconds: i64,
    }
}

open_enum! {
    /// What leave is asked for.
    pub enum AccessLevel {
        /// None.
        None,
        /// To read.
        Read,
        /// To write.
        Write,
    }
}

impl GrantAccess {
    /// Leave to write for so many seconds.
    pub fn to_write(seconds: i64) -> Self {
        Self { access: Some(AccessLevel::Write), duration_in_seconds: Some(seconds), ..Self::default() }
    }

    /// Leave to read for so many seconds.
    pub fn to_read(seconds: i64) -> Self {
        Self { access: Some(AccessLevel::Read), duration_in_seconds: Some(seconds), ..Self::default() }
    }
}

/// The leave: the answer of `beginGetAccess`. It is only read, never written.
#[derive(Clone, Debug)]
pub struct AccessUri {
    /// The URL of the disk as a page blob, with its signature.
    pub access_sas: Secret<String>,
}

impl<'de> Deserialize<'de> for AccessUri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(rename = "accessSAS")]
            access_sas: String,
        }
        Body::deserialize(deserializer).map(|body| Self { access_sas: Secret::new(body.access_sas) })
    }
}

impl Resource<DiskProperties> {
    /// The kind of the disk.
    pub fn disk_type(&self) -> Option<DiskType> {
        Some(DiskType::from(self.sku.as_ref()?.name.as_deref()?))
    }

    /// The virtual machine that has it.
    pub fn managed_by(&self) -> Option<ArmId> {
        self.extra.get("managedBy")?.as_str().filter(|id| !id.is_empty()).map(ArmId::new)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::model::wire::same;

    #[test]
    fn a_disk_that_is_read_and_written_is_the_same() {
        let disk: Disk = same(&json!({
            "location": "westeurope", "zones": ["1"], "sku": { "name": "PremiumV2_LRS", "tier": "Premium" }, "managedBy": "/subscriptions/s/vm",
            "properties": {
                "creationData": { "createOption": "Upload", "uploadSizeBytes": 20_972_032, "performancePlus": true },
                "hyperVGeneration": "V2", "osType": "Windows", "diskSizeGB": 32, "diskIOPSReadWrite": 3000, "diskMBpsReadWrite": 125,
                "diskState": "ReadyToUpload", "networkAccessPolicy": "AllowPrivate", "LastOwnershipUpdateTime": "2026-11-25T08:00:00Z",
                "encryption": { "type": "EncryptionAtRestWithCustomerKey", "diskEncryptionSetId": "/subscriptions/s/des" },
                "securityProfile": { "securityType": "TrustedLaunch", "secureVMDiskEncryptionSetId": "/x" },
            },
        }));
        assert_eq!(disk.disk_type(), Some(DiskType::PremiumV2Lrs));
        assert_eq!(disk.managed_by(), Some(ArmId::new("/subscriptions/s/vm")));
        assert_eq!(Disk::default().managed_by(), None);
    }

    #[test]
    fn a_snapshot_and_an_encryption_set_are_read_and_written_the_same() {
        same::<Snapshot>(
            &json!({ "properties": { "incremental": true, "creationData": { "createOption": "CopyStart", "sourceResourceId": "/d" }, "completionPercent": 12.5 } }),
        );
        let set: DiskEncryptionSet = same(&json!({
            "identity": { "type": "SystemAssigned" },
            "properties": { "encryptionType": "ConfidentialVmEncryptedWithCustomerKey", "activeKey": { "keyUrl": "https://k", "sourceVault": { "id": "/v" } }, "previousKeys": [] },
        }));
        assert_eq!(set.properties.encryption_type, Some(DiskEncryptionSetType::ConfidentialVmEncryptedWithCustomerKey));
    }

    #[test]
    fn leave_is_asked_for_as_the_service_wants_it() {
        assert_eq!(
            serde_json::to_value(GrantAccess::to_write(3600)).unwrap(),
            json!({ "access": "Write", "durationInSeconds": 3600 })
        );
        assert_eq!(
            serde_json::to_value(GrantAccess::to_read(60)).unwrap(),
            json!({ "access": "Read", "durationInSeconds": 60 })
        );
    }

    #[test]
    fn leave_never_shows_its_signature_and_is_an_error_where_there_is_none() {
        let leave: AccessUri = serde_json::from_value(json!({ "accessSAS": "https://md/blob?sig=canary" })).unwrap();
        assert_eq!(leave.access_sas.expose(), "https://md/blob?sig=canary");
        assert!(!format!("{leave:?}").contains("canary"));
        assert!(serde_json::from_value::<AccessUri>(json!({})).is_err());
    }

    #[test]
    fn the_blob_that_a_disk_is_made_of_never_shows_its_signature() {
        let body =
            json!({ "createOption": "Import", "sourceUri": "https://a.blob.core.windows.net/c/d.vhd?sig=canary" });
        let data: CreationData = same(&body);
        let shown = format!("{data:?}");
        assert!(shown.contains("https://a.blob.core.windows.net/c/d.vhd") && !shown.contains("canary"), "{shown}");
        assert_eq!(same::<BlobUrl>(&json!("sig=canary")).to_string(), "***");
    }
}
