//! A replica.

use libmigrate_embed::{CallError, Failure};
use napi_derive::napi;

use crate::cycle::Cycle;
use crate::engine::size;
use crate::job::{Given, Job};
use crate::source::Source;
use crate::thrown;

/// A replica.
#[napi]
pub struct Replica {
    pub(crate) replica: libmigrate_embed::Replica,
}

#[napi]
impl Replica {
    #[napi(getter, catch_unwind)]
    pub fn location(&self) -> String {
        self.replica.location().to_owned()
    }

    #[napi(catch_unwind)]
    pub fn disk_bytes(&self) -> napi::Result<Job> {
        Job::new(self.replica.disk_bytes(), size)
    }

    #[napi(catch_unwind)]
    pub fn replicate(&self, source: &Source, settings: String) -> napi::Result<Job> {
        Job::of_text(self.replica.replicate(&source.source, &settings))
    }

    #[napi(catch_unwind)]
    pub fn begin(&self, source: &Source, settings: String) -> napi::Result<Job> {
        Job::new(self.replica.begin(&source.source, &settings), |cycle| Given::F(Cycle::new(cycle)))
    }

    #[napi(catch_unwind)]
    pub fn verify(&self, source: Option<&Source>, settings: String) -> napi::Result<Job> {
        Job::of_text(self.replica.verify(source.map(|source| &source.source), &settings))
    }

    #[napi(catch_unwind)]
    pub fn recovery_points(&self) -> napi::Result<Job> {
        Job::of_text(self.replica.recovery_points())
    }

    #[napi(catch_unwind)]
    pub fn history(&self) -> napi::Result<Job> {
        Job::of_text(self.replica.history())
    }

    #[napi(catch_unwind)]
    pub fn prune(&self, rule: String) -> napi::Result<Job> {
        Job::of_text(self.replica.prune(&rule))
    }

    #[napi(catch_unwind)]
    pub fn roll_back(&self, cycle: i64) -> napi::Result<Job> {
        let none = |_| thrown(Failure::from(CallError::argument("cycle", "it is no number of a cycle")));
        Job::of_text(self.replica.roll_back(u32::try_from(cycle).map_err(none)?))
    }

    #[napi(catch_unwind)]
    pub fn export_proof(&self, path: String, settings: String) -> napi::Result<Job> {
        Job::of_text(self.replica.export_proof(path.into(), &settings))
    }

    #[napi(catch_unwind)]
    pub fn garbage(&self) -> napi::Result<Job> {
        Job::of_text(self.replica.garbage())
    }

    #[napi(catch_unwind)]
    pub fn collect_garbage(&self) -> napi::Result<Job> {
        Job::of_text(self.replica.collect_garbage())
    }

    #[napi(catch_unwind)]
    pub fn close(&self) -> napi::Result<Job> {
        Job::of_nothing(self.replica.close())
    }
}
