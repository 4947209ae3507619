//! Site Recovery's jobs until they end.

use tokio::time::Instant;

use super::error::{ApplyError, Reason};
use super::outcome::{ApplyEvent, Wait};
use super::run::{Run, cancelled_or};
use crate::azure_answer::Redactor;
use crate::control::arm::{ArmError, Progress, Started, operations};
use crate::control::model::{Job, JobError, JobState};
use crate::control::plan::Step;

/// How something that was followed has ended.
pub(super) enum Followed {
    /// It has succeeded, or is over and left to be looked at.
    Ended,
    /// Nobody knows of it any more: what it was to make is looked at instead.
    Forgotten,
    /// It still goes on when the time for waiting is over.
    Waits(Wait),
}

/// Whether a job will not go on by itself. One that is suspended waits for what is asked next: the clean-up.
pub(super) fn is_over(job: &Job) -> bool {
    job.state().is_none_or(|state| state.is_over() || *state == JobState::Suspended)
}

pub(super) fn has_failed(job: &Job) -> bool {
    matches!(job.state(), Some(JobState::Failed | JobState::Cancelled))
}

impl Run<'_> {
    /// The job of that name, in the vault.
    pub(super) async fn job(&self, name: &str) -> Result<Option<Job>, ApplyError> {
        self.find(&operations::JOBS_GET, &self.wanted.vault.child("replicationJobs", name)).await
    }

    /// Follows an operation to its end, and the job that it is.
    pub(super) async fn follow(&mut self, step: &Step, mut started: Started) -> Result<Followed, ApplyError> {
        let since = Instant::now();
        loop {
            match self.client.poll(&mut started, self.cancel).await {
                Ok(Progress::Done) => break,
                Ok(Progress::Running { status, percent }) => {
                    if since.elapsed() > self.client.poll_policy().deadline {
                        return Ok(Followed::Waits(Wait::NotYet { step: step.id.clone(), state: status }));
                    }
                    self.tell(&ApplyEvent::Progress { step: step.id.clone(), status, percent });
                }
                Err(ArmError::NotFound { .. }) => return Ok(Followed::Forgotten),
                Err(error @ (ArmError::OperationFailed { .. } | ArmError::OperationCancelled { .. })) => {
                    return Err(self.operation_failed(step, started.job_name(), error).await?);
                }
                Err(error) => return Err(cancelled_or(error)),
            }
        }
        match started.job_name() {
            Some(name) => self.follow_job(step, name, true).await,
            None => Ok(Followed::Ended),
        }
    }

    /// Follows a job to its end; that it has failed is an error where it is the step's own.
    pub(super) async fn follow_job(&mut self, step: &Step, name: &str, own: bool) -> Result<Followed, ApplyError> {
        let since = Instant::now();
        for looks in 0.. {
            let Some(job) = self.job(name).await? else { return Ok(Followed::Ended) };
            if own && has_failed(&job) {
                return Err(self.job_failed(step, name, &job).await?);
            }
            if is_over(&job) {
                break;
            }
            let status = job.state().map(ToString::to_string).unwrap_or_default();
            if since.elapsed() > self.client.poll_policy().deadline {
                return Ok(Followed::Waits(Wait::NotYet { step: step.id.clone(), state: status }));
            }
            self.tell(&ApplyEvent::Progress { step: step.id.clone(), status, percent: None });
            self.pause(looks).await?;
        }
        Ok(Followed::Ended)
    }

    /// Writes down that the step has failed; the error.
    pub(super) async fn job_failed(&mut self, step: &Step, name: &str, job: &Job) -> Result<ApplyError, ApplyError> {
        let reasons = reasons(job);
        self.failed(step, ApplyError::JobFailed { step: step.id.clone(), job: format!("job {name}"), reasons }).await
    }

    async fn operation_failed(
        &mut self,
        step: &Step,
        job: Option<&str>,
        error: ArmError,
    ) -> Result<ApplyError, ApplyError> {
        if let Some(name) = job
            && let Ok(Some(found)) = self.job(name).await
            && !reasons(&found).is_empty()
        {
            return self.job_failed(step, name, &found).await;
        }
        let told = error.service().into_iter().flat_map(crate::control::arm::ServiceError::chain);
        let reasons = told
            .map(|one| Reason { code: one.code.clone(), message: one.message.clone(), remedy: String::new() })
            .collect();
        let job = step.action.name().to_owned();
        self.failed(step, ApplyError::JobFailed { step: step.id.clone(), job, reasons }).await
    }
}

/// What a job says of its failure, without secrets.
fn reasons(job: &Job) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = Vec::new();
    for reason in job.errors().into_iter().filter_map(reason) {
        // The job and its tasks tell the same.
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons
}

fn reason(error: &JobError) -> Option<Reason> {
    let clean = |text: Option<&String>| Redactor::new([]).clean(text.map_or("", String::as_str));
    if let Some(told) = &error.service_error_details {
        return Some(Reason {
            code: clean(told.code.as_ref()),
            message: clean(told.message.as_ref()),
            remedy: clean(told.recommended_action.as_ref()),
        });
    }
    let told = error.provider_error_details.as_ref()?;
    Some(Reason {
        code: told.error_code.map(|code| code.to_string()).unwrap_or_default(),
        message: clean(told.error_message.as_ref()),
        remedy: clean(told.recommended_action.as_ref()),
    })
}
