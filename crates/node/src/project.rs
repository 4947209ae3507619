//! The control plane of one migration.

use napi_derive::napi;

use crate::job::Job;

/// A migration.
#[napi]
pub struct Project {
    pub(crate) project: libmigrate_embed::Project,
}

#[napi]
impl Project {
    #[napi(catch_unwind)]
    pub fn preflight(&self, settings: String) -> napi::Result<Job> {
        Job::of_text(self.project.preflight(&settings))
    }

    #[napi(catch_unwind)]
    pub fn plan(&self, aim: String) -> napi::Result<Job> {
        Job::of_text(self.project.plan(&aim))
    }

    #[napi(catch_unwind)]
    pub fn ask(&self, verb: String) -> napi::Result<Job> {
        Job::of_text(self.project.ask(&verb))
    }

    #[napi(catch_unwind)]
    pub fn template(&self, plan: String) -> napi::Result<Job> {
        Job::of_text(self.project.template(&plan))
    }

    #[napi(catch_unwind)]
    pub fn hosts_lines(&self) -> napi::Result<Job> {
        Job::of_text(self.project.hosts_lines())
    }

    #[napi(catch_unwind)]
    pub fn apply(&self, settings: String) -> napi::Result<Job> {
        Job::of_text(self.project.apply(&settings))
    }

    #[napi(catch_unwind)]
    pub fn cutover(&self, settings: String) -> napi::Result<Job> {
        Job::of_text(self.project.cutover(&settings))
    }

    /// The next thing that applying told of, as JSON, if there is one already.
    #[napi(catch_unwind)]
    pub fn next_told(&self) -> Option<String> {
        self.project.next_told()
    }
}
