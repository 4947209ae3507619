//! A cutover without the service: sealed replicas become a machine.

use std::path::PathBuf;

use libmigrate::CancellationToken;
use libmigrate::control::ArmId;
use libmigrate::control::arm::ArmClient;
use libmigrate::control::cutover::{
    Cutover, CutoverSettings, Filling, GuestSystem, Ledger, Leftover, MachinePlan, Purpose, Record, RecordFile,
    Replica, ReplicaDescription, steps,
};
use libmigrate::control::model::Firmware;
use libmigrate::control::settings::MigrationSettings;
use serde::Deserialize;
use tokio::task::block_in_place;

use crate::failure::{CallError, Failure};
use crate::settings::{self, text};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallSettings {
    r#do: Deed,
    server: String,
    purpose: Purpose,
    guest: GuestSystem,
    firmware: Firmware,
    replicas: Vec<ReplicaDescription>,
    #[serde(default)]
    record: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Deed {
    Steps,
    Run,
    CleanUp,
    RollBack(Leftover),
    Complete(Vec<ArmId>),
}

/// What is to be done, to which machine, and where that is kept.
pub(crate) struct Call {
    deed: Deed,
    plan: MachinePlan,
    record: Option<PathBuf>,
}

impl Call {
    pub(crate) fn of(wanted: &MigrationSettings, told: &str) -> Result<Self, Failure> {
        let CallSettings { r#do: deed, server, purpose, guest, firmware, replicas, record } =
            settings::parse("cutover", told)?;
        let server = wanted.servers.iter().find(|wanted| wanted.item == server);
        let server = server.ok_or_else(|| CallError::argument("cutover.server", "no server has that item"))?;
        let replicas = replicas.into_iter().map(Replica::try_from).collect::<Result<_, _>>()?;
        let (cloud, region) = (wanted.cloud, wanted.region.clone());
        let settings = CutoverSettings { cloud, region, guest, firmware, filling: Filling::Import, replicas };
        Ok(Self { deed, plan: MachinePlan::new(server, &wanted.target, &settings, purpose)?, record })
    }

    /// What it came to, as JSON.
    pub(crate) async fn run(self, client: &ArmClient, cancel: &CancellationToken) -> Result<String, Failure> {
        if matches!(self.deed, Deed::Steps) {
            return Ok(text(&steps(&self.plan)?));
        }
        let path = self.record.ok_or_else(|| CallError::argument("cutover.record", "name the file that keeps it"))?;
        // Files may be slow, and leases are renewed on these threads too.
        let (kept, mut record) = block_in_place(|| {
            let kept = RecordFile::open(&path)?;
            kept.read(&self.plan).map(|record| (kept, record))
        })?;
        let keep = |record: &Record| block_in_place(|| kept.keep(record));
        let cutover = Cutover::new(client, &self.plan, &keep);
        Ok(match &self.deed {
            Deed::Steps | Deed::Run => text(&cutover.run(&mut record, cancel).await?),
            Deed::CleanUp => text(&cutover.clean_up(&mut record, cancel).await?),
            Deed::RollBack(leftover) => text(&cutover.roll_back(&mut record, *leftover, cancel).await?),
            Deed::Complete(delete) => text(&cutover.complete(&mut record, delete, cancel).await?),
        })
    }
}
