//! Disks that the caller writes.

use std::error::Error;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use libmigrate::CancellationToken;
use libmigrate::control::cutover::{
    Cutover, CutoverError, Filling, LEAST_UPLOAD_BYTES, MachinePlan, Outcome, PageCopier, Purpose, Replica,
};
use libmigrate::error::Diagnose;
use libmigrate::secret::Secret;
use libmigrate_test_support::fake_arm::LastRequest;
use serde_json::json;

use super::world::{Kept, VHD_BYTES, World, client};

/// Notes what it is asked to copy; the first so many fail.
#[derive(Default)]
struct Copier {
    copied: Mutex<Vec<(String, String)>>,
    failures: Mutex<u32>,
}

#[async_trait]
impl PageCopier for Copier {
    async fn copy(
        &self,
        replica: &Replica,
        to: &Secret<String>,
        _: &CancellationToken,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if *failures > 0 {
            *failures -= 1;
            return Err("the replica cannot be read".into());
        }
        let to = to.expose().split('?').next().unwrap_or_default().to_owned();
        self.copied.lock().unwrap_or_else(PoisonError::into_inner).push((replica.disk().to_owned(), to));
        Ok(())
    }
}

impl Copier {
    fn copied(&self) -> Vec<(String, String)> {
        self.copied.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn start() -> World {
    let mut world = World::start().await;
    world.settings.filling = Filling::Upload;
    world
}

async fn run(world: &World, plan: &MachinePlan, kept: &Kept, copier: &Copier) -> Result<Outcome, CutoverError> {
    let cutover = Cutover::new(&world.client, plan, kept).with_copier(copier);
    cutover.run(&mut kept.record(plan), &world.cancel).await
}

#[tokio::test]
async fn disks_are_opened_copied_to_and_closed_before_the_machine_is_made() {
    let world = start().await;
    world.fake.turn(|knobs| knobs.upload_to = Some("http://127.0.0.1:1/disks".into()));
    let (plan, kept, copier) = (world.production(), Kept::default(), Copier::default());

    run(&world, &plan, &kept, &copier).await.unwrap();

    let copied = [("os", "web01-os"), ("data", "web01-data-0")]
        .map(|(disk, name)| (disk.to_owned(), format!("http://127.0.0.1:1/disks/{name}")));
    assert_eq!(copier.copied(), copied);
    let disk = world.there(&plan.disks()[0].id).unwrap();
    assert_eq!(disk["properties"]["creationData"], json!({ "createOption": "Upload", "uploadSizeBytes": VHD_BYTES }));
    assert_eq!(disk["properties"]["diskState"], "Attached");
}

#[tokio::test]
async fn a_copy_that_fails_is_told_without_the_signature_and_made_again() {
    let world = start().await;
    let (plan, kept) = (world.production(), Kept::default());
    let copier = Copier { failures: Mutex::new(1), ..Copier::default() };

    let error = run(&world, &plan, &kept, &copier).await.unwrap_err();
    let outcome = run(&world, &plan, &kept, &copier).await.unwrap();

    assert_eq!(error.code(), "cutover.copy");
    assert!(error.to_string().ends_with("the replica cannot be read"), "{error}");
    assert_eq!((outcome.found.len(), copier.copied().len()), (1, 2));
}

#[tokio::test]
async fn an_upload_without_a_copier_sends_nothing() {
    let world = start().await;
    let error = world.run(&world.production(), &Kept::default()).await.unwrap_err();
    assert_eq!((error.code(), world.fake.requests()), ("cutover.no_copier", Vec::new()));
}

#[tokio::test]
async fn a_disk_that_was_closed_before_it_was_filled_becomes_no_machine() {
    let world = start().await;
    let (plan, kept) = (world.production(), Kept::default());
    let copier = Copier { failures: Mutex::new(1), ..Copier::default() };
    run(&world, &plan, &kept, &copier).await.unwrap_err();
    world.fake.change(plan.disks()[0].id.as_str(), |disk| disk["properties"]["diskState"] = "Unattached".into());

    let error = run(&world, &plan, &kept, &copier).await.unwrap_err();

    assert_eq!((error.code(), world.there(plan.machine())), ("cutover.not_filled", None));
}

#[tokio::test]
async fn a_replica_that_is_too_small_for_an_upload_is_refused_and_the_smallest_is_not() {
    let mut world = start().await;
    let size = |world: &mut World, bytes: u64| {
        for replica in &mut world.settings.replicas {
            let mut told = serde_json::to_value(&*replica).unwrap();
            told["size_bytes"] = bytes.into();
            *replica = serde_json::from_value(told).unwrap();
        }
    };
    size(&mut world, (19 << 20) + 512);
    let refused = MachinePlan::new(&world.server, &world.target, &world.settings, Purpose::Production).unwrap_err();
    size(&mut world, LEAST_UPLOAD_BYTES);

    run(&world, &world.production(), &Kept::default(), &Copier::default()).await.unwrap();

    assert!(refused.to_string().contains("at least 20972032"), "{refused}");
}

#[tokio::test]
async fn an_upload_that_is_killed_at_any_request_goes_on() {
    for after in 0.. {
        let mut died = false;
        for last in [LastRequest::Unseen, LastRequest::Unanswered] {
            let mut world = start().await;
            let (plan, kept, copier) = (world.production(), Kept::default(), Copier::default());
            world.fake.faults().cut_off(after, last);
            tokio::select! {
                biased;
                () = world.fake.faults().was_cut_off() => died = true,
                done = run(&world, &plan, &kept, &copier) => drop(done.unwrap()),
            }
            world.fake.faults().clear();
            world.client = client(&world.fake);

            let outcome = run(&world, &plan, &kept, &copier).await;

            outcome.unwrap_or_else(|error| panic!("after {after}, {last:?}: {error}"));
            for disk in plan.disks() {
                let copies = copier.copied().iter().filter(|(copied, _)| copied == disk.replica.disk()).count();
                assert_eq!((world.asked("PUT", &disk.id), copies), (1, 1), "after {after}, {last:?}: {}", disk.id);
                assert_eq!(world.there(&disk.id).unwrap()["properties"]["diskState"], "Attached");
            }
        }
        if !died {
            return;
        }
    }
}
