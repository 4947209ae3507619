//! Test machines and their clean-up, roll back, completion.

use libmigrate::control::ArmId;
use libmigrate::control::cutover::{Cutover, Left, Leftover, Record};
use libmigrate::error::Diagnose;
use serde_json::{Value, json};

use super::world::{Kept, World};

#[tokio::test]
async fn a_test_machine_is_beside_the_real_one_and_its_clean_up_leaves_everything_else() {
    let world = World::start().await;
    let (production, test) = (world.production(), world.test());
    world.run(&production, &Kept::default()).await.unwrap();
    let before = world.fake.all_resources();
    let kept = Kept::default();

    world.run(&test, &kept).await.unwrap();
    let made = world.in_the_group().len();
    let machine = world.there(&world.id("Microsoft.Compute/virtualMachines", "web01-Test")).unwrap();
    let nics: Vec<_> = test.nics().iter().map(|nic| world.there(&nic.id).unwrap()).collect();
    let cutover = Cutover::new(&world.client, &test, &kept);
    let mut record = kept.record(&test);
    let left = cutover.clean_up(&mut record, &world.cancel).await.unwrap();

    assert_eq!(made, 10);
    assert_eq!(machine["tags"]["libmigrate-purpose"], "test");
    for nic in nics {
        let subnet = nic["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"].as_str().unwrap();
        assert!(ArmId::new(subnet).is_within(&ArmId::new(world.scenery.test_network())), "{subnet}");
    }
    assert_eq!((left, record.made().count()), (Vec::new(), 0));
    assert_eq!(world.fake.all_resources(), before);
    let deleted: Vec<_> = world.fake.requests().into_iter().filter(|(method, _)| method == "DELETE").collect();
    let order: Vec<&str> = deleted.iter().map(|(_, path)| path.rsplit('/').nth(1).unwrap()).collect();
    assert_eq!(order, ["virtualMachines", "networkInterfaces", "networkInterfaces", "disks", "disks"]);
}

#[tokio::test]
async fn a_test_can_be_made_again_after_its_clean_up() {
    let world = World::start().await;
    let (test, kept) = (world.test(), Kept::default());
    world.run(&test, &kept).await.unwrap();
    let cutover = Cutover::new(&world.client, &test, &kept);
    cutover.clean_up(&mut kept.record(&test), &world.cancel).await.unwrap();

    let again = world.run(&test, &kept).await.unwrap();

    assert_eq!(again.made.len(), 5);
}

#[tokio::test]
async fn a_clean_up_deletes_only_what_is_tagged_and_recorded() {
    let world = World::start().await;
    let (test, kept) = (world.test(), Kept::default());
    world.run(&test, &kept).await.unwrap();
    let (untagged, held) = (test.disks()[1].id.clone(), test.nics()[1].id.clone());
    world.fake.change(untagged.as_str(), |disk| disk["tags"] = json!({}));
    let stranger = world.id("Microsoft.Compute/disks", "stranger");
    world.place_foreign(&stranger, &json!({ "libmigrate-cutover": test.cutover().to_string() }));

    let other = json!({ "id": world.id("Microsoft.Compute/virtualMachines", "other") });
    let cutover = Cutover::new(&world.client, &test, &kept);
    world.fake.change(test.machine().as_str(), |machine| {
        machine["properties"]["networkProfile"]["networkInterfaces"].as_array_mut().unwrap().truncate(1);
    });
    world.fake.change(held.as_str(), |nic| nic["properties"]["virtualMachine"] = other);
    let left = cutover.clean_up(&mut kept.record(&test), &world.cancel).await.unwrap();

    let why: Vec<_> = left.iter().map(|Left { id, why }| (id.clone(), *why)).collect();
    let expected =
        [(held.clone(), "another machine has it"), (untagged.clone(), "it does not carry this cutover's tag")];
    assert_eq!(why, expected);
    let mut there = world.in_the_group();
    there.sort();
    let mut wanted = vec![held, untagged, stranger];
    wanted.sort();
    assert_eq!(there, wanted);
}

#[tokio::test]
async fn a_machine_of_that_name_that_is_another_is_neither_cleaned_up_nor_rolled_back() {
    let world = World::start().await;
    for (plan, is_test) in [(world.test(), true), (world.production(), false)] {
        let kept = Kept::default();
        world.run(&plan, &kept).await.unwrap();
        let tags = world.there(plan.machine()).unwrap()["tags"].clone();
        let cutover = Cutover::new(&world.client, &plan, &kept);
        let undo = async |record: &mut Record| {
            if is_test {
                cutover.clean_up(record, &world.cancel).await
            } else {
                cutover.roll_back(record, Leftover::Delete, &world.cancel).await
            }
        };
        let before = world.in_the_group();

        let unrecorded = undo(&mut Record::new(&plan)).await.unwrap_err();
        world.fake.change(plan.machine().as_str(), |machine| machine["tags"] = json!({}));
        let untagged = undo(&mut kept.record(&plan)).await.unwrap_err();

        assert_eq!((unrecorded.code(), untagged.code()), ("cutover.not_ours", "cutover.not_ours"));
        assert_eq!(world.in_the_group(), before);
        world.fake.change(plan.machine().as_str(), |machine| machine["tags"] = tags);
    }
}

#[tokio::test]
async fn a_roll_back_leaves_the_disks_which_no_later_run_takes_for_the_recovery_point() {
    let world = World::start().await;
    let (plan, kept) = (world.production(), Kept::default());
    world.run(&plan, &kept).await.unwrap();
    let cutover = Cutover::new(&world.client, &plan, &kept);

    let left = cutover.roll_back(&mut kept.record(&plan), Leftover::Keep, &world.cancel).await.unwrap();
    let again = world.run(&plan, &kept).await.unwrap_err();

    assert_eq!((left, world.there(plan.machine())), (Vec::new(), None));
    assert_eq!(world.in_the_group().len(), 4);
    let disk = world.there(&plan.disks()[0].id).unwrap();
    assert_eq!((&disk["tags"]["owner"], &disk["properties"]["diskState"]), (&json!("team"), &json!("Unattached")));
    assert_eq!(again.code(), "cutover.disk_used");
}

#[tokio::test]
async fn after_a_roll_back_with_its_disks_the_next_recovery_point_becomes_the_machine() {
    let mut world = World::start().await;
    let kept = Kept::default();
    let plan = world.production();
    world.run(&plan, &kept).await.unwrap();
    let cutover = Cutover::new(&world.client, &plan, &kept);
    // First they are kept, then not.
    cutover.roll_back(&mut kept.record(&plan), Leftover::Keep, &world.cancel).await.unwrap();
    cutover.roll_back(&mut kept.record(&plan), Leftover::Delete, &world.cancel).await.unwrap();
    assert_eq!(world.in_the_group(), []);
    world.seal_again();

    let outcome = world.run(&world.production(), &kept).await.unwrap();

    assert_eq!(outcome.made.len(), 5);
    let point = world.there(&plan.disks()[0].id).unwrap()["tags"]["libmigrate-point"].clone();
    assert!(point.as_str().unwrap().starts_with("3.8-"), "{point}");
}

#[tokio::test]
async fn completion_deletes_what_is_named_and_ends_the_way_back() {
    let world = World::start().await;
    let (plan, kept) = (world.production(), Kept::default());
    world.run(&plan, &kept).await.unwrap();
    let old = world.id("Microsoft.Compute/disks", "of-an-earlier-attempt");
    let bystander = world.id("Microsoft.Compute/disks", "bystander");
    for id in [&old, &bystander] {
        world.place_foreign(id, &Value::Null);
    }
    let cutover = Cutover::new(&world.client, &plan, &kept);
    let complete = async |named: &[ArmId]| cutover.complete(&mut kept.record(&plan), named, &world.cancel).await;

    let its_own = complete(&[old.clone(), plan.disks()[0].id.clone()]).await.unwrap_err();
    let of_no_kind = complete(&[ArmId::new(world.scenery.vault())]).await.unwrap_err();
    assert_eq!((its_own.code(), of_no_kind.code()), ("cutover.not_ours", "cutover.not_ours"));
    assert!(world.there(&old).is_some(), "nothing is deleted where something may not be");

    let completed = complete(std::slice::from_ref(&old)).await.unwrap();
    let rolled_back = cutover.roll_back(&mut kept.record(&plan), Leftover::Keep, &world.cancel).await.unwrap_err();

    assert_eq!(completed.replicas, world.settings.replicas);
    assert_eq!((world.there(&old), world.there(&bystander).is_some()), (None, true));
    assert_eq!(rolled_back.code(), "cutover.not_now");
    assert_eq!(world.in_the_group().len(), 6);
}

#[tokio::test]
async fn what_is_not_whole_is_not_completed_and_each_kind_has_its_own_way_down() {
    let world = World::start().await;
    let (plan, test, kept) = (world.production(), world.test(), Kept::default());
    let (cutover, of_test) = (Cutover::new(&world.client, &plan, &kept), Cutover::new(&world.client, &test, &kept));
    let (mut record, mut of_test_record) = (Record::new(&plan), Record::new(&test));

    let codes = [
        cutover.complete(&mut record, &[], &world.cancel).await.unwrap_err().code(),
        cutover.clean_up(&mut record, &world.cancel).await.unwrap_err().code(),
        of_test.complete(&mut of_test_record, &[], &world.cancel).await.unwrap_err().code(),
        of_test.roll_back(&mut of_test_record, Leftover::Keep, &world.cancel).await.unwrap_err().code(),
    ];

    assert_eq!(codes, ["cutover.not_now"; 4]);
    assert!(!record.is_complete());
}
