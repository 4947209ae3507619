//! The control plane through the seam that the bindings use, against the fake of Azure Resource Manager.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libmigrate::secret::Secret;
use libmigrate_embed::{Engine, Job, Project, Token};
use libmigrate_test_support::fake_arm::{FakeArm, Scenery};
use serde_json::{Value, json};

struct World {
    fake: FakeArm,
    engine: Engine,
    project: Project,
    folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let scenery = Scenery::hyper_v();
        let fake = runtime.block_on(FakeArm::start_with(&scenery));
        let engine = Engine::open("{}").unwrap();
        let (token, server) = Token::served();
        std::thread::spawn(move || {
            while let Ok(Some(request)) = server.next(None) {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                request
                    .answer((Secret::new("token".into()), (now + Duration::from_secs(3600)).as_secs().cast_signed()));
            }
        });
        let project = json!({ "settings": scenery.settings(0), "endpoint": fake.endpoint().as_str(), "poll_ms": 1 });
        let project = Project::open(&engine, &project.to_string(), &token).unwrap();
        Self { fake, engine, project, folder: tempfile::tempdir().unwrap(), _runtime: runtime }
    }

    fn apply(&self, plan: &Value, approvals: &Value) -> Value {
        let journal = self.folder.path().join("journal");
        let settings = json!({ "plan": plan, "journal": journal, "approvals": approvals });
        read(&self.project.apply(&settings.to_string()).unwrap())
    }
}

fn read(job: &Job<String>) -> Value {
    serde_json::from_str(&job.result().unwrap()).unwrap()
}

#[test]
fn a_plan_is_made_shown_and_applied_until_nothing_is_left_to_do() {
    let world = World::new();
    let findings = read(&world.project.preflight(r#"{"network": false}"#).unwrap());
    assert!(findings.as_array().unwrap().iter().all(|finding| finding["code"].is_string()), "{findings}");

    let aim = r#"{"goal": "prepared"}"#;
    let plan = read(&world.project.plan(aim).unwrap());
    assert!(plan["steps"].as_array().unwrap().len() > 3, "{plan}");
    let template = read(&world.project.template(&json!({ "plan": plan }).to_string()).unwrap());
    assert!(template["resources"].is_array(), "{template}");

    let waits = world.apply(&plan, &json!({}));
    assert_eq!((&waits["done"], &waits["waits"][0]["wait"]), (&json!(false), &json!("approval")), "{waits}");
    let done = world.apply(&plan, &json!({ "kinds": ["grant_role", "approve_endpoint", "change_hub_dns"] }));
    assert_eq!(done["done"], true, "{done}");
    let told: Vec<Value> =
        std::iter::from_fn(|| world.project.next_told()).map(|told| serde_json::from_str(&told).unwrap()).collect();
    assert!(told.iter().any(|told| told["event"] == "done"), "{told:?}");

    let again = read(&world.project.plan(aim).unwrap());
    assert_eq!(again["steps"], json!([]));
    assert!(read(&world.project.hosts_lines().unwrap()).as_str().unwrap().contains("privatelink"));
}

#[test]
fn settings_that_are_no_migration_are_refused_before_anything_is_sent() {
    let world = World::new();
    let (token, _server) = Token::served();
    let before = world.fake.requests().len();
    let refused = |settings: &str| Project::open(&world.engine, settings, &token).unwrap_err();
    assert!(refused(r#"{"settings": {"scenario": "xen"}}"#).message.starts_with("project.settings"));
    assert_eq!(world.project.plan(r#"{"goal": "perfect"}"#).unwrap_err().code, "call.argument");
    let elsewhere = json!({ "settings": Scenery::hyper_v().settings(0), "endpoint": "https://example.com" });
    assert_eq!(refused(&elsewhere.to_string()).code, "arm.bad_request");
    assert_eq!(world.fake.requests().len(), before);
}
