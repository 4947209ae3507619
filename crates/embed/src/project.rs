//! The control plane of one migration: settings, the service that they are for, and what leads from the one to the
//! other.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use libmigrate::CancellationToken;
use libmigrate::RetryPolicy;
use libmigrate::control::Observed;
use libmigrate::control::arm::{ArmClient, ArmOptions, PollPolicy};
use libmigrate::control::lifecycle::Verb;
use libmigrate::control::limits::Limits;
use libmigrate::control::plan::{self, Aim, ApplyEvent, ApplyOptions, Approvals, Plan};
use libmigrate::control::settings::MigrationSettings;
use libmigrate::preflight::NetworkOptions;
use libmigrate::private_link::Resolver;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::cutover;
use crate::engine::Engine;
use crate::failure::{CallError, Failure};
use crate::job::Job;
use crate::settings::{self, ConnectionSettings, text};
use crate::target::Token;

/// One migration: what is wanted, and the service to talk to. Clones are the same.
#[derive(Clone)]
pub struct Project {
    engine: Engine,
    client: ArmClient,
    wanted: Arc<MigrationSettings>,
    told: Arc<Mutex<VecDeque<String>>>,
}

impl fmt::Debug for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Project").field("project", &self.wanted.project).finish_non_exhaustive()
    }
}

/// How much of what happened is kept for [`Project::next_told`].
const KEPT: usize = 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProjectSettings {
    settings: MigrationSettings,
    #[serde(default)]
    endpoint: Option<String>,
    #[serde(default)]
    poll_ms: Option<u64>,
    #[serde(default)]
    connection: ConnectionSettings,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PreflightSettings {
    network: bool,
    name_servers: Vec<std::net::SocketAddr>,
}

impl Default for PreflightSettings {
    fn default() -> Self {
        Self { network: true, name_servers: Vec::new() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    verb: Verb,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exported {
    plan: Plan,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Applied {
    plan: Plan,
    journal: PathBuf,
    #[serde(default)]
    approvals: Approvals,
    #[serde(default)]
    effect_seconds: Option<u64>,
}

#[derive(Serialize)]
struct Done {
    done: bool,
    #[serde(flatten)]
    outcome: plan::Outcome,
}

impl Project {
    /// A migration: a JSON object with `settings` (the guide's page on plans describes them), `connection`
    /// (`{"proxy", "ca_file"}`) and, for tests, `endpoint` (another server, on this machine only) and `poll_ms` (the
    /// shortest wait between two looks at an operation). `token` is who asks. Sends nothing.
    pub fn open(engine: &Engine, settings: &str, token: &Token) -> Result<Self, Failure> {
        engine.check()?;
        let ProjectSettings { settings, endpoint, poll_ms, connection } = settings::parse("project", settings)?;
        let endpoint = endpoint.map(|url| Url::parse(&url)).transpose();
        let endpoint = endpoint.map_err(|e| CallError::argument("project.endpoint", format!("it is no URL: {e}")))?;
        let defaults = ArmOptions::default();
        let poll = match poll_ms.map(Duration::from_millis) {
            None => defaults.poll,
            Some(shortest) => PollPolicy { shortest, longest: defaults.poll.longest.max(shortest), ..defaults.poll },
        };
        let options = ArmOptions { transport: connection.options()?, endpoint, poll, ..defaults };
        let client = ArmClient::new(settings.cloud, token.credential(), options)?;
        Ok(Self { engine: engine.clone(), client, wanted: Arc::new(settings), told: Arc::default() })
    }

    /// Reads what is there and says what is wrong: a JSON list of findings, of the rules first, then of the network
    /// (a JSON object: `network`, left out: true; `name_servers`). Changes nothing.
    pub fn preflight(&self, settings: &str) -> Result<Job<String>, Failure> {
        let settings: PreflightSettings = settings::parse("preflight", settings)?;
        let network = settings.network.then(|| NetworkOptions {
            lookup: Arc::new(Resolver::asking(settings.name_servers)),
            ..NetworkOptions::default()
        });
        self.start(|project, cancel| async move {
            let (limits, now) = (Limits::published(), Timestamp::now());
            let found =
                plan::preflight(&project.client, &project.wanted, limits, now, network.as_ref(), &cancel).await?;
            Ok(text(&found.findings))
        })
    }

    /// Reads what is there and gives the plan (JSON) that leads from it to the aim: a JSON object with `goal`
    /// (`prepared`, `replicating`, `paused`, `tested`, `test_cleaned_up`, `migrated`, `completed`, `removed`) and
    /// `shut_down_source`. Changes nothing; empty where nothing is missing. What this identity may not read counts as
    /// missing here; [`preflight`](Self::preflight) has a finding for it.
    pub fn plan(&self, aim: &str) -> Result<Job<String>, Failure> {
        let aim: Aim = settings::parse("plan", aim)?;
        self.seeing(move |wanted, seen| text(&plan::plan(wanted, aim, seen, Limits::published())))
    }

    /// The plan that asks one thing of each server: a JSON object with `verb`.
    pub fn ask(&self, verb: &str) -> Result<Job<String>, Failure> {
        let Asked { verb } = settings::parse("ask", verb)?;
        self.seeing(move |wanted, seen| text(&plan::ask(wanted, verb, seen)))
    }

    /// What of a plan (a JSON object with `plan`) a template can make, as an ARM template.
    pub fn template(&self, plan: &str) -> Result<Job<String>, Failure> {
        let Exported { plan } = settings::parse("template", plan)?;
        self.seeing(move |wanted, seen| text(&plan.to_template(wanted, seen)))
    }

    /// Lines of a hosts file, as a JSON string, with the addresses of the private endpoints: for tests.
    pub fn hosts_lines(&self) -> Result<Job<String>, Failure> {
        self.seeing(|wanted, seen| text(&plan::hosts_lines(seen, wanted.scenario)))
    }

    /// Does what can be done now of a plan, and says what it waits for: a JSON object with `done`, `waits` and
    /// `findings`. The settings are a JSON object: `plan`, `journal` (a file; the same plan is given the same one
    /// again, and goes on from it when it was killed), `approvals` (`{"kinds", "steps"}`: what somebody has agreed
    /// to), and `effect_seconds` (how long a step is tried again while a grant is not known everywhere; 600).
    pub fn apply(&self, settings: &str) -> Result<Job<String>, Failure> {
        let Applied { plan, journal, approvals, effect_seconds } = settings::parse("apply", settings)?;
        let told = Arc::clone(&self.told);
        let tell = move |event: &ApplyEvent| {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() == KEPT {
                told.pop_front();
            }
            told.push_back(text(event));
        };
        let mut options = ApplyOptions { approvals, on_event: Some(Arc::new(tell)), ..ApplyOptions::default() };
        if let Some(seconds) = effect_seconds {
            options.effect = RetryPolicy { budget: Duration::from_secs(seconds), ..options.effect };
        }
        self.start(|project, cancel| async move {
            let outcome = plan::apply(&project.client, &plan, &project.wanted, &journal, &options, &cancel).await?;
            Ok(text(&Done { done: outcome.is_done(), outcome }))
        })
    }

    /// Makes a machine of sealed replicas, without the service, or takes it away again: a JSON object as the guide's
    /// page on that describes it. JSON of what was made, left, or can go.
    pub fn cutover(&self, settings: &str) -> Result<Job<String>, Failure> {
        let call = cutover::Call::of(&self.wanted, settings)?;
        self.start(|project, cancel| async move { call.run(&project.client, &cancel).await })
    }

    /// The next thing that [`apply`](Self::apply) told of, as JSON, oldest first; the newest thousand are kept.
    pub fn next_told(&self) -> Option<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn seeing(
        &self,
        tell: impl FnOnce(&MigrationSettings, &Observed) -> String + Send + 'static,
    ) -> Result<Job<String>, Failure> {
        self.start(|project, cancel| async move {
            let seen = plan::observe(&project.client, &project.wanted, &cancel).await?;
            Ok(tell(&project.wanted, &seen))
        })
    }

    fn start<F>(&self, work: impl FnOnce(Self, CancellationToken) -> F) -> Result<Job<String>, Failure>
    where
        F: Future<Output = Result<String, Failure>> + Send + 'static,
    {
        let project = self.clone();
        self.engine.start(&self.engine.cancel()?, |cancel| work(project, cancel))
    }
}
