//! From sealed replicas to a machine, and what stands in the way.

use std::time::Duration;

use libmigrate::control::arm::ArmError;
use libmigrate::control::cutover::{Cutover, CutoverError, Outcome, Record};
use libmigrate::error::Diagnose;
use libmigrate_test_support::fake_arm::{ArmError as ServiceError, ArmFault};
use serde_json::{Value, json};

use super::world::{Kept, World};

#[tokio::test]
async fn a_server_with_two_disks_becomes_a_machine() {
    let world = World::start().await;
    let (plan, kept) = (world.production(), Kept::default());

    let outcome = world.run(&plan, &kept).await.unwrap();

    let ids = World::ids(&plan);
    assert_eq!(outcome, Outcome { made: ids.clone(), found: Vec::new() });
    let machine = world.there(plan.machine()).unwrap();
    let storage = &machine["properties"]["storageProfile"];
    assert_eq!(storage["osDisk"]["managedDisk"]["id"], ids[0].as_str());
    assert_eq!(storage["dataDisks"][0]["managedDisk"]["id"], ids[1].as_str());
    assert_eq!((&storage["osDisk"]["deleteOption"], &storage["dataDisks"][0]["lun"]), (&json!("Detach"), &json!(0)));
    assert_eq!(machine["properties"]["provisioningState"], "Succeeded");
    let nic = world.there(&plan.nics()[0].id).unwrap();
    assert_eq!(nic["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"], "10.0.1.77");
    let disk = world.there(&ids[0]).unwrap();
    assert_eq!((&disk["managedBy"], &disk["zones"]), (&json!(plan.machine()), &json!(["1"])));
    for id in &ids {
        let tags = &world.there(id).unwrap()["tags"];
        assert_eq!(tags["libmigrate-cutover"], plan.cutover().to_string(), "{id}");
        assert_eq!((&tags["owner"], &tags["libmigrate-purpose"]), (&json!("team"), &json!("production")), "{id}");
    }
}

#[tokio::test]
async fn what_is_there_is_left_as_it_is() {
    let world = World::start().await;
    let (plan, kept) = (world.production(), Kept::default());
    world.run(&plan, &kept).await.unwrap();
    let before = world.fake.all_resources();

    let again = world.run(&plan, &kept).await.unwrap();
    // Also without the record: the tags tell.
    let without = world.run(&plan, &Kept::default()).await.unwrap();

    let nothing_new = Outcome { made: Vec::new(), found: World::ids(&plan) };
    assert_eq!((&again, &without), (&nothing_new, &nothing_new));
    assert_eq!(world.fake.all_resources(), before);
}

#[tokio::test]
async fn a_name_that_is_taken_ends_the_run_before_anything_is_changed_there() {
    for taken in 0..5 {
        let world = World::start().await;
        let plan = world.production();
        let id = &World::ids(&plan)[taken];
        world.place_foreign(id, &Value::Null);
        let before = world.there(id);

        let error = world.run(&plan, &Kept::default()).await.unwrap_err();

        assert!(matches!(&error, CutoverError::NameTaken { id: told, .. } if told == id), "{error}");
        assert_eq!((error.code(), world.asked("PUT", id)), ("cutover.name_taken", 0));
        assert_eq!(world.there(id), before);
    }
}

#[tokio::test]
async fn a_machine_that_another_makes_meanwhile_is_not_replaced() {
    let world = World::start().await;
    let (plan, kept) = (world.production(), Kept::default());
    // The read does not find it yet.
    world.place_foreign(plan.machine(), &Value::Null);
    let hidden = ServiceError::new(404, "ResourceNotFound", "The Resource was not found.");
    world.fake.faults().order("GET", "virtualMachines/web01", 1, ArmFault::Refuse(hidden));

    let error = world.run(&plan, &kept).await.unwrap_err();

    assert_eq!(error.code(), "cutover.name_taken");
    assert!(world.there(plan.machine()).unwrap()["tags"].is_null());
}

#[tokio::test]
async fn a_disk_that_cannot_be_imported_says_why_and_is_made_anew_by_the_next_run() {
    let world = World::start().await;
    let (plan, kept) = (world.production(), Kept::default());
    let failed = ServiceError::new(409, "OperationFailed", "The disk could not be created.")
        .because("BlobAccessDenied", "The blob could not be read with the rights of this subscription.");
    world.fake.faults().order("PUT", "disks/web01-data-0", 1, ArmFault::FailOperation(failed));

    let error = world.run(&plan, &kept).await.unwrap_err();
    let outcome = world.run(&plan, &kept).await.unwrap();

    let disk = &plan.disks()[1].id;
    let CutoverError::DiskFailed { disk: told, service } = &error else { panic!("{error}") };
    assert!(told == disk && service.has_code("BlobAccessDenied"), "{error}");
    assert!(error.to_string().contains("could not be read with the rights"), "{error}");
    assert_eq!(outcome.found, [plan.disks()[0].id.clone()]);
    assert_eq!(world.there(disk).unwrap()["properties"]["provisioningState"], "Succeeded");
}

#[tokio::test]
async fn a_failed_disk_of_another_hand_is_not_deleted() {
    let world = World::start().await;
    let (plan, kept) = (world.production(), Kept::default());
    let failed = ArmFault::FailOperation(ServiceError::new(500, "InternalError", "It failed."));
    world.fake.faults().order("PUT", "disks/web01-os", 1, failed);
    world.run(&plan, &kept).await.unwrap_err();

    let error = world.run(&plan, &Kept::default()).await.unwrap_err();

    assert!(error.code() == "cutover.differs" && error.to_string().contains("not in the record"), "{error}");
    assert_eq!(world.asked("DELETE", &plan.disks()[0].id), 0);
}

#[tokio::test]
async fn a_later_recovery_point_does_not_take_disks_of_an_earlier_one() {
    let mut world = World::start().await;
    let kept = Kept::default();
    world.fake.faults().order("PUT", "virtualMachines", 1, ArmFault::Refuse(ServiceError::new(400, "No", "No.")));
    world.run(&world.production(), &kept).await.unwrap_err();
    world.seal_again();

    let error = world.run(&world.production(), &kept).await.unwrap_err();

    assert_eq!(error.code(), "cutover.differs");
    assert!(error.to_string().contains("its recovery point is 3.7-") && error.to_string().contains("3.8-"), "{error}");
}

#[tokio::test]
async fn other_settings_than_those_of_what_is_there_are_told() {
    let mut world = World::start().await;
    let kept = Kept::default();
    world.run(&world.production(), &kept).await.unwrap();
    world.server.size = Some("Standard_D4s_v3".into());

    let error = world.run(&world.production(), &kept).await.unwrap_err();

    assert!(error.to_string().contains("its size is Standard_D2s_v3, and Standard_D4s_v3 is wanted"), "{error}");
}

#[tokio::test]
async fn a_machine_that_was_deleted_by_hand_is_not_made_again_of_its_used_disks() {
    let world = World::start().await;
    let (plan, kept) = (world.production(), Kept::default());
    world.run(&plan, &kept).await.unwrap();
    world.fake.remove(plan.machine().as_str());

    let error = world.run(&plan, &kept).await.unwrap_err();

    assert_eq!((error.code(), world.there(plan.machine())), ("cutover.machine_gone", None));
}

#[tokio::test]
async fn throttling_busy_resources_slow_reads_and_lost_answers_make_nothing_twice() {
    let world = World::start().await;
    let (plan, kept) = (world.production(), Kept::default());
    let faults = world.fake.faults();
    faults.order("PUT", "disks/web01-os", 1, ArmFault::throttled(Duration::ZERO));
    faults.order("PUT", "disks/web01-data-0", 1, ArmFault::busy());
    faults.order("PUT", "networkInterfaces/web01-nic-1", 1, ArmFault::Hide { reads: 2 });
    faults.order("PUT", "virtualMachines/web01", 1, ArmFault::ResetAfter);

    world.run(&plan, &kept).await.unwrap();

    assert_eq!(world.in_the_group().len(), 5);
    assert_eq!(world.there(plan.machine()).unwrap()["properties"]["provisioningState"], "Succeeded");
}

#[tokio::test]
async fn a_cancelled_run_ends_and_the_next_one_goes_on() {
    let world = World::start().await;
    let (plan, kept) = (world.production(), Kept::default());
    let cancel = libmigrate::CancellationToken::new();
    let cutover = Cutover::new(&world.client, &plan, &kept);
    world.fake.turn(|knobs| knobs.polls_before_done = u32::MAX);

    let mut record = Record::new(&plan);
    let (ended, ()) = tokio::join!(cutover.run(&mut record, &cancel), async {
        while world.asked("PUT", &plan.disks()[0].id) == 0 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    });
    world.fake.change(plan.disks()[0].id.as_str(), |disk| disk["properties"]["provisioningState"] = "Succeeded".into());
    world.fake.turn(|knobs| knobs.polls_before_done = 1);
    let outcome = world.run(&plan, &kept).await.unwrap();

    let error = ended.unwrap_err();
    assert!(matches!(error, CutoverError::Arm(ArmError::Cancelled { .. })), "{error}");
    assert_eq!(outcome.made.len(), 4);
}

#[tokio::test]
async fn nothing_is_made_that_could_not_be_recorded() {
    let world = World::start().await;
    let plan = world.production();
    let full = |_: &Record| Err(std::io::Error::from(std::io::ErrorKind::StorageFull));

    let error =
        Cutover::new(&world.client, &plan, &full).run(&mut Record::new(&plan), &world.cancel).await.unwrap_err();

    assert_eq!((error.code(), world.in_the_group()), ("cutover.record", Vec::new()));
}

#[tokio::test]
async fn the_record_of_another_machine_is_refused() {
    let world = World::start().await;
    let (plan, kept) = (world.production(), Kept::default());
    let cutover = Cutover::new(&world.client, &plan, &kept);

    let error = cutover.run(&mut Record::new(&world.test()), &world.cancel).await.unwrap_err();

    assert_eq!((error.code(), world.fake.requests()), ("cutover.other_record", Vec::new()));
}
