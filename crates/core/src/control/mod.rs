//! The control plane: what Azure is asked to do with a server, beside the data plane that moves its bytes.
//!
//! ```text
//! scenario.rs     the three ways a server is migrated
//! lifecycle/      the migration state machine: states, verbs, guards, and what they are on the wire
//! named.rs, open_enum.rs   enums with stable names; enums of the service, which keep what they do not know
//! ```
//!
//! Nothing here sends a request or knows the replication engine.

pub mod lifecycle;
mod named;
mod open_enum;
mod scenario;

pub use self::scenario::Scenario;
