//! Each rule is broken by itself; what is as it should be breaks none; the article's demands are all here.

mod article;
mod breaks;

use std::collections::BTreeSet;

use jiff::Timestamp;

use self::breaks::{BREAKS, Break};
use super::{all, check};
use crate::control::Scenario;
use crate::control::limits::Limits;
use crate::control::model::{ChangeTracking, DiskType, MachineDisk};
use crate::control::observed::Observed;
use crate::control::sample;
use crate::control::settings::{DiskSettings, MigrationSettings};
use crate::finding::Severity;

fn now() -> Timestamp {
    "2026-11-25T08:00:00Z".parse().unwrap()
}

fn codes(wanted: &MigrationSettings, seen: &Observed) -> BTreeSet<&'static str> {
    check(wanted, seen, Limits::published(), now()).iter().map(crate::finding::Finding::code).collect()
}

#[test]
fn what_is_as_it_should_be_breaks_no_rule() {
    for &scenario in Scenario::ALL {
        let findings = check(&sample::settings(scenario), &sample::observed(scenario), Limits::published(), now());
        assert!(findings.is_empty(), "{scenario}: {findings:#?}");
    }
}

#[test]
fn each_rule_is_broken_by_what_it_forbids_and_no_other_is() {
    let mut wrong = Vec::new();
    for rule in all() {
        let code = rule.check().code;
        let breaks: Vec<&Break> = BREAKS.iter().filter(|one| one.code == code).collect();
        assert!(!breaks.is_empty(), "nothing breaks {code}");
        for one in breaks {
            let scenarios: Vec<Scenario> =
                rule.scenarios().iter().copied().filter(|scenario| one.scenarios.contains(scenario)).collect();
            assert!(!scenarios.is_empty(), "{code} is broken for none of its kinds of migration");
            for scenario in scenarios {
                let (mut wanted, mut seen) = (sample::settings(scenario), sample::observed(scenario));
                (one.how)(&mut wanted, &mut seen);
                let found = codes(&wanted, &seen);
                if found != BTreeSet::from([code]) {
                    wrong.push((code, scenario, found));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_rule_is_broken_for_every_kind_of_migration_that_it_holds_for() {
    for rule in all() {
        let code = rule.check().code;
        for scenario in rule.scenarios() {
            let is_broken = BREAKS.iter().any(|one| one.code == code && one.scenarios.contains(scenario));
            assert!(is_broken, "{code} is not broken for {scenario}");
        }
    }
}

#[test]
fn nothing_is_broken_that_is_no_rule() {
    for one in BREAKS {
        assert!(all().any(|rule| rule.check().code == one.code), "{}", one.code);
    }
}

#[test]
fn codes_are_unique_and_whatever_is_wrong_has_a_remedy() {
    let codes: BTreeSet<_> = all().map(|rule| rule.check().code).collect();
    assert_eq!(codes.len(), all().count());
    for rule in all() {
        let check = rule.check();
        assert!(check.severity == Severity::Info || check.remedy.len() > 15, "{}", check.code);
        assert!(rule.demands().ends_with('.') && !check.remedy.ends_with('.'), "{}", check.code);
    }
}

#[test]
fn the_same_settings_and_observation_give_the_same_findings() {
    for one in BREAKS {
        for &scenario in one.scenarios {
            let (mut wanted, mut seen) = (sample::settings(scenario), sample::observed(scenario));
            (one.how)(&mut wanted, &mut seen);
            let look = || check(&wanted, &seen, Limits::published(), now());
            assert_eq!(look(), look());
        }
    }
}

#[test]
fn a_machine_that_replicates_has_snapshots_of_its_replication_and_one_alone_may_fill_a_datastore() {
    let scenario = Scenario::VmwareAgentless;
    let (mut wanted, mut seen) = (sample::settings(scenario), sample::observed(scenario));
    seen.machines[0].snapshots = Some(1);
    seen.machines[0].change_tracking = Some(ChangeTracking::Off);
    seen.items.push(sample::item(scenario, "web01", "Replicating", None));
    seen.machines[1].snapshots = Some(1);
    seen.machines[1].change_tracking = Some(ChangeTracking::On);
    assert_eq!(codes(&wanted, &seen), BTreeSet::new());

    wanted.servers.truncate(1);
    wanted.servers[0].size = None;
    for number in 0..16 {
        let id = format!("more-{number}");
        let file = Some(format!("[store] web01/{id}.vmdk"));
        let disk = MachineDisk { id: id.clone(), file, ..seen.machines[0].disks[1].clone() };
        seen.machines[0].disks.push(disk);
        wanted.servers[0].disks.push(DiskSettings::new(id, DiskType::StandardLrs));
    }
    assert_eq!(codes(&wanted, &seen), BTreeSet::new());
}
