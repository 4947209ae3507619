//! The client of Azure Resource Manager: what is asked, how it is asked, and how its end is known.
//!
//! ```text
//! operations.rs      the table of operations; operation.rs is one row of it
//! request.rs         one operation asked of one id, with its query, condition and body
//! client.rs          the client: read, find, list, send
//! long_running.rs    operations that go on after their answer: begin, resume, poll, wait
//! tracking.rs        what is kept of them
//! exchange.rs        one request until it is answered: attempts, waits, the budget
//! answer.rs          what an answer says, and which error it is
//! authorization.rs   the token, which goes to one host only
//! error.rs, service_error.rs   what can go wrong; what the service says of it
//! ```
//!
//! There is no decision of a migration in here. Three things hold for every request:
//!
//! - **The token goes to the endpoint and nowhere else.** Ids become paths segment by segment; links and status
//!   URLs that the service sends are followed on the same scheme, host and port only.
//! - **What may be sent again is, within a budget.** A request whose second sending could act twice (`POST`, and
//!   what is bound to a condition) is not sent again once its answer is lost; the error says so.
//! - **Every wait ends** with its answer, its deadline or the caller's cancellation.
//!
//! ```no_run
//! use std::sync::Arc;
//! use libmigrate::CancellationToken;
//! use libmigrate::control::ArmId;
//! use libmigrate::control::arm::{ArmClient, ArmError, ArmOptions, operations};
//! use libmigrate::private_link::Cloud;
//!
//! # async fn run(credential: Arc<dyn azure_core::credentials::TokenCredential>) -> Result<(), ArmError> {
//! let client = ArmClient::new(Cloud::Public, credential, ArmOptions::default())?;
//! let cancel = CancellationToken::new();
//! let vault = ArmId::of_subscription("5f…").group("migration").resource("Microsoft.RecoveryServices", "vaults", "v");
//!
//! let found: Option<serde_json::Value> = client.find(&operations::VAULTS_GET, &vault, &cancel).await?;
//! if found.is_none() {
//!     let body = serde_json::json!({"location": "westeurope", "sku": {"name": "RS0", "tier": "Standard"}});
//!     let mut started = client.begin(&operations::VAULTS_CREATE_OR_UPDATE.on(&vault).with_body(&body)?, &cancel).await?;
//!     // Here is the time to write down `started.tracking()`, before anything can go wrong.
//!     let made = client.wait::<serde_json::Value>(&mut started, &cancel).await?;
//!     println!("{}", made.body["id"]);
//! }
//! # Ok(())
//! # }
//! ```

mod answer;
mod authorization;
mod client;
mod error;
mod exchange;
mod long_running;
mod operation;
pub mod operations;
mod request;
mod service_error;
mod tracking;

pub use self::answer::Answer;
pub use self::client::{ArmClient, ArmOptions, PollPolicy};
pub use self::error::{ArmError, Asked};
pub use self::long_running::{Progress, Started};
pub use self::operation::{LongRunning, Operation, Target};
pub use self::request::{Precondition, Request};
pub use self::service_error::{MissingPermission, ServiceError};
pub use self::tracking::Tracking;
