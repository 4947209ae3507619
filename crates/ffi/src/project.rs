//! The control plane of one migration.

use std::ffi::c_char;
use std::sync::Arc;

use libmigrate_embed::{CallError, Failure, Job, Project};

use crate::border::{Out, call, free, owned, quietly, text, text_or_empty, wait};
use crate::engine::{EngineObject, engine_of, migrate_engine};
use crate::handle::{self, Handle};
use crate::job::{AnyJob, migrate_job};
use crate::migrate_error;
use crate::migrate_status::{self, MIGRATE_DONE, MIGRATE_OK};
use crate::target::migrate_token;

/// The control plane of one migration: what is wanted, and the service to talk to.
pub struct migrate_project(());

pub(crate) struct ProjectObject {
    project: Project,
    engine: Arc<EngineObject>,
}

impl Handle for migrate_project {
    type Object = ProjectObject;
    const NAME: &'static str = "project";
}

impl ProjectObject {
    fn ask(&self, function: &str, input: &str) -> Result<Job<String>, Failure> {
        match function {
            "preflight" => self.project.preflight(input),
            "plan" => self.project.plan(input),
            "ask" => self.project.ask(input),
            "template" => self.project.template(input),
            "hosts_lines" => self.project.hosts_lines(),
            "apply" => self.project.apply(input),
            "cutover" => self.project.cutover(input),
            _ => Err(CallError::argument("function", "there is none of that name").into()),
        }
    }
}

/// Opens the control plane of a migration: JSON with `settings` (the guide's page on plans describes them) and
/// `connection` (`{"proxy", "ca_file"}`). `token` is who asks. Sends nothing.
///
/// `project` is the caller's, to be freed by migrate_project_free. Errors: call.*, arm.*, settings.*. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_project_open(
    engine: *mut migrate_engine,
    settings: *const c_char,
    token: *const migrate_token,
    project: *mut *mut migrate_project,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, engine) = (Out::pointer(project, "project")?, engine_of(engine)?);
            let token = handle::get(token)?;
            let project = Project::open(&engine.engine, text(settings, "settings")?, &token)?;
            out.keep(ProjectObject { project, engine });
            Ok(MIGRATE_OK)
        })
    }
}

/// Asks the control plane for one thing: JSON in (NULL is none), JSON out.
///
/// `preflight` (`{"network", "name_servers"}`) gives what is wrong, a list of findings. `plan` (`{"goal"}`) gives the
/// plan that leads there, `ask` (`{"verb"}`) the one that asks one thing of each server, `template` (`{"plan"}`) what of
/// a plan a template can make, `hosts_lines` lines of a hosts file. `apply` (`{"plan", "journal", "approvals"}`) does
/// what can be done now, and goes on from its journal when it was killed. `cutover` makes a machine of sealed replicas,
/// without the service (the guide's page on that has its input). Only these two change anything.
///
/// `answer` is the caller's, to be freed by migrate_text_free. Errors: call.*, arm.*, plan.*, cutover.*. Waits; MIGRATE_TIMED_OUT
/// after `timeout_ms` (negative: no limit). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_project_ask(
    project: *mut migrate_project,
    function: *const c_char,
    input: *const c_char,
    timeout_ms: i64,
    answer: *mut *mut c_char,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(answer, "answer")?, handle::get(project)?);
            let job = object.ask(text(function, "function")?, text_or_empty(input, "input")?)?;
            wait(&job, timeout_ms, |answer| out.set(owned(answer)))
        })
    }
}

/// The same as a job, whose result migrate_job_text takes.
///
/// `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_project_ask_start(
    project: *mut migrate_project,
    function: *const c_char,
    input: *const c_char,
    job: *mut *mut migrate_job,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(job, "job")?, handle::get(project)?);
            let job = object.ask(text(function, "function")?, text_or_empty(input, "input")?)?;
            out.keep(AnyJob::Text(job).of(&object.engine));
            Ok(MIGRATE_OK)
        })
    }
}

/// The next thing that `apply` told of, as JSON, oldest first: MIGRATE_OK, or MIGRATE_DONE if there is none now. The
/// newest thousand are kept.
///
/// `told` is the caller's, to be freed by migrate_text_free. Errors: call.argument, call.closed. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_project_next(
    project: *mut migrate_project,
    told: *mut *mut c_char,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let (out, object) = (Out::pointer(told, "told")?, handle::get(project)?);
            let Some(told) = object.project.next_told() else { return Ok(MIGRATE_DONE) };
            out.set(owned(told));
            Ok(MIGRATE_OK)
        })
    }
}

/// Frees a project's handle and sets the variable to NULL. Nothing happens if `project` or what it points to is NULL
/// or freed. Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_project_free(project: *mut *mut migrate_project) {
    // SAFETY: the caller keeps the header's rules.
    quietly(|| drop(unsafe { free(project) }));
}

#[cfg(test)]
mod tests {
    use std::ffi::{CStr, CString, c_int, c_void};
    use std::ptr;

    use libmigrate_test_support::fake_arm::{FakeArm, Scenery};
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        MIGRATE_OK, migrate_engine_free, migrate_engine_open, migrate_error_free, migrate_error_json,
        migrate_text_free, migrate_token_free, migrate_token_open, migrate_token_source,
    };

    unsafe extern "C" fn get_token(
        _: *mut c_void,
        _: *const c_char,
        token: *mut c_char,
        _: usize,
        expires_on: *mut i64,
        _: *mut c_char,
        _: usize,
    ) -> c_int {
        // SAFETY: there is room for a token, and for its end.
        unsafe {
            ptr::copy_nonoverlapping(c"token".as_ptr(), token, 6);
            expires_on.write(i64::from(u32::MAX));
        }
        0
    }

    /// What a call answers, or its error.
    unsafe fn ask(project: *mut migrate_project, function: &CStr, input: &Value) -> Result<Value, Value> {
        let (mut answer, mut error) = (ptr::null_mut(), ptr::null_mut());
        let input = CString::new(input.to_string()).unwrap();
        // SAFETY: texts end with a zero byte, and places are variables.
        unsafe {
            let (function, input) = (function.as_ptr(), input.as_ptr());
            let status = migrate_project_ask(project, function, input, -1, &raw mut answer, &raw mut error);
            if status != MIGRATE_OK {
                let json = CStr::from_ptr(migrate_error_json(error)).to_str().unwrap().to_owned();
                migrate_error_free(&raw mut error);
                return Err(serde_json::from_str(&json).unwrap());
            }
            let text = CStr::from_ptr(answer).to_str().unwrap().to_owned();
            migrate_text_free(&raw mut answer);
            Ok(serde_json::from_str(&text).unwrap())
        }
    }

    #[test]
    fn a_plan_is_made_and_applied_through_the_functions_of_c() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let scenery = Scenery::hyper_v();
        let fake = runtime.block_on(FakeArm::start_with(&scenery));
        let folder = tempfile::tempdir().unwrap();
        let wanted = json!({ "settings": scenery.settings(0), "endpoint": fake.endpoint().as_str(), "poll_ms": 1 });
        let wanted = CString::new(wanted.to_string()).unwrap();
        let (mut engine, mut token, mut project) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        let callbacks = migrate_token_source {
            struct_size: size_of::<migrate_token_source>(),
            user: ptr::null_mut(),
            get: Some(get_token),
            ended: None,
        };
        // SAFETY: texts end with a zero byte, and places are variables.
        unsafe {
            let nowhere = ptr::null_mut();
            assert_eq!(migrate_engine_open(ptr::null(), &raw mut engine, nowhere), MIGRATE_OK);
            assert_eq!(migrate_token_open(&raw const callbacks, &raw mut token, nowhere), MIGRATE_OK);
            let opened = migrate_project_open(engine, wanted.as_ptr(), token, &raw mut project, nowhere);
            assert_eq!(opened, MIGRATE_OK);

            assert_eq!(ask(project, c"wish", &json!({})).unwrap_err()["code"], "call.argument");
            let findings = ask(project, c"preflight", &json!({ "network": false })).unwrap();
            assert!(findings.is_array(), "{findings}");
            let plan = ask(project, c"plan", &json!({ "goal": "prepared" })).unwrap();
            assert!(plan["steps"].as_array().unwrap().len() > 3, "{plan}");
            let approvals = json!({ "kinds": ["grant_role", "approve_endpoint", "change_hub_dns"] });
            let apply = json!({ "plan": plan, "journal": folder.path().join("journal"), "approvals": approvals });
            let done = ask(project, c"apply", &apply).unwrap();
            assert_eq!(done["done"], true, "{done}");
            let mut told = ptr::null_mut();
            assert_eq!(migrate_project_next(project, &raw mut told, nowhere), MIGRATE_OK);
            assert!(CStr::from_ptr(told).to_str().unwrap().starts_with('{'));
            migrate_text_free(&raw mut told);

            migrate_project_free(&raw mut project);
            migrate_token_free(&raw mut token);
            migrate_engine_free(&raw mut engine);
        }
    }
}
