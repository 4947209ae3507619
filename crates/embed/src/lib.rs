//! What the bindings of libmigrate to other languages have in common, so that none of them holds logic.
//!
//! Settings come in and results go out as JSON text, in one shape for every language; bytes of a disk do not, they
//! travel in buffers. What waits is a [`Job`]: it can be waited for with a time-out, cancelled, and asked to tell
//! when it is done, which is what a blocking call, a promise and an event loop each need.
//!
//! ```
//! use libmigrate_embed::{Engine, Source, Target};
//!
//! # fn main() -> Result<(), libmigrate_embed::Failure> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
//! # std::fs::write(at("web01.raw"), vec![7; 100_000]).unwrap();
//! let engine = Engine::open(&format!(r#"{{"state_dir": "{}"}}"#, at("state")))?;
//! let source = engine.open_source(&format!(r#"{{"path": "{}"}}"#, at("web01.raw")))?.result()?;
//! let target = Target::open(&format!(r#"{{"local": "{}"}}"#, at("web01.vhd")), None)?;
//! let replica = engine.open_replica(&target, &source)?.result()?;
//! let point = replica.replicate(&source, "{}")?.result()?;
//! assert!(point.contains(r#""kind":"initial""#));
//! replica.close()?.result()?;
//! engine.close(std::time::Duration::from_secs(5))
//! # }
//! ```
//!
//! # Threads
//!
//! An [`Engine`] owns the threads that its jobs run on; nothing here is global but the log. No thread of an engine
//! ever calls into the embedding language: what only that language can answer (a read of its own disk, a token) is a
//! [`Request`] that one of *its* threads takes from a queue ([`Server`]), so an interpreter can end at any moment.
//! Everything is `Send + Sync`. In a process that was forked after the engine was opened, each call fails with
//! `call.forked`: its threads exist only in the parent.
//!
//! # Copies
//!
//! Bytes are not copied here: those that are pushed are sent from where they are, and a read that the embedding language
//! serves may go into the buffer from which it is sent. Where a run has holes in it, and where a source is verified, the
//! answer is copied once.

mod control;
mod cutover;
mod cycle;
mod engine;
mod events;
mod failure;
mod job;
mod logs;
mod project;
mod replica;
mod served;
mod settings;
mod source;
mod target;

pub use control::control;
pub use cycle::Cycle;
pub use engine::Engine;
pub use events::Events;
pub use failure::{CallError, Failure};
pub use job::Job;
pub use libmigrate::secret::Secret;
pub use logs::{LogLine, Logs};
pub use project::Project;
pub use replica::Replica;
pub use served::{Request, Server};
pub use source::{Read, ReadRequest, Source};
pub use target::{Target, Token, TokenAnswer, TokenRequest};

/// The version of this library: what the package of each language is called.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
