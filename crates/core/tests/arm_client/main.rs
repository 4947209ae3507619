//! The client of Azure Resource Manager against a server that follows a script: what is sent, in which order, and
//! what becomes of each answer.

mod long_running;
mod pages;
mod requests;
mod scripted_server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::OffsetDateTime;
use libmigrate::RetryPolicy;
use libmigrate::control::ArmId;
use libmigrate::control::arm::{ArmClient, ArmOptions, PollPolicy};
use libmigrate::private_link::Cloud;
use scripted_server::ScriptedServer;

/// What the paths of all requests here begin with.
const GROUP: &str = "/subscriptions/s/resourceGroups/g/providers";

/// Tokens have the form of real ones, which are JSON web tokens.
const TOKEN: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.canary";

/// Gives a new token each time; the number is its end.
#[derive(Debug, Default)]
struct Tokens {
    given: AtomicU32,
    /// Whether each is to be replaced soon.
    short: bool,
}

#[async_trait]
impl TokenCredential for Tokens {
    async fn get_token(&self, scopes: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        assert_eq!(scopes, ["https://management.azure.com/.default"]);
        let number = self.given.fetch_add(1, Ordering::Relaxed) + 1;
        let good_for = Duration::from_secs(if self.short { 60 } else { 3600 });
        Ok(AccessToken::new(format!("{TOKEN}{number}"), OffsetDateTime::now_utc() + good_for))
    }
}

/// Options that wait as good as not at all.
fn options(server: &ScriptedServer) -> ArmOptions {
    let millis = Duration::from_millis;
    ArmOptions {
        endpoint: Some(server.url()),
        retry: RetryPolicy { first_wait: millis(1), longest_wait: millis(5), budget: millis(3000) },
        poll: PollPolicy { shortest: millis(1), longest: millis(400), deadline: millis(5000) },
        ..ArmOptions::default()
    }
}

fn client(server: &ScriptedServer) -> ArmClient {
    client_with(options(server))
}

fn client_with(options: ArmOptions) -> ArmClient {
    ArmClient::new(Cloud::Public, Arc::<Tokens>::default(), options).unwrap()
}

fn group() -> ArmId {
    ArmId::of_subscription("s").group("g")
}

fn vault() -> ArmId {
    group().resource("Microsoft.RecoveryServices", "vaults", "v")
}

fn item() -> ArmId {
    vault()
        .child("replicationFabrics", "f")
        .child("replicationProtectionContainers", "c")
        .child("replicationMigrationItems", "web01")
}

fn disk() -> ArmId {
    group().resource("Microsoft.Compute", "disks", "os")
}

fn account() -> ArmId {
    group().resource("Microsoft.Storage", "storageAccounts", "cache")
}
