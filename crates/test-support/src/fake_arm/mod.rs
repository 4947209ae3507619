//! Azure Resource Manager in this process, as far as a migration needs it.
//!
//! It speaks HTTP/1.1 on loopback. It keeps resources by id, carries out long-running operations on a virtual
//! clock ([`FakeArm::advance`]; asking after an operation moves it too), checks what the published contracts
//! demand of a body, refuses with the service's errors, and records every request with its answer for foreign
//! judges. Faults are ordered or seeded ([`ArmFaults`]); how long things take and who approves is turned with
//! [`Knobs`]. It encodes what the contracts, their examples and Microsoft's own clients show. Where they are
//! silent, it guesses, and says so where it does. It is no proof of what Azure does.
//!
//! ```text
//! connection.rs   the socket, the token, the faults
//! request.rs, place.rs, versions.rs   what is asked, of what, in which version
//! world.rs        resources and the clock
//! operation.rs    long-running operations
//! services/       one file per provider: groups, network, DNS, storage, roles, vaults, compute, projects
//! site_recovery/  items, policies, mappings, jobs
//! scenery.rs, wanted.rs   what is there before "Replicate" is clicked, and the settings of a migration from it
//! record.rs       pairs for the judges
//! ```

mod answer;
mod connection;
mod faults;
mod knobs;
mod operation;
mod place;
mod record;
mod request;
mod scenery;
mod services;
mod site_recovery;
mod versions;
mod wanted;
mod world;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

use self::record::Recorder;
use self::world::World;
use crate::page_blob_server::lock;

pub use self::answer::ArmError;
pub use self::faults::{ArmFault, ArmFaults, ArmRates, LastRequest};
pub use self::knobs::{Approval, Knobs};
pub use self::scenery::{GROUP, SUBSCRIPTION, Scenery};

/// A running fake; it stops when dropped.
pub struct FakeArm {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

/// What all connections share. Locks are taken in the order of the fields.
pub(crate) struct Shared {
    world: Mutex<World>,
    recorder: Mutex<Recorder>,
    faults: ArmFaults,
}

impl FakeArm {
    /// Starts with nothing but an empty subscription, nothing going wrong, and everything approved.
    ///
    /// # Panics
    /// When loopback has no port left.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a port left");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            world: Mutex::new(World::new(format!("http://{address}"), Knobs::default())),
            recorder: Mutex::new(Recorder::from_environment()),
            faults: ArmFaults::default(),
        });
        let accepting = tokio::spawn(connection::accept(listener, Arc::clone(&shared)));
        Self { shared, address, accepting }
    }

    /// Starts with what `scenery` has.
    ///
    /// # Panics
    /// When loopback has no port left.
    pub async fn start_with(scenery: &Scenery) -> Self {
        let fake = Self::start().await;
        scenery.set_up(&mut lock(&fake.shared.world));
        fake
    }

    /// `http://127.0.0.1:PORT/`, in the place of `https://management.azure.com/`.
    ///
    /// # Panics
    /// Never: the address is a URL's.
    pub fn endpoint(&self) -> Url {
        Url::parse(&format!("http://{}/", self.address)).expect("an address and a port are a URL's")
    }

    /// The faults on order.
    pub fn faults(&self) -> &ArmFaults {
        &self.shared.faults
    }

    /// Changes how the fake behaves from now on.
    pub fn turn(&self, turn: impl FnOnce(&mut Knobs)) {
        turn(&mut lock(&self.shared.world).knobs);
    }

    /// Lets so many ticks of the virtual clock pass.
    pub fn advance(&self, ticks: u32) {
        let mut world = lock(&self.shared.world);
        (0..ticks).for_each(|_| world.tick());
    }

    /// Lets a tick pass that often from now on, for callers that cannot turn the clock themselves.
    pub fn let_time_pass(&self, every: Duration) {
        let shared = Arc::downgrade(&self.shared);
        tokio::spawn(async move {
            while let Some(shared) = shared.upgrade() {
                lock(&shared.world).tick();
                drop(shared);
                tokio::time::sleep(every).await;
            }
        });
    }

    /// Lets the clock run until nothing is left to happen by itself.
    pub fn settle(&self) {
        let mut world = lock(&self.shared.world);
        while !world.is_at_rest() {
            world.tick();
        }
    }

    /// The resource with that id, as a read would answer it; also one that reads do not find yet.
    pub fn resource(&self, id: &str) -> Option<Value> {
        lock(&self.shared.world).get(id).cloned()
    }

    /// All resources by id, as reads would answer them.
    pub fn all_resources(&self) -> Vec<Value> {
        lock(&self.shared.world).all()
    }

    /// The resources below `scope` whose namespace and last type are these: `("Microsoft.Compute",
    /// "virtualMachines")`.
    pub fn resources(&self, scope: &str, namespace: &str, last_type: &str) -> Vec<Value> {
        lock(&self.shared.world).below(scope, namespace, last_type)
    }

    /// Puts a resource behind the service's back: what others did before. `id`, `name` and `type` are filled in.
    pub fn place(&self, id: &str, body: Value) {
        lock(&self.shared.world).put(id, body);
    }

    /// Changes a resource behind the service's back.
    pub fn change(&self, id: &str, change: impl FnOnce(&mut Value)) {
        lock(&self.shared.world).change(id, change);
    }

    /// Takes a resource and its parts away behind the service's back; whether it was there.
    pub fn remove(&self, id: &str) -> bool {
        lock(&self.shared.world).remove(id)
    }

    /// What the owner of a target does in the portal: approves or rejects a connection of a private endpoint.
    /// Whether there is such a connection.
    pub fn answer_connection(&self, connection: &str, status: &str) -> bool {
        services::settle_connection(&mut lock(&self.shared.world), connection, status, "by the owner")
    }

    /// Every request so far with its answer, oldest first: `liveRequest` and `liveResponse`.
    pub fn pairs(&self) -> Vec<Value> {
        lock(&self.shared.recorder).pairs.clone()
    }

    /// Every request so far: method, and path without the query.
    pub fn requests(&self) -> Vec<(String, String)> {
        let text =
            |pair: &Value, pointer: &str| pair.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let request = |pair: &Value| {
            let url = text(pair, "/liveRequest/url").replace("https://management.azure.com", "");
            let path = url.split('?').next().unwrap_or_default().to_owned();
            (text(pair, "/liveRequest/method"), path)
        };
        lock(&self.shared.recorder).pairs.iter().map(request).collect()
    }

    /// The long-running operations so far: name, and `InProgress`, `Succeeded` or `Failed`.
    pub fn operations(&self) -> Vec<(String, &'static str)> {
        lock(&self.shared.world).operation_states().into_iter().collect()
    }
}

impl fmt::Debug for FakeArm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeArm").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for FakeArm {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
