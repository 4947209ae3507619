//! A server with two disks, its sealed replicas, and the place that it goes to.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::OffsetDateTime;
use libmigrate::control::ArmId;
use libmigrate::control::arm::{ArmClient, ArmOptions, PollPolicy};
use libmigrate::control::cutover::{
    Cutover, CutoverError, CutoverSettings, Filling, GuestSystem, Ledger, MachinePlan, Outcome, Purpose, Record,
    Replica,
};
use libmigrate::control::model::{DiskType, Firmware};
use libmigrate::control::settings::{
    Availability, DiskEncryption, DiskSettings, Licences, NicPlace, NicRole, NicSettings, Security, ServerSettings,
    Source, Tags, TargetSettings, TestNetwork, VmwareSource,
};
use libmigrate::private_link::Cloud;
use libmigrate::{CancellationToken, RetryPolicy};
use libmigrate_test_support::fake_arm::{FakeArm, Scenery};
use serde_json::{Value, json};

/// The size of both replicas: 32 GiB and a footer.
pub const VHD_BYTES: u64 = (32 << 30) + 512;

#[derive(Debug)]
struct OneToken;

#[async_trait]
impl TokenCredential for OneToken {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        Ok(AccessToken::new("token", OffsetDateTime::now_utc() + Duration::from_secs(3600)))
    }
}

/// A client that waits as good as not at all. A new one is a new process's.
pub fn client(fake: &FakeArm) -> ArmClient {
    let millis = Duration::from_millis;
    let options = ArmOptions {
        endpoint: Some(fake.endpoint()),
        retry: RetryPolicy { first_wait: millis(1), longest_wait: millis(2), budget: millis(5000) },
        poll: PollPolicy { shortest: millis(1), longest: millis(2), deadline: millis(20_000) },
        ..ArmOptions::default()
    };
    ArmClient::new(Cloud::Public, Arc::new(OneToken), options).unwrap()
}

/// What is kept of a cutover, as text, as a file would have it.
#[derive(Default)]
pub struct Kept(Mutex<Option<String>>);

impl Ledger for Kept {
    fn keep(&self, record: &Record) -> io::Result<()> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(serde_json::to_string(record)?);
        Ok(())
    }
}

impl Kept {
    /// The record as the next process reads it.
    pub fn record(&self, plan: &MachinePlan) -> Record {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().map_or_else(|| Record::new(plan), |text| serde_json::from_str(text).unwrap())
    }
}

/// The place, and what is wanted there.
pub struct World {
    pub fake: FakeArm,
    pub client: ArmClient,
    pub scenery: Scenery,
    pub server: ServerSettings,
    pub target: TargetSettings,
    pub settings: CutoverSettings,
    pub cancel: CancellationToken,
}

impl World {
    pub async fn start() -> Self {
        let scenery = Scenery::vmware();
        let fake = FakeArm::start_with(&scenery).await;
        Self {
            client: client(&fake),
            server: server(&scenery),
            target: TargetSettings {
                resource_group: ArmId::new(scenery.target_group()),
                network: ArmId::new(scenery.network()),
                subnet: "endpoints".into(),
                test: Some(TestNetwork { network: ArmId::new(scenery.test_network()), subnet: "endpoints".into() }),
                boot_diagnostics: None,
            },
            settings: CutoverSettings {
                cloud: Cloud::Public,
                region: "centralus".into(),
                guest: GuestSystem::Windows,
                firmware: Firmware::Uefi,
                filling: Filling::Import,
                replicas: vec![replica(&scenery, "os", true, 7), replica(&scenery, "data", false, 7)],
            },
            cancel: CancellationToken::new(),
            fake,
            scenery,
        }
    }

    pub fn plan(&self, purpose: Purpose) -> MachinePlan {
        MachinePlan::new(&self.server, &self.target, &self.settings, purpose).unwrap()
    }

    pub fn production(&self) -> MachinePlan {
        self.plan(Purpose::Production)
    }

    pub fn test(&self) -> MachinePlan {
        self.plan(Purpose::Test)
    }

    /// Runs the cutover with the record that was kept.
    pub async fn run(&self, plan: &MachinePlan, kept: &Kept) -> Result<Outcome, CutoverError> {
        Cutover::new(&self.client, plan, kept).run(&mut kept.record(plan), &self.cancel).await
    }

    /// Takes the next recovery point of both disks.
    pub fn seal_again(&mut self) {
        self.settings.replicas = vec![replica(&self.scenery, "os", true, 8), replica(&self.scenery, "data", false, 8)];
    }

    pub fn id(&self, kind: &str, name: &str) -> ArmId {
        ArmId::new(format!("{}/providers/{kind}/{name}", self.scenery.target_group()))
    }

    /// Puts something of somebody else's there, with what the contract says that its kind always has.
    pub fn place_foreign(&self, id: &ArmId, tags: &Value) {
        let mut body = json!({ "location": "centralus", "properties": { "provisioningState": "Succeeded" } });
        if id.is_of("Microsoft.Compute/disks") {
            body["properties"]["creationData"] = json!({ "createOption": "Empty" });
        }
        if !tags.is_null() {
            body["tags"] = tags.clone();
        }
        self.fake.place(id.as_str(), body);
    }

    pub fn there(&self, id: &ArmId) -> Option<Value> {
        self.fake.resource(id.as_str())
    }

    /// The ids of everything in the target's group.
    pub fn in_the_group(&self) -> Vec<ArmId> {
        let group = ArmId::new(self.scenery.target_group());
        let ids = self.fake.all_resources().into_iter().map(|body| ArmId::new(body["id"].as_str().unwrap()));
        ids.filter(|id| id.is_within(&group) && *id != group).collect()
    }

    /// How often that was asked, of those requests that the service saw.
    pub fn asked(&self, method: &str, id: &ArmId) -> usize {
        self.fake.requests().iter().filter(|(asked, path)| asked == method && ArmId::new(path) == *id).count()
    }

    /// Every id that the plan makes, in the order in which it is made.
    pub fn ids(plan: &MachinePlan) -> Vec<ArmId> {
        let disks = plan.disks().iter().map(|disk| disk.id.clone());
        disks.chain(plan.nics().iter().map(|nic| nic.id.clone())).chain([plan.machine().clone()]).collect()
    }
}

fn replica(scenery: &Scenery, disk: &str, is_os: bool, cycle: u32) -> Replica {
    serde_json::from_value(json!({
        "disk": disk, "url": format!("https://cache01.blob.core.windows.net/replicas/web01-{disk}.vhd"),
        "account": scenery.account(), "size_bytes": VHD_BYTES, "is_os": is_os,
        "snapshot": format!("2026-11-25T08:45:{cycle:02}.1234567Z"),
        "seal": { "generation": 3, "cycle": cycle },
    }))
    .unwrap()
}

fn server(scenery: &Scenery) -> ServerSettings {
    let fixed = NicPlace { address: Some([10, 0, 1, 77].into()), ..NicPlace::default() };
    let account = ArmId::new(scenery.run_as_account());
    ServerSettings {
        source: Source::VmwareAgentless(VmwareSource {
            machine: ArmId::new(scenery.machine(1)),
            data_mover_account: account.clone(),
            snapshot_account: account,
            encryption: DiskEncryption::PlatformKey,
            resyncs_by_itself: true,
        }),
        item: "web01".into(),
        name: "web01".into(),
        size: Some("Standard_D2s_v3".into()),
        availability: Availability::Zone("1".into()),
        licences: Licences::default(),
        security: Security::Standard,
        tags: Tags::of_all([("owner".to_owned(), "team".to_owned())].into()),
        disks: vec![
            DiskSettings::new("data", DiskType::StandardLrs),
            DiskSettings::new("os", DiskType::PremiumLrs).with_os(),
        ],
        nics: vec![
            NicSettings { id: "1".into(), name: None, role: NicRole::Secondary(NicPlace::default()) },
            NicSettings { id: "0".into(), name: None, role: NicRole::Primary(fixed) },
        ],
    }
}
