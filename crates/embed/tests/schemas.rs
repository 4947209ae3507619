//! What the other languages are given is what the published schemas say.

use std::collections::BTreeSet;
use std::fs;

use libmigrate_embed::{Engine, Source, Target};
use serde_json::{Value, json};

fn validator(schema: &str) -> jsonschema::Validator {
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema_of(schema)).unwrap()
}

fn schema_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

const EVENTS: &str = include_str!("../../../docs/event.schema.json");
const ERRORS: &str = include_str!("../../../docs/error.schema.json");

#[test]
fn events_of_whole_runs_are_as_the_schema_says() {
    let (folder, schema) = (tempfile::tempdir().unwrap(), validator(EVENTS));
    let at = |name: &str| folder.path().join(name);
    let engine = Engine::open(&json!({ "state_dir": at("state"), "bytes_per_second": 2 << 20 }).to_string()).unwrap();
    let events = engine.events(0).unwrap();
    fs::write(at("disk.raw"), vec![7; 4 << 20]).unwrap();
    let source = engine.open_source(&json!({ "path": at("disk.raw") }).to_string()).unwrap().result().unwrap();
    let target = Target::open(&json!({ "local": at("disk.vhd") }).to_string(), None).unwrap();
    let replica = engine.open_replica(&target, &source).unwrap().result().unwrap();
    replica.replicate(&source, "").unwrap().result().unwrap();
    let wrong = json!({ "changes": { "base": "0", "end": "1" } }).to_string();
    replica.replicate(&source, &wrong).unwrap().result().unwrap();
    replica.replicate(&source, r#"{"kind": "resync"}"#).unwrap().result().unwrap();
    replica.verify(None, "").unwrap().result().unwrap();
    replica.prune(r#"{"newest": 1}"#).unwrap().result().unwrap();
    let pushed = Source::pushed(&json!({ "size_bytes": 4 << 20, "point": "1" }).to_string()).unwrap();
    replica.begin(&pushed, "").unwrap().result().unwrap().stop();

    let seen = std::iter::from_fn(|| events.try_next());
    let seen: Vec<Value> = seen.map(|event| serde_json::from_str(&event).unwrap()).collect();
    for event in &seen {
        assert!(schema.is_valid(event), "{event}: {:?}", schema.validate(event).err().map(|e| e.to_string()));
    }
    let types: BTreeSet<&str> = seen.iter().filter_map(|event| event["type"].as_str()).collect();
    for expected in ["opened", "cycle_started", "progress", "sealed", "change_list_ignored", "map_rebuilt", "verified"]
    {
        assert!(types.contains(expected), "{expected} is missing in {types:?}");
    }
}

#[test]
fn the_schema_of_events_has_each_type_that_there_is_and_no_other() {
    let source = include_str!("../../core/src/progress.rs");
    let (_, rest) = source.split_once("pub enum EventKind {").unwrap();
    let (variants, _) = rest.split_once("\n}\n").unwrap();
    let is_variant =
        |line: &&str| line.starts_with("    ") && line.as_bytes().get(4).is_some_and(u8::is_ascii_uppercase);
    let snake = |line: &str| {
        let name = line.trim().trim_end_matches([',', '{', ' ']);
        let lower = |at: usize, letter: char| match letter {
            'A'..='Z' if at > 0 => format!("_{}", letter.to_ascii_lowercase()),
            _ => letter.to_ascii_lowercase().to_string(),
        };
        name.chars().enumerate().map(|(at, letter)| lower(at, letter)).collect::<String>()
    };
    let there: BTreeSet<String> = variants.lines().filter(is_variant).map(snake).collect();
    let schema = schema_of(EVENTS);
    let described: BTreeSet<String> = schema["oneOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["properties"]["type"]["const"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(described, there);
}

#[test]
fn errors_are_as_the_schema_says() {
    let schema = validator(ERRORS);
    let engine = Engine::open("").unwrap();
    let failures = [
        Engine::open(r#"{"memory_limit": 1}"#).unwrap_err(),
        Engine::open("[]").unwrap_err(),
        engine.open_source(r#"{"path": "no-such/disk.raw"}"#).unwrap().result().unwrap_err(),
        Target::open(r#"{"url": "ftp://a"}"#, None).unwrap_err(),
    ];
    for failure in failures {
        let json = serde_json::from_str(&failure.to_json()).unwrap();
        assert!(schema.is_valid(&json), "{json}: {:?}", schema.validate(&json).err().map(|e| e.to_string()));
    }
}
