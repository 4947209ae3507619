//! A fake with something to migrate from, the settings for it, and clients.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::OffsetDateTime;
use libmigrate::control::Scenario;
use libmigrate::control::arm::{ArmClient, ArmOptions, PollPolicy};
use libmigrate::control::limits::Limits;
use libmigrate::control::plan::{
    Aim, ApplyError, ApplyOptions, Approval, Approvals, Outcome, Plan, Wait, apply, observe, plan,
};
use libmigrate::control::settings::MigrationSettings;
use libmigrate::private_link::Cloud;
use libmigrate::{CancellationToken, RetryPolicy};
use libmigrate_test_support::fake_arm::{FakeArm, Scenery};
use url::Url;

/// A fake, what is in it, and what is wanted.
pub struct World {
    pub fake: FakeArm,
    pub scenery: Scenery,
    pub wanted: MigrationSettings,
    folder: tempfile::TempDir,
}

#[derive(Debug)]
struct Token;

#[async_trait]
impl TokenCredential for Token {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        Ok(AccessToken::new("token", OffsetDateTime::now_utc() + Duration::from_secs(3600)))
    }
}

/// A client that waits as good as not at all.
pub fn client_of(endpoint: Url) -> ArmClient {
    let millis = Duration::from_millis;
    let options = ArmOptions {
        endpoint: Some(endpoint),
        retry: RetryPolicy { first_wait: millis(1), longest_wait: millis(5), budget: millis(500) },
        poll: PollPolicy { shortest: millis(1), longest: millis(2), deadline: millis(400) },
        ..ArmOptions::default()
    };
    ArmClient::new(Cloud::Public, Arc::new(Token), options).unwrap()
}

impl World {
    /// What is there before "Replicate" is clicked, and so many servers to migrate.
    pub async fn of(scenario: Scenario, servers: u32) -> Self {
        let scenery = Scenery::of(scenario.as_str()).unwrap();
        let fake = FakeArm::start_with(&scenery).await;
        let wanted = serde_json::from_value(scenery.settings(servers)).unwrap();
        Self { fake, scenery, wanted, folder: tempfile::tempdir().unwrap() }
    }

    pub fn client(&self) -> ArmClient {
        client_of(self.fake.endpoint())
    }

    /// Where the journal of a plan is.
    pub fn journal(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The plan from what is there now.
    pub async fn plan(&self, aim: impl Into<Aim>) -> Plan {
        let seen = observe(&self.client(), &self.wanted, &CancellationToken::new()).await.unwrap();
        assert_eq!(seen.unread, []);
        plan(&self.wanted, aim.into(), &seen, Limits::published())
    }

    /// Does what can be done of a plan now.
    pub async fn apply(&self, plan: &Plan, journal: &Path, options: &ApplyOptions) -> Result<Outcome, ApplyError> {
        apply(&self.client(), plan, &self.wanted, journal, options, &CancellationToken::new()).await
    }

    /// Does a plan to its end, and lets time pass where a server is on its way.
    pub async fn complete(&self, plan: &Plan, journal: &Path, options: &ApplyOptions) -> Outcome {
        for _ in 0..30 {
            let outcome = self.apply(plan, journal, options).await.unwrap();
            if outcome.is_done() {
                return outcome;
            }
            assert!(outcome.waits.iter().all(|wait| matches!(wait, Wait::NotYet { .. })), "{outcome:#?}");
            self.fake.settle();
        }
        panic!("it does not come to an end");
    }

    /// Makes a plan to an aim and does it to its end.
    pub async fn reach(&self, aim: impl Into<Aim>) -> Plan {
        let plan = self.plan(aim).await;
        let journal = self.journal(&plan.digest());
        self.complete(&plan, &journal, &agreed()).await;
        plan
    }

    /// What the service has taken up: each change by method and path, and how often.
    pub fn effects(&self) -> BTreeMap<(String, String), usize> {
        let mut effects = BTreeMap::new();
        for pair in self.fake.pairs() {
            let text = |pointer: &str| pair.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
            let method = text("/liveRequest/method");
            if method != "GET" && text("/liveResponse/statusCode").starts_with('2') {
                let path = text("/liveRequest/url").split('?').next().unwrap_or_default();
                let path = path.trim_start_matches("https://management.azure.com").to_lowercase();
                *effects.entry((method.to_owned(), path)).or_default() += 1;
            }
        }
        effects
    }

    /// How often a change was taken up whose path ends so.
    pub fn count(&self, method: &str, end: &str) -> usize {
        let is_it = |(of, path): &&(String, String)| of == method && path.ends_with(&end.to_lowercase());
        self.effects().iter().filter(|(change, _)| is_it(change)).map(|(_, count)| count).sum()
    }

    /// The machines that are in the target.
    pub fn machines(&self) -> Vec<String> {
        let all = self.fake.resources(&self.scenery.target_group(), "Microsoft.Compute", "virtualMachines");
        all.iter().map(|machine| machine["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The id of a server's item.
    pub fn item(&self, name: &str) -> String {
        let kind = if self.wanted.scenario == Scenario::VmwareAgentless {
            "replicationMigrationItems"
        } else {
            "replicationProtectedItems"
        };
        format!("{}/{kind}/{name}", self.scenery.container())
    }
}

/// Everybody has agreed to everything; what is granted has effect soon.
pub fn agreed() -> ApplyOptions {
    let millis = Duration::from_millis;
    ApplyOptions {
        approvals: Approvals::of(Approval::ALL.iter().copied()),
        effect: RetryPolicy { first_wait: millis(1), longest_wait: millis(5), budget: millis(2000) },
        on_event: None,
    }
}
