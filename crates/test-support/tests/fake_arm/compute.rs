//! Disks, machines, sets, and what a region offers.

use libmigrate_test_support::fake_arm::{FakeArm, GROUP, SUBSCRIPTION, Scenery};
use serde_json::{Value, json};

use super::client::ArmClient;

const UPLOAD_BYTES: u64 = (32 << 30) + 512;

async fn start() -> (FakeArm, ArmClient) {
    let fake = FakeArm::start_with(&Scenery::vmware()).await;
    let client = ArmClient::of(&fake);
    (fake, client)
}

fn compute(kind: &str, name: &str) -> String {
    format!("{GROUP}/providers/Microsoft.Compute/{kind}/{name}")
}

fn disk(creation: &Value) -> Value {
    json!({ "location": "centralus", "sku": { "name": "Premium_LRS" }, "properties": { "osType": "Windows", "creationData": creation } })
}

fn upload() -> Value {
    disk(&json!({ "createOption": "Upload", "uploadSizeBytes": UPLOAD_BYTES }))
}

async fn uploaded(client: &ArmClient, name: &str) -> String {
    let id = compute("disks", name);
    client.do_and_wait("PUT", &id, Some(&upload())).await;
    let access = json!({ "access": "Write", "durationInSeconds": 3600 });
    client.do_and_wait("POST", &format!("{id}/beginGetAccess"), Some(&access)).await;
    client.do_and_wait("POST", &format!("{id}/endGetAccess"), None).await;
    id
}

async fn card(client: &ArmClient, name: &str) -> String {
    let id = format!("{GROUP}/providers/Microsoft.Network/networkInterfaces/{name}");
    let configuration = json!({ "name": "ip1", "properties": { "subnet": { "id": Scenery::vmware().subnet() } } });
    let body = json!({ "location": "centralus", "properties": { "ipConfigurations": [configuration] } });
    client.do_and_wait("PUT", &id, Some(&body)).await;
    id
}

fn machine(disk: &str, card: &str) -> Value {
    json!({ "location": "centralus", "properties": {
        "hardwareProfile": { "vmSize": "Standard_D2s_v3" },
        "storageProfile": { "osDisk": { "createOption": "Attach", "osType": "Windows", "managedDisk": { "id": disk } } },
        "networkProfile": { "networkInterfaces": [{ "id": card, "properties": { "primary": true } }] },
    } })
}

#[tokio::test]
async fn a_disk_is_filled_through_a_signature_that_comes_by_location() {
    let (fake, client) = start().await;
    fake.turn(|knobs| knobs.upload_to = Some("http://127.0.0.1:1/account/disks".into()));
    let id = compute("disks", "os");
    let state = |fake: &FakeArm| fake.resource(&id).unwrap()["properties"]["diskState"].clone();

    client.do_and_wait("PUT", &id, Some(&upload())).await;
    assert_eq!(state(&fake), "ReadyToUpload");
    let access = json!({ "access": "Write", "durationInSeconds": 3600 });
    let granted = client.do_and_wait("POST", &format!("{id}/beginGetAccess"), Some(&access)).await;
    assert_eq!(state(&fake), "ActiveUpload");
    let locked = client.send("DELETE", &id, None).await;
    client.do_and_wait("POST", &format!("{id}/endGetAccess"), None).await;

    assert!(granted.text("/accessSAS").starts_with("http://127.0.0.1:1/account/disks/os?sv="), "{granted:?}");
    assert_eq!(locked.status, 409);
    assert_eq!(state(&fake), "Unattached");
    assert_eq!(fake.resource(&id).unwrap()["properties"]["diskSizeGB"], 32);
}

#[tokio::test]
async fn a_disk_of_a_size_that_is_no_whole_mebibytes_and_a_footer_is_refused() {
    let (_fake, client) = start().await;
    let mut statuses = Vec::new();

    for bytes in [UPLOAD_BYTES - 512, 512, UPLOAD_BYTES] {
        let body = disk(&json!({ "createOption": "Upload", "uploadSizeBytes": bytes }));
        statuses.push(client.put(&compute("disks", "os"), &body).await.status);
    }

    assert_eq!(statuses, [400, 400, 202]);
}

#[tokio::test]
async fn a_disk_is_imported_from_a_blob_of_an_account_that_is_there() {
    let (_fake, client) = start().await;
    let source = |account: String| {
        disk(&json!({
            "createOption": "Import", "sourceUri": "https://cache01.blob.core.windows.net/replicas/web01.vhd",
            "storageAccountId": account,
        }))
    };

    let nowhere = client.put(&compute("disks", "os"), &source(format!("{GROUP}/none"))).await;
    client.do_and_wait("PUT", &compute("disks", "os"), Some(&source(Scenery::vmware().account()))).await;
    let shown = client.get(&compute("disks", "os")).await;

    assert_eq!(nowhere.status, 400);
    assert_eq!(shown.text("/properties/diskState"), "Unattached");
    assert_eq!(shown.text("/properties/provisioningState"), "Succeeded");
}

#[tokio::test]
async fn a_machine_holds_its_disk_and_its_interface_until_it_goes() {
    let (_fake, client) = start().await;
    let (disk, card) = (uploaded(&client, "os").await, card(&client, "nic1").await);
    let (first, second) = (compute("virtualMachines", "web01"), compute("virtualMachines", "web02"));

    client.do_and_wait("PUT", &first, Some(&machine(&disk, &card))).await;
    let taken = client.get(&disk).await;
    let rival = client.put(&second, &machine(&disk, &card)).await;
    let held = client.send("DELETE", &disk, None).await;
    client.do_and_wait("DELETE", &first, None).await;
    let freed = client.get(&disk).await;

    assert_eq!((taken.text("/properties/diskState"), taken.text("/managedBy")), ("Attached", first.as_str()));
    assert!(rival.status >= 400 && held.status == 409, "{rival:?} {held:?}");
    assert_eq!(freed.text("/properties/diskState"), "Unattached");
    client.do_and_wait("PUT", &second, Some(&machine(&disk, &card))).await;
    client.do_and_wait("DELETE", &second, None).await;
    client.do_and_wait("DELETE", &disk, None).await;
}

#[tokio::test]
async fn a_disk_that_waits_for_its_bytes_is_attached_to_nothing() {
    let (_fake, client) = start().await;
    let card = card(&client, "nic1").await;
    client.do_and_wait("PUT", &compute("disks", "os"), Some(&upload())).await;

    let refused = client.put(&compute("virtualMachines", "web01"), &machine(&compute("disks", "os"), &card)).await;

    assert_eq!((refused.status, refused.code()), (409, "OperationNotAllowed"));
}

#[tokio::test]
async fn an_availability_set_knows_its_machines_and_excludes_zones() {
    let (_fake, client) = start().await;
    let set = compute("availabilitySets", "set1");
    client.put(&set, &json!({ "location": "centralus", "sku": { "name": "Aligned" } })).await;
    let mut body = machine(&uploaded(&client, "os").await, &card(&client, "nic1").await);
    body["properties"]["availabilitySet"] = json!({ "id": set });
    let mut zoned = body.clone();
    zoned["zones"] = json!(["1"]);

    let both = client.put(&compute("virtualMachines", "web01"), &zoned).await;
    client.do_and_wait("PUT", &compute("virtualMachines", "web01"), Some(&body)).await;
    let used = client.send("DELETE", &set, None).await;
    client.do_and_wait("DELETE", &compute("virtualMachines", "web01"), None).await;
    let empty = client.send("DELETE", &set, None).await;

    assert_eq!((both.status, used.status, empty.status), (400, 409, 200));
}

#[tokio::test]
async fn sizes_and_regions_say_where_there_are_zones() {
    let (_fake, client) = start().await;

    let skus = client
        .get(&format!("{SUBSCRIPTION}/providers/Microsoft.Compute/skus?$filter=location%20eq%20'westcentralus'"))
        .await;
    let locations = client.get(&format!("{SUBSCRIPTION}/locations")).await;

    let all = skus.body["value"].as_array().unwrap();
    assert!(!all.is_empty() && all.iter().all(|sku| sku["locations"] == json!(["westcentralus"])));
    assert_eq!(all[0]["locationInfo"][0]["zones"], json!([]));
    let central = locations.body["value"].as_array().unwrap().iter().find(|one| one["name"] == "centralus").unwrap();
    assert_eq!(central["availabilityZoneMappings"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn an_encryption_set_needs_a_key_and_gets_an_identity() {
    let (_fake, client) = start().await;
    let id = compute("diskEncryptionSets", "set1");
    let mut body = json!({
        "location": "centralus", "identity": { "type": "SystemAssigned" },
        "properties": { "activeKey": { "keyUrl": "https://vault.vault.azure.net/keys/key/1" } },
    });

    client.do_and_wait("PUT", &id, Some(&body)).await;
    let made = client.get(&id).await;
    body["properties"] = json!({});
    let keyless = client.put(&compute("diskEncryptionSets", "set2"), &body).await;

    assert_eq!(made.text("/properties/encryptionType"), "EncryptionAtRestWithCustomerKey");
    assert!(!made.text("/identity/principalId").is_empty());
    assert_eq!(keyless.status, 400);
}

#[tokio::test]
async fn who_reads_a_machine_that_is_being_made_asks_how_far_it_is() {
    let (_fake, client) = start().await;
    let (disk, card) = (uploaded(&client, "os").await, card(&client, "nic1").await);
    let id = compute("virtualMachines", "web01");
    client.put(&id, &machine(&disk, &card)).await;

    let states = [client.get(&id).await, client.get(&id).await]
        .map(|read| read.text("/properties/provisioningState").to_owned());

    assert_eq!(states, ["Creating", "Succeeded"]);
}
