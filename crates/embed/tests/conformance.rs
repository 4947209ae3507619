//! The conformance suite of `tests/conformance`, played through the seam that every binding sits on.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libmigrate_embed::{Engine, Events, Failure, Job, Project, Replica, Secret, Source, Target, Token, control};
use libmigrate_test_support::fake_arm::{FakeArm, Scenery};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    disk: Disk,
    service: Option<Service>,
    #[serde(default)]
    engine: Map<String, Value>,
    steps: Vec<Step>,
    events: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Disk {
    size: u64,
    fill: Vec<Fill>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    scenario: String,
    servers: u32,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fill {
    offset: u64,
    len: u64,
    seed: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // as the suite has them
struct Step {
    r#do: String,
    #[serde(default)]
    settings: Map<String, Value>,
    expect: Option<Value>,
    error: Option<Value>,
    offset: Option<u64>,
    len: Option<u64>,
    seed: Option<u64>,
    size: Option<u64>,
    cycle: Option<u32>,
    #[serde(default)]
    cut: usize,
    #[serde(default)]
    stop: bool,
    #[serde(default)]
    moving: bool,
    #[serde(default)]
    source: bool,
    #[serde(default)]
    finish: bool,
    what: Option<Value>,
    function: Option<String>,
    input: Option<Value>,
}

impl Step {
    fn fill(&self) -> Fill {
        Fill { offset: self.offset.unwrap(), len: self.len.unwrap(), seed: self.seed.unwrap() }
    }

    fn settings(&self) -> String {
        Value::Object(self.settings.clone()).to_string()
    }
}

fn fill(bytes: &mut [u8], fill: Fill) {
    let Fill { offset, len, seed } = fill;
    for (at, byte) in (offset..).zip(&mut bytes[offset as usize..(offset + len) as usize]) {
        *byte = if seed == 0 { 0 } else { ((at + 37 * seed) % 251) as u8 };
    }
}

/// One case under way.
struct World {
    folder: tempfile::TempDir,
    case_engine: Map<String, Value>,
    disk: Vec<u8>,
    changes: u32,
    engine: Engine,
    events: Events,
    seen: Vec<String>,
    replica: Option<Replica>,
    control: Option<ControlPlane>,
}

/// What every run has too many or too few of.
const UNCOUNTED: [&str; 4] = ["progress", "retrying", "requests_in_flight", "verified"];

fn engine(folder: &Path, settings: &Map<String, Value>) -> Result<Engine, Failure> {
    let mut settings = settings.clone();
    settings.insert("state_dir".into(), json!(folder.join("state")));
    Engine::open(&Value::Object(settings).to_string())
}

impl World {
    fn new(case: &Case) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = vec![0; case.disk.size as usize];
        case.disk.fill.iter().for_each(|part| fill(&mut disk, *part));
        let engine = engine(folder.path(), &case.engine).unwrap();
        let events = engine.events(0).unwrap();
        let world = Self {
            folder,
            case_engine: case.engine.clone(),
            disk,
            changes: 0,
            engine,
            events,
            seen: Vec::new(),
            replica: None,
            control: case.service.as_ref().map(ControlPlane::new),
        };
        world.write_disk();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_disk(&self) {
        fs::write(self.path("disk.raw"), &self.disk).unwrap();
    }

    fn image(&self) -> Result<Source, Failure> {
        let settings = json!({ "path": self.path("disk.raw"), "format": "raw" });
        self.engine.open_source(&settings.to_string())?.result()
    }

    fn disk_settings(&self, moving: bool) -> String {
        let point = (!moving).then(|| format!("w{}", self.changes));
        json!({ "size_bytes": self.disk.len(), "point": point }).to_string()
    }

    fn replica(&mut self, source: &Source) -> Result<Replica, Failure> {
        if self.replica.is_none() {
            let target = Target::open(&json!({ "local": self.path("replica.vhd") }).to_string(), None)?;
            self.replica = Some(self.engine.open_replica(&target, source)?.result()?);
        }
        Ok(self.replica.clone().unwrap())
    }

    fn close_replica(&mut self) -> Result<(), Failure> {
        self.replica.take().map_or(Ok(()), |replica| replica.close()?.result())
    }

    fn take_events(&mut self) {
        let taken = std::iter::from_fn(|| self.events.try_next());
        let types =
            taken.map(|event| serde_json::from_str::<Value>(&event).unwrap()["type"].as_str().unwrap().to_owned());
        self.seen.extend(types.filter(|kind| !UNCOUNTED.contains(&kind.as_str())));
    }

    fn push(&mut self, step: &Step) -> Result<Value, Failure> {
        let source = Source::pushed(&self.disk_settings(step.moving))?;
        let cycle = self.replica(&source)?.begin(&source, &step.settings())?.result()?;
        let mut cut = step.cut;
        while let Some(wanted) = cycle.next()?.result()? {
            let (from, to) = (wanted.offset() as usize, wanted.end() as usize);
            if step.stop {
                cycle.stop();
            }
            cycle.push(wanted.offset(), self.disk[from..to - std::mem::take(&mut cut)].to_vec().into())?.result()?;
        }
        read(&cycle.seal()?)
    }

    fn serve(&mut self, step: &Step) -> Result<Value, Failure> {
        let (source, server) = Source::served(&self.disk_settings(step.moving))?;
        let disk = self.disk.clone();
        let serving = std::thread::spawn(move || {
            while let Ok(Some(request)) = server.next(None) {
                let (from, to) = (request.extent().offset() as usize, request.extent().end() as usize);
                request.answer(disk[from..to].to_vec());
            }
        });
        let point = read(&self.replica(&source)?.replicate(&source, &step.settings())?);
        drop(source);
        serving.join().unwrap();
        point
    }

    fn play(&mut self, step: &Step) -> Result<Value, Failure> {
        let of_image = |world: &mut Self| {
            let source = world.image()?;
            world.replica(&source).map(|replica| (replica, source))
        };
        match step.r#do.as_str() {
            "write" => {
                fill(&mut self.disk, step.fill());
                self.changes += 1;
                self.write_disk();
            }
            "resize" => {
                self.disk.resize(step.size.unwrap() as usize, 0);
                self.changes += 1;
                self.write_disk();
            }
            "replicate" => {
                let (replica, source) = of_image(self)?;
                return read(&replica.replicate(&source, &step.settings())?);
            }
            "push" => return self.push(step),
            "serve" => return self.serve(step),
            "verify" => {
                let (replica, source) = of_image(self)?;
                return read(&replica.verify(step.source.then_some(&source), &step.settings())?);
            }
            "recovery_points" => return read(&of_image(self)?.0.recovery_points()?),
            "history" => return read(&of_image(self)?.0.history()?),
            "prune" => return read(&of_image(self)?.0.prune(&step.settings())?),
            "roll_back" => return read(&of_image(self)?.0.roll_back(step.cycle.unwrap())?),
            "garbage" => return read(&of_image(self)?.0.garbage()?),
            "collect_garbage" => return read(&of_image(self)?.0.collect_garbage()?),
            "damage" => {
                let mut bytes = fs::read(self.path("replica.vhd")).unwrap();
                fill(&mut bytes, step.fill());
                fs::write(self.path("replica.vhd"), bytes).unwrap();
            }
            "equal" => {
                let bytes = fs::read(self.path("replica.vhd")).unwrap();
                assert!(bytes[..self.disk.len()] == self.disk, "the replica differs from the disk");
            }
            "reopen" => self.close_replica()?,
            "new_engine" => {
                self.close_replica()?;
                self.take_events();
                self.engine.close(Duration::from_secs(5))?;
                self.engine = engine(self.folder.path(), &self.case_engine)?;
                self.events = self.engine.events(0)?;
            }
            "open_engine" => Engine::open(&step.settings())?.close(Duration::from_secs(5))?,
            "open_source" => drop(self.engine.open_source(&step.settings())?.result()?),
            "open_target" => drop(Target::open(&step.settings(), None)?),
            "close_engine" => self.engine.close(Duration::from_secs(5))?,
            "preflight_network" => return read(&self.engine.preflight_network(&step.settings())?),
            "control" => {
                let input = step.input.clone().unwrap_or_default().to_string();
                return Ok(serde_json::from_str(&control(step.function.as_deref().unwrap(), &input)?).unwrap());
            }
            other => match &mut self.control {
                Some(control) => return control.play(step, &self.engine, self.folder.path()),
                None => panic!("this runner does not know the step {other}"),
            },
        }
        Ok(Value::Null)
    }
}

/// The service of a case, its project, and the plan that was made last.
struct ControlPlane {
    fake: FakeArm,
    settings: Value,
    project: Option<Project>,
    plan: Value,
    plans: u32,
    _runtime: tokio::runtime::Runtime,
}

impl ControlPlane {
    fn new(service: &Service) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let scenery = Scenery::of(&service.scenario).unwrap().with_machines(service.servers);
        let fake = runtime.block_on(async {
            let fake = FakeArm::start_with(&scenery).await;
            fake.let_time_pass(Duration::from_millis(5));
            fake
        });
        let settings = scenery.settings(service.servers);
        Self { fake, settings, project: None, plan: Value::Null, plans: 0, _runtime: runtime }
    }

    fn play(&mut self, step: &Step, engine: &Engine, folder: &Path) -> Result<Value, Failure> {
        if step.r#do == "project" {
            let settings =
                json!({ "settings": self.settings, "endpoint": self.fake.endpoint().as_str(), "poll_ms": 1 });
            self.project = Some(Project::open(engine, &settings.to_string(), &any_token())?);
            return Ok(Value::Null);
        }
        let project = self.project.as_ref().expect("the project is opened first");
        match step.r#do.as_str() {
            "project_preflight" => read(&project.preflight(&step.settings())?),
            "plan" | "ask" => {
                let made =
                    if step.r#do == "plan" { project.plan(&step.settings()) } else { project.ask(&step.settings()) };
                self.plan = read(&made?)?;
                self.plans += 1;
                Ok(self.plan.clone())
            }
            "template" => read(&project.template(&json!({ "plan": self.plan }).to_string())?),
            "hosts_lines" => read(&project.hosts_lines()?),
            "apply" => {
                let mut settings = step.settings.clone();
                settings.insert("plan".into(), self.plan.clone());
                settings.insert("journal".into(), json!(folder.join(format!("journal-{}", self.plans))));
                let settings = Value::Object(settings).to_string();
                let began = Instant::now();
                loop {
                    let outcome = read(&project.apply(&settings)?)?;
                    if !step.finish || outcome["done"] == true || began.elapsed() > Duration::from_secs(30) {
                        return Ok(outcome);
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            "cutover" => {
                let mut settings = step.settings.clone();
                settings.insert("do".into(), step.what.clone().unwrap());
                settings.insert(
                    "record".into(),
                    json!(folder.join(format!("record-{}", step.settings["purpose"].as_str().unwrap()))),
                );
                read(&project.cutover(&Value::Object(settings).to_string())?)
            }
            "told" => {
                let told = std::iter::from_fn(|| project.next_told());
                let events = told
                    .map(|told| serde_json::from_str::<Value>(&told).unwrap()["event"].as_str().unwrap().to_owned());
                Ok(json!(events.filter(|event| !UNCOUNTED.contains(&event.as_str())).collect::<BTreeSet<_>>()))
            }
            unknown => panic!("this runner does not know the step {unknown}"),
        }
    }
}

/// A credential that gives a token to whoever asks.
fn any_token() -> Token {
    let (token, server) = Token::served();
    std::thread::spawn(move || {
        while let Ok(Some(request)) = server.next(None) {
            request.answer((Secret::new("token".into()), i64::from(u32::MAX)));
        }
    });
    token
}

fn read(job: &Job<String>) -> Result<Value, Failure> {
    Ok(serde_json::from_str(&job.result()?).unwrap())
}

/// Where `found` does not hold what is expected, in words.
fn difference(expected: &Value, found: &Value) -> Option<String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => expected.iter().find_map(|(name, value)| {
            difference(value, found.get(name).unwrap_or(&Value::Null)).map(|words| format!("{name}: {words}"))
        }),
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            expected.iter().zip(found).find_map(|(expected, found)| difference(expected, found))
        }
        _ if expected == found => None,
        _ => Some(format!("expected {expected}, found {found}")),
    }
}

fn play(file: &Path) {
    let case: Case = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let mut world = World::new(&case);
    for (at, step) in case.steps.iter().enumerate() {
        let place = format!("{} ({}), step {at}, {}", file.display(), case.name, step.r#do);
        let problem = match (world.play(step), &step.error) {
            (Ok(found), None) => step.expect.as_ref().and_then(|expected| difference(expected, &found)),
            (Err(failure), Some(expected)) => difference(expected, &serde_json::to_value(&failure).unwrap()),
            (Ok(found), Some(_)) => Some(format!("it did not fail, but gave {found}")),
            (Err(failure), None) => Some(failure.to_json()),
        };
        assert_eq!(problem, None, "{place}");
    }
    world.take_events();
    if let Some(events) = case.events {
        assert_eq!(world.seen, events, "{}", file.display());
    }
}

#[test]
fn every_case_of_the_conformance_suite_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases.iter().for_each(|case| play(case));
}
