//! Whole cycles through the seam that the bindings use.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use libmigrate_embed::{Engine, Failure, Replica, Source, Target};
use serde_json::{Value, json};

const MIB: usize = 1 << 20;

struct World {
    folder: tempfile::TempDir,
    engine: Engine,
}

impl World {
    fn new(settings: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings;
        settings["state_dir"] = json!(folder.path().join("state"));
        let engine = Engine::open(&settings.to_string()).unwrap();
        Self { folder, engine }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn target(&self) -> Target {
        Target::open(&json!({ "local": self.path("web01.vhd") }).to_string(), None).unwrap()
    }

    fn open(&self, source: &Source) -> Replica {
        self.engine.open_replica(&self.target(), source).unwrap().result().unwrap()
    }

    fn image(&self, bytes: &[u8]) -> Source {
        fs::write(self.path("web01.raw"), bytes).unwrap();
        let settings = json!({ "path": self.path("web01.raw"), "format": "raw" });
        self.engine.open_source(&settings.to_string()).unwrap().result().unwrap()
    }

    fn replica_bytes(&self, len: usize) -> Vec<u8> {
        fs::read(Path::new(&self.path("web01.vhd"))).unwrap()[..len].to_vec()
    }
}

fn read(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

fn sample(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

fn pushed(len: usize) -> Source {
    Source::pushed(&json!({ "size_bytes": len, "point": "snapshot 1" }).to_string()).unwrap()
}

#[test]
fn an_image_is_replicated_verified_and_listed() {
    let world = World::new(json!({}));
    let source = world.image(&sample(3 * MIB));
    let replica = world.open(&source);
    assert_eq!(replica.disk_bytes().unwrap().result().unwrap(), 3 * MIB as u64);
    let point = read(&replica.replicate(&source, "").unwrap().result().unwrap());
    assert_eq!((&point["kind"], &point["counts"]["sent"]), (&json!("initial"), &json!(3 * MIB)));
    let report = read(&replica.verify(Some(&source), r#"{"subject": "live"}"#).unwrap().result().unwrap());
    assert_eq!((&report["equal"], &report["root"]), (&json!(true), &point["root"]));
    assert_eq!(read(&replica.recovery_points().unwrap().result().unwrap()), json!([point]));
    replica.close().unwrap().result().unwrap();
    replica.close().unwrap().result().unwrap();
    assert_eq!(replica.history().unwrap_err().code, "call.closed");
    assert_eq!(world.replica_bytes(3 * MIB), sample(3 * MIB));
}

#[test]
fn a_disk_is_pushed_and_a_wrong_piece_is_refused() {
    let world = World::new(json!({}));
    let (disk, source) = (sample(2 * MIB + 4096), pushed(2 * MIB + 4096));
    let replica = world.open(&source);
    let cycle = replica.begin(&source, r#"{"change_id": "7"}"#).unwrap().result().unwrap();
    let mut refused = None;
    while let Some(wanted) = cycle.next().unwrap().result().unwrap() {
        let (from, to) = (wanted.offset() as usize, wanted.end() as usize);
        let short = disk[from..to - 1].to_vec().into();
        refused = refused.or(cycle.push(wanted.offset(), short).unwrap().result().err());
        cycle.push(wanted.offset(), disk[from..to].to_vec().into()).unwrap().result().unwrap();
    }
    assert_eq!(refused.map(|failure| failure.code), Some("cycle.not_wanted".into()));
    let point = read(&cycle.seal().unwrap().result().unwrap());
    assert_eq!(point["change_id"], "7");
    assert_eq!(cycle.next().unwrap().result().unwrap_err().code, "call.closed");
    assert_eq!(world.replica_bytes(disk.len()), disk);
}

#[test]
fn pushing_without_waiting_gives_the_bytes_back_at_the_memory_limit() {
    let world = World::new(json!({ "memory_limit": 4 * MIB, "bytes_per_second": MIB }));
    let (disk, source) = (sample(8 * MIB), pushed(8 * MIB));
    let replica = world.open(&source);
    let cycle = replica.begin(&source, "").unwrap().result().unwrap();
    let mut given_back = 0;
    while let Some(wanted) = cycle.next().unwrap().result().unwrap() {
        let mut bytes = disk[wanted.offset() as usize..wanted.end() as usize].to_vec().into();
        while let Some(again) = cycle.try_push(wanted.offset(), bytes).unwrap() {
            given_back += 1;
            world.engine.set_bytes_per_second(None).unwrap();
            bytes = again;
            cycle.room().unwrap().result().unwrap();
        }
    }
    cycle.seal().unwrap().result().unwrap();
    assert!(given_back > 0);
    assert_eq!(world.replica_bytes(disk.len()), disk);
}

#[test]
fn a_disk_that_the_other_language_reads_is_replicated() {
    let world = World::new(json!({}));
    let disk = sample(5 * MIB);
    let settings = json!({ "size_bytes": disk.len(), "point": "1", "zero": [{ "offset": 0, "len": MIB }] });
    let (source, server) = Source::served(&settings.to_string()).unwrap();
    let replica = world.open(&source);
    let bytes = disk.clone();
    let serving = std::thread::spawn(move || {
        let mut reads = 0;
        while let Ok(Some(request)) = server.next(None) {
            let (from, to) = (request.extent().offset() as usize, request.extent().end() as usize);
            request.answer(bytes[from..to].to_vec());
            reads += 1;
        }
        reads
    });
    let point = read(&replica.replicate(&source, "").unwrap().result().unwrap());
    assert_eq!(point["counts"]["hole"], json!(MIB));
    drop((source, replica));
    assert!(serving.join().unwrap() >= 4);
    assert_eq!(world.replica_bytes(disk.len())[MIB..], disk[MIB..]);
}

#[test]
fn a_cancelled_job_ends_within_a_second_and_the_next_run_goes_on() {
    let world = World::new(json!({ "bytes_per_second": MIB }));
    let source = world.image(&sample(20 * MIB));
    let replica = world.open(&source);
    let job = replica.replicate(&source, "").unwrap();
    assert!(job.wait(Some(Duration::from_millis(300))).unwrap().is_none());
    let asked = Instant::now();
    job.cancel();
    assert_eq!(job.result().unwrap_err().code, "cycle.cancelled");
    assert!(asked.elapsed() < Duration::from_secs(1));
    world.engine.set_bytes_per_second(None).unwrap();
    let point = read(&replica.replicate(&source, "").unwrap().result().unwrap());
    assert_eq!((&point["cycle"], &point["kind"]), (&json!(1), &json!("initial")));
}

#[test]
fn a_cycle_that_is_dropped_stops_and_another_can_begin() {
    let world = World::new(json!({}));
    let source = pushed(2 * MIB);
    let replica = world.open(&source);
    drop(replica.begin(&source, "").unwrap().result().unwrap());
    let cycle = replica.begin(&source, "").unwrap().result().unwrap();
    cycle.stop();
    for _ in 0..3 {
        assert_eq!(cycle.next().and_then(|job| job.result()).unwrap_err().code, "cycle.cancelled");
        assert_eq!(cycle.try_push(0, bytes::Bytes::new()).unwrap_err().code, "cycle.cancelled");
    }
    // Another can begin although somebody still holds this one.
    replica.begin(&source, "").unwrap().result().unwrap().stop();
    drop(cycle);
    replica.close().unwrap().result().unwrap();
}

#[test]
fn events_are_read_from_any_number_on_and_end_with_the_engine() {
    let world = World::new(json!({}));
    let source = world.image(&sample(MIB));
    let events = world.engine.events(0).unwrap();
    assert_eq!(events.next(Some(Duration::from_millis(20))), Ok(None));
    let replica = world.open(&source);
    replica.replicate(&source, "").unwrap().result().unwrap();
    let seen: Vec<Value> = std::iter::from_fn(|| events.try_next()).map(|event| read(&event)).collect();
    let types: Vec<&str> = seen.iter().filter_map(|event| event["type"].as_str()).collect();
    assert!(types.starts_with(&["opened", "cycle_started"]) && types.ends_with(&["sealed"]), "{types:?}");
    let later = world.engine.events(seen[0]["seq"].as_u64().unwrap()).unwrap();
    assert_eq!(read(&later.try_next().unwrap()), seen[1]);

    let closing = {
        let engine = world.engine.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            engine.close(Duration::from_secs(5))
        })
    };
    assert_eq!(events.next(None).unwrap_err().code, "call.closed");
    closing.join().unwrap().unwrap();
}

#[test]
fn a_closed_engine_refuses_everything_and_ends_what_was_under_way() {
    let world = World::new(json!({ "bytes_per_second": MIB }));
    let source = world.image(&sample(20 * MIB));
    let replica = world.open(&source);
    let job = replica.replicate(&source, "").unwrap();
    world.engine.close(Duration::from_secs(5)).unwrap();
    world.engine.close(Duration::from_secs(5)).unwrap();
    let ended = job.result().unwrap_err().code;
    assert!(["cycle.cancelled", "call.closed"].contains(&ended.as_str()), "{ended}");
    let code = |failure: Failure| failure.code;
    assert_eq!(replica.verify(None, "").map_err(code).unwrap_err(), "call.closed");
    assert_eq!(world.engine.events(0).map_err(code).unwrap_err(), "call.closed");
    assert_eq!(world.engine.set_bytes_per_second(None).map_err(code), Err("call.closed".into()));
}

#[test]
fn the_network_is_checked_in_json() {
    let world = World::new(json!({}));
    let settings = json!({ "targets": [{ "host": "not a name" }], "time_limit_seconds": 5 });
    let report = read(&world.engine.preflight_network(&settings.to_string()).unwrap().result().unwrap());
    assert_eq!(report["targets"][0]["findings"][0]["code"], "name.invalid");
}
