//! What the settings make of a machine, and what is sent for it.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{CutoverError, CutoverSettings, Filling, GuestSystem, LinuxVendor, MachinePlan, Purpose, Replica, steps};
use crate::control::model::{DiskType, Firmware};
use crate::control::sample::{account_id, address, id, server, settings};
use crate::control::settings::{
    Availability, DiskEncryption, DiskSettings, LinuxLicence, NicPlace, NicRole, NicSettings, Security, ServerSettings,
    Source, SqlLicence, TargetSettings, WindowsLicence,
};
use crate::control::{ArmId, Scenario};
use crate::error::Diagnose;
use crate::private_link::Cloud;

const GROUP: &str = "/subscriptions/5f/resourceGroups/machines/providers";

pub(super) struct Wanted {
    server: ServerSettings,
    target: TargetSettings,
    cutover: CutoverSettings,
}

fn replica(disk: &str, is_os: bool) -> Replica {
    serde_json::from_value(json!({
        "disk": disk, "url": format!("https://cache01.blob.core.windows.net/replicas/{disk}.vhd"), "account": account_id(),
        "size_bytes": 20_972_032, "is_os": is_os, "seal": { "generation": 1, "cycle": 2 },
    }))
    .unwrap()
}

pub(super) fn wanted() -> Wanted {
    Wanted {
        server: server(Scenario::AgentBased, "web01"),
        target: settings(Scenario::AgentBased).target,
        cutover: CutoverSettings {
            cloud: Cloud::Public,
            region: "westeurope".into(),
            guest: GuestSystem::Windows,
            firmware: Firmware::Uefi,
            filling: Filling::Import,
            replicas: vec![replica("web01-os", true), replica("web01-data", false)],
        },
    }
}

impl Wanted {
    fn plan(&self, purpose: Purpose) -> Result<MachinePlan, CutoverError> {
        MachinePlan::new(&self.server, &self.target, &self.cutover, purpose)
    }

    pub(super) fn production(&self) -> MachinePlan {
        self.plan(Purpose::Production).unwrap()
    }

    fn refusal(&self, purpose: Purpose) -> String {
        let error = self.plan(purpose).expect_err("it is refused");
        format!("{}: {error}", error.code())
    }

    fn encrypt(&mut self, with: DiskEncryption) {
        let Source::AgentBased(source) = &mut self.server.source else { panic!("the sample has an agent") };
        source.encryption = with;
    }
}

/// The bodies of the steps by what they make: the last part of the id, and the body.
fn bodies(plan: &MachinePlan) -> Vec<(String, Value)> {
    let steps = steps(plan).unwrap();
    let sent = steps.iter().filter_map(|step| step.request.as_ref()?.body());
    let names = steps.iter().filter(|step| step.request.as_ref().is_some_and(|request| request.body().is_some()));
    names
        .map(|step| step.subject.name().to_owned())
        .zip(sent.map(|body| serde_json::from_slice(body).unwrap()))
        .collect()
}

fn body(plan: &MachinePlan, name: &str) -> Value {
    bodies(plan).into_iter().find(|(named, _)| named == name).expect("it is made").1
}

#[test]
fn disks_come_before_interfaces_and_these_before_the_machine() {
    let plan = wanted().production();
    let told: Vec<String> =
        steps(&plan).unwrap().iter().map(|step| format!("{} {}", step.action, step.subject)).collect();
    assert_eq!(
        told,
        [
            format!("make_disk {GROUP}/Microsoft.Compute/disks/web01-os"),
            format!("make_disk {GROUP}/Microsoft.Compute/disks/web01-data"),
            format!("make_nic {GROUP}/Microsoft.Network/networkInterfaces/web01-nic-0"),
            format!("make_machine {GROUP}/Microsoft.Compute/virtualMachines/web01"),
        ]
    );
}

#[test]
fn a_disk_is_imported_from_its_replica() {
    let plan = wanted().production();
    let mut disk = body(&plan, "web01-os");
    let tags = disk.as_object_mut().unwrap().remove("tags").unwrap();
    assert_eq!(
        disk,
        json!({
            "location": "westeurope", "sku": { "name": "Premium_LRS" },
            "properties": {
                "creationData": {
                    "createOption": "Import", "storageAccountId": account_id(),
                    "sourceUri": "https://cache01.blob.core.windows.net/replicas/web01-os.vhd",
                },
                "osType": "Windows", "hyperVGeneration": "V2",
            },
        })
    );
    assert_eq!(tags["libmigrate-cutover"], plan.cutover().to_string());
    assert!(tags["libmigrate-point"].as_str().unwrap().starts_with("1.2-"), "{tags}");
    let data = body(&plan, "web01-data");
    assert_eq!((&data["properties"]["osType"], &data["properties"]["hyperVGeneration"]), (&Value::Null, &Value::Null));
}

#[test]
fn a_disk_that_is_uploaded_is_opened_copied_to_and_closed() {
    let mut wanted = wanted();
    wanted.cutover.filling = Filling::Upload;
    let plan = wanted.production();

    let actions: Vec<&str> = steps(&plan).unwrap().iter().map(|step| step.action.as_str()).collect();
    let disk = ["make_disk", "open_disk", "copy_pages", "close_disk"];
    assert_eq!(actions, [&disk[..], &disk[..], &["make_nic", "make_machine"]].concat());
    let made = body(&plan, "web01-os");
    let creation = json!({ "createOption": "Upload", "uploadSizeBytes": 20_972_032 });
    assert_eq!(made["properties"]["creationData"], creation);
    let open = steps(&plan).unwrap()[1].request.as_ref().unwrap().body().cloned().unwrap();
    let open: Value = serde_json::from_slice(&open).unwrap();
    assert_eq!(open, json!({ "access": "Write", "durationInSeconds": 86_400 }));
}

#[test]
fn a_machine_holds_its_disks_in_their_places_and_lets_them_go() {
    let mut wanted = wanted();
    wanted.server.disks.insert(0, DiskSettings::new("extra", DiskType::StandardSsdLrs));
    wanted.cutover.replicas.push(replica("extra", false));
    let mut machine = body(&wanted.production(), "web01");
    machine.as_object_mut().unwrap().remove("tags");
    let disk = |name: &str| json!({ "id": format!("{GROUP}/Microsoft.Compute/disks/{name}") });
    assert_eq!(
        machine,
        json!({
            "location": "westeurope",
            "properties": {
                "hardwareProfile": { "vmSize": "Standard_D4s_v5" },
                "storageProfile": {
                    "osDisk": {
                        "osType": "Windows", "createOption": "Attach", "deleteOption": "Detach",
                        "managedDisk": disk("web01-os"),
                    },
                    "dataDisks": [
                        { "lun": 0, "createOption": "Attach", "deleteOption": "Detach", "managedDisk": disk("web01-data-0") },
                        { "lun": 1, "createOption": "Attach", "deleteOption": "Detach", "managedDisk": disk("web01-data") },
                    ],
                },
                "networkProfile": { "networkInterfaces": [{
                    "id": format!("{GROUP}/Microsoft.Network/networkInterfaces/web01-nic-0"),
                    "properties": { "primary": true, "deleteOption": "Detach" },
                }] },
            },
        })
    );
}

#[test]
fn an_address_is_fixed_or_azures_choice() {
    let mut wanted = wanted();
    let second = NicPlace { subnet: Some("backup".into()), ..NicPlace::default() };
    wanted
        .server
        .nics
        .insert(0, NicSettings { id: "nic1".into(), name: Some("web01-b".into()), role: NicRole::Secondary(second) });
    wanted.server.nics.push(NicSettings { id: "nic2".into(), name: None, role: NicRole::NotCreated });
    if let NicRole::Primary(place) = &mut wanted.server.nics[1].role {
        place.address = Some(IpAddr::from([10, 2, 0, 9]));
    }
    let plan = wanted.production();

    let names: Vec<&str> = plan.nics().iter().map(|nic| nic.id.name()).collect();
    assert_eq!(names, ["web01-nic-1", "web01-b"], "the first comes first, and one is left out");
    let given = |name: &str| body(&plan, name)["properties"]["ipConfigurations"][0]["properties"].clone();
    let subnet =
        |name: &str| json!({ "id": id("Microsoft.Network/virtualNetworks/production").child("subnets", name) });
    assert_eq!(
        given("web01-nic-1"),
        json!({ "subnet": subnet("machines"), "privateIPAddress": "10.2.0.9", "privateIPAllocationMethod": "Static",
            "privateIPAddressVersion": "IPv4", "primary": true })
    );
    assert_eq!(
        given("web01-b"),
        json!({ "subnet": subnet("backup"), "privateIPAllocationMethod": "Dynamic", "privateIPAddressVersion": "IPv4",
            "primary": true })
    );
}

#[test]
fn a_zone_is_the_machines_and_its_disks_and_a_set_is_the_machines() {
    let mut wanted = wanted();
    wanted.server.disks[1].disk_type = DiskType::StandardSsdZrs;
    wanted.server.availability = Availability::Zone("2".into());
    let zonal = wanted.production();
    let zones = |name: &str| body(&zonal, name)["zones"].clone();
    assert_eq!((zones("web01"), zones("web01-os"), zones("web01-data")), (json!(["2"]), json!(["2"]), Value::Null));

    let set = id("Microsoft.Compute/availabilitySets/set");
    wanted.server.availability = Availability::Set(set.clone());
    let machine = body(&wanted.production(), "web01");
    assert_eq!((&machine["properties"]["availabilitySet"], &machine["zones"]), (&json!({ "id": set }), &Value::Null));
    let test = body(&wanted.plan(Purpose::Test).unwrap(), "web01-Test");
    assert_eq!(test["properties"]["availabilitySet"], Value::Null, "all machines of a set are in one network");
}

#[test]
fn an_encryption_set_holds_the_keys_of_all_disks() {
    let mut wanted = wanted();
    let set = id("Microsoft.Compute/diskEncryptionSets/keys");
    wanted.encrypt(DiskEncryption::PlatformAndCustomerKey(set.clone()));
    let plan = wanted.production();
    let expected = json!({ "type": "EncryptionAtRestWithPlatformAndCustomerKeys", "diskEncryptionSetId": set });
    for disk in ["web01-os", "web01-data"] {
        assert_eq!(body(&plan, disk)["properties"]["encryption"], expected);
    }
}

#[test]
fn disks_whose_sectors_are_large_unless_told_are_told() {
    let mut wanted = wanted();
    wanted.server.disks[1].disk_type = DiskType::PremiumV2Lrs;
    let plan = wanted.production();
    let sector = |disk: &str| body(&plan, disk)["properties"]["creationData"]["logicalSectorSize"].clone();
    assert_eq!((sector("web01-data"), sector("web01-os")), (json!(512), Value::Null));
}

#[test]
fn trusted_launch_is_of_the_machine_and_of_the_disk_that_it_starts_from() {
    let mut wanted = wanted();
    wanted.server.security = Security::TrustedLaunch { secure_boot: true };
    let plan = wanted.production();
    assert_eq!(
        body(&plan, "web01")["properties"]["securityProfile"],
        json!({ "securityType": "TrustedLaunch", "uefiSettings": { "secureBootEnabled": true, "vTpmEnabled": true } })
    );
    assert_eq!(body(&plan, "web01-os")["properties"]["securityProfile"], json!({ "securityType": "TrustedLaunch" }));
    assert_eq!(body(&plan, "web01-data")["properties"]["securityProfile"], Value::Null);

    wanted.cutover.firmware = Firmware::Bios;
    assert!(wanted.refusal(Purpose::Production).contains("trusted launch needs UEFI"));
    wanted.server.security = Security::Confidential { secure_boot: true, encrypts_os_disk: true };
    assert!(wanted.refusal(Purpose::Production).starts_with("cutover.not_offered"));
}

#[test]
fn a_licence_has_the_name_that_the_contract_knows() {
    let mut wanted = wanted();
    let mut licence = |guest, windows, linux| {
        wanted.cutover.guest = guest;
        wanted.server.licences.windows = windows;
        wanted.server.licences.linux = linux;
        wanted.plan(Purpose::Production).map(|plan| body(&plan, "web01")["properties"]["licenseType"].clone())
    };
    let linux = |vendor| GuestSystem::Linux(vendor);
    let (no_windows, windows) = (WindowsLicence::None, WindowsLicence::HybridBenefit);
    let (no_linux, has_linux) = (LinuxLicence::None, LinuxLicence::HybridBenefit);
    assert_eq!(licence(GuestSystem::Windows, no_windows, no_linux).unwrap(), Value::Null);
    assert_eq!(licence(GuestSystem::Windows, windows, no_linux).unwrap(), "Windows_Server");
    assert_eq!(licence(linux(LinuxVendor::RedHat), no_windows, has_linux).unwrap(), "RHEL_BYOS");
    assert_eq!(licence(linux(LinuxVendor::Suse), no_windows, has_linux).unwrap(), "SLES_BYOS");
    for (guest, windows, linux) in [
        (GuestSystem::Windows, no_windows, has_linux),
        (linux(LinuxVendor::RedHat), windows, no_linux),
        (linux(LinuxVendor::Other), no_windows, has_linux),
        (linux(LinuxVendor::Suse), windows, has_linux),
    ] {
        assert_eq!(licence(guest, windows, linux).unwrap_err().code(), "cutover.settings");
    }
    wanted.server.licences =
        crate::control::settings::Licences { sql: SqlLicence::HybridBenefit, ..Default::default() };
    assert!(wanted.refusal(Purpose::Production).contains("SQL Server"));
}

#[test]
fn boot_diagnostics_go_to_the_account_in_the_cloud_that_is_meant() {
    let mut wanted = wanted();
    wanted.target.boot_diagnostics = Some(account_id());
    wanted.cutover.cloud = Cloud::UsGovernment;
    let kept = &body(&wanted.production(), "web01")["properties"]["diagnosticsProfile"]["bootDiagnostics"];
    assert_eq!(*kept, json!({ "enabled": true, "storageUri": "https://cache01.blob.core.usgovcloudapi.net/" }));
    wanted.target.boot_diagnostics = Some(ArmId::new("/subscriptions/5f/x/evil.example"));
    assert!(wanted.refusal(Purpose::Production).contains("no storage account for boot diagnostics"));
}

#[test]
fn a_test_machine_has_names_of_its_own_and_is_in_its_own_network() {
    let mut wanted = wanted();
    address(&mut wanted.server, IpAddr::from([10, 2, 0, 9]));
    let (plan, production) = (wanted.plan(Purpose::Test).unwrap(), wanted.production());

    let names: Vec<String> = bodies(&plan).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["web01-os-Test", "web01-data-Test", "web01-nic-0-Test", "web01-Test"]);
    assert!(plan.nics().iter().all(|nic| nic.subnet.is_within(&id("Microsoft.Network/virtualNetworks/test"))));
    assert_eq!(plan.nics()[0].address, None, "the address is the real machine's");
    assert_ne!(plan.cutover(), production.cutover());
    assert_eq!(body(&plan, "web01-Test")["tags"]["libmigrate-purpose"], "test");
}

#[test]
fn a_test_machine_never_is_in_the_network_for_production() {
    let mut wanted = wanted();
    let production = wanted.target.network.clone();
    wanted.target.test.as_mut().unwrap().network = ArmId::new(production.as_str().to_uppercase());
    assert!(wanted.refusal(Purpose::Test).contains("is the one for production"));
    wanted.target.test = None;
    assert!(wanted.refusal(Purpose::Test).starts_with("cutover.test_network"));

    let mut escaping = self::wanted();
    let NicRole::Primary(place) = &mut escaping.server.nics[0].role else { panic!("the sample has a first one") };
    place.test_subnet = Some("x/../../production/subnets/machines".into());
    assert!(escaping.refusal(Purpose::Test).contains("no name of a subnet"));
}

#[test]
fn what_makes_no_machine_is_told() {
    type Change = fn(&mut Wanted);
    let changes: [(Change, &str); 17] = [
        (|w| w.server.size = None, "there is no size"),
        (|w| w.server.name = "web_01".into(), "no name of 1 to 64"),
        (|w| w.server.name = "-web".into(), "no name of 1 to 64"),
        (|w| w.server.name = "w".repeat(65), "no name of 1 to 64"),
        (|w| w.server.disks[1].name = Some("a/b".into()), "no name of 1 to 80"),
        (|w| w.server.disks[1].name = Some("WEB01-OS".into()), "given twice"),
        (|w| w.server.disks[0].is_os = false, "0 disks are marked"),
        (|w| w.server.disks[1].is_os = true, "2 disks are marked"),
        (|w| drop(w.cutover.replicas.pop()), "\"web01-data\" has no sealed replica"),
        (|w| w.cutover.replicas.push(replica("WEB01-data", false)), "has two replicas"),
        (|w| w.cutover.replicas[1] = replica("web01-data", true), "differ in whether"),
        (|w| w.server.nics.clear(), "0 interfaces are marked"),
        (|w| address(&mut w.server, IpAddr::from([0_u16; 8])), "one of IPv4"),
        (|w| w.target.resource_group = ArmId::new("/subscriptions/5f"), "no resource group"),
        (|w| w.target.network = ArmId::new("/subscriptions/5f"), "no virtual network"),
        (|w| w.cutover.region = "west europe".into(), "no name of a region"),
        (|w| drop(w.server.tags.disk.insert("LIBMIGRATE-used".into(), String::new())), "one of the cutover's own"),
    ];
    for (change, problem) in changes {
        let mut wanted = wanted();
        change(&mut wanted);
        let refusal = wanted.refusal(Purpose::Production);
        assert!(refusal.starts_with("cutover.settings") && refusal.contains(problem), "{problem}: {refusal}");
    }
}

#[test]
fn the_same_settings_make_the_same_plan_and_ids_without_case_the_same_cutover() {
    let wanted = wanted();
    let told = |plan: &MachinePlan| serde_json::to_string(plan).unwrap();
    assert_eq!(told(&wanted.production()), told(&wanted.production()));
    let mut shouted = self::wanted();
    shouted.target.resource_group = ArmId::new(shouted.target.resource_group.as_str().to_uppercase());
    assert_eq!(shouted.production().cutover(), wanted.production().cutover());
    assert_eq!(wanted.production().cutover().to_string().len(), 36);
}
