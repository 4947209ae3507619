//! A process that is killed at any request, before the service sees it or after it has acted, and the next process.

use std::pin::Pin;

use libmigrate::control::cutover::{Cutover, Leftover, MachinePlan};
use libmigrate_test_support::fake_arm::LastRequest;

use super::world::{Kept, World, client};

/// When a process dies.
#[derive(Clone, Copy, Debug)]
struct Death {
    after: u32,
    last: LastRequest,
    /// Whether the service is done with what it was asked before the next process comes.
    settles: bool,
}

impl Death {
    fn ways(after: u32) -> impl Iterator<Item = Self> {
        [(LastRequest::Unseen, false), (LastRequest::Unanswered, false), (LastRequest::Unanswered, true)]
            .map(|(last, settles)| Self { after, last, settles })
            .into_iter()
    }

    /// Lets `work` run until it dies of this; whether it came to that.
    async fn meets(self, world: &World, work: Pin<Box<dyn Future<Output = ()> + '_>>) -> bool {
        world.fake.faults().cut_off(self.after, self.last);
        let died = tokio::select! {
            biased;
            () = world.fake.faults().was_cut_off() => true,
            () = work => false,
        };
        world.fake.faults().clear();
        if self.settles {
            world.fake.settle();
        }
        died
    }
}

async fn run_until(world: &World, death: Death, plan: &MachinePlan, kept: &Kept) -> bool {
    let run = Box::pin(async {
        world.run(plan, kept).await.unwrap();
    });
    death.meets(world, run).await
}

#[tokio::test]
async fn a_run_that_is_killed_at_any_request_goes_on_and_makes_nothing_twice() {
    for after in 0.. {
        let mut died = false;
        for death in Death::ways(after) {
            let mut world = World::start().await;
            let (plan, kept) = (world.production(), Kept::default());
            died |= run_until(&world, death, &plan, &kept).await;
            world.client = client(&world.fake);

            world.run(&plan, &kept).await.unwrap_or_else(|error| panic!("{death:?}: {error}"));

            for id in World::ids(&plan) {
                assert_eq!(world.asked("PUT", &id), 1, "{death:?}: {id}");
                assert_eq!(
                    world.there(&id).unwrap()["properties"]["provisioningState"],
                    "Succeeded",
                    "{death:?}: {id}"
                );
            }
            assert_eq!(world.in_the_group().len(), 5, "{death:?}");
        }
        if !died {
            assert!(after > 15, "only {after} requests");
            return;
        }
    }
}

#[tokio::test]
async fn a_run_that_is_killed_at_any_request_can_be_rolled_back_without_a_trace() {
    for after in 0.. {
        let mut died = false;
        for death in Death::ways(after) {
            let mut world = World::start().await;
            let (plan, kept) = (world.production(), Kept::default());
            died |= run_until(&world, death, &plan, &kept).await;
            world.client = client(&world.fake);

            let cutover = Cutover::new(&world.client, &plan, &kept);
            let left = cutover.roll_back(&mut kept.record(&plan), Leftover::Delete, &world.cancel).await;

            assert_eq!(left.unwrap_or_else(|error| panic!("{death:?}: {error}")), [], "{death:?}");
            assert_eq!(world.in_the_group(), [], "{death:?}");
        }
        if !died {
            return;
        }
    }
}

#[tokio::test]
async fn a_roll_back_that_is_killed_at_any_request_goes_on() {
    for after in 0.. {
        let mut died = false;
        for death in Death::ways(after) {
            let mut world = World::start().await;
            let (plan, kept) = (world.production(), Kept::default());
            world.run(&plan, &kept).await.unwrap();
            let cutover = Cutover::new(&world.client, &plan, &kept);
            let work = Box::pin(async {
                cutover.roll_back(&mut kept.record(&plan), Leftover::Delete, &world.cancel).await.unwrap();
            });
            died |= death.meets(&world, work).await;
            world.client = client(&world.fake);

            // A disk that the machine wrote to is never taken for its recovery point, wherever the roll back was.
            let early = world.run(&plan, &kept).await;
            let used: Vec<_> = plan.disks().iter().filter(|disk| world.asked("DELETE", &disk.id) == 0).collect();
            assert!(early.is_err() || used.is_empty() || world.asked("DELETE", plan.machine()) == 0, "{death:?}");
            let cutover = Cutover::new(&world.client, &plan, &kept);
            let left = cutover.roll_back(&mut kept.record(&plan), Leftover::Delete, &world.cancel).await;

            assert_eq!(left.unwrap_or_else(|error| panic!("{death:?}: {error}")), [], "{death:?}");
            assert_eq!(world.in_the_group(), [], "{death:?}");
        }
        if !died {
            assert!(after > 15, "only {after} requests");
            return;
        }
    }
}
