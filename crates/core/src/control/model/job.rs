//! Jobs of Site Recovery: what an operation does, step by step, and why it failed.
//!
//! Source: Azure REST API specification, Site Recovery, `service.json` (2024-04-01).

use super::resource::Resource;
use super::scalar::Stamp;
use super::wire::wire;
use crate::control::open_enum::open_enum;

/// A job. Its name is the last segment of the URL that a long-running operation is watched at.
pub type Job = Resource<JobProperties>;

open_enum! {
    /// Where a job or a task is. A plain text in the specification; these are the words of its filter and examples.
    pub enum JobState {
        /// It waits.
        NotStarted,
        /// It goes on.
        InProgress,
        /// It is done.
        Succeeded,
        /// It failed.
        Failed,
        /// Somebody ended it.
        Cancelled,
        /// It waits for somebody.
        Suspended,
        /// Something else, which the description says.
        Other,
    }
}

impl JobState {
    /// Whether nothing happens any more. A word that is not known may still change.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

wire! {
    /// The properties of a [`Job`].
    pub struct JobProperties {
        /// The id that Microsoft's support asks for.
        activity_id: String,
        /// What is done: `EnableDr`, `TestMigrate`.
        scenario_name: String,
        /// What is done, as it is shown.
        friendly_name: String,
        /// Where it is.
        state: JobState,
        /// Where it is, as it is shown.
        state_description: String,
        /// The steps.
        tasks: Vec<JobTask>,
        /// Why it failed.
        errors: Vec<JobError>,
        /// When it began.
        start_time: Stamp,
        /// When it ended.
        end_time: Stamp,
        /// What can be done with it: `Cancel`, `Restart`, `Resume`.
        allowed_actions: Vec<String>,
        /// What it is about: the service's own id.
        target_object_id: String,
        /// What it is about, by name.
        target_object_name: String,
        /// What kind of thing that is.
        target_instance_type: String,
    }

    /// A step of a [`Job`].
    pub struct JobTask {
        /// Its id in the job.
        task_id: String,
        /// Its name.
        name: String,
        /// Its name, as it is shown.
        friendly_name: String,
        /// Where it is.
        state: JobState,
        /// Where it is, as it is shown.
        state_description: String,
        /// When it began.
        start_time: Stamp,
        /// When it ended.
        end_time: Stamp,
        /// What can be done with it.
        allowed_actions: Vec<String>,
        /// Why it failed.
        errors: Vec<JobError>,
        /// What it is made of.
        group_task_custom_details: TaskGroup,
    }

    /// What a step is made of.
    pub struct TaskGroup {
        /// The smaller steps.
        child_tasks: Vec<JobTask>,
    }

    /// Why a job or a step failed.
    pub struct JobError {
        /// What the service says.
        service_error_details: ServiceError,
        /// What the provider on the premises says.
        provider_error_details: ProviderError,
        /// `Error`, `Warning`.
        error_level: String,
        /// When.
        creation_time: Stamp,
        /// In which step.
        task_id: String,
    }

    /// An error of the service.
    pub struct ServiceError {
        /// The number of the error.
        code: String,
        /// What is wrong.
        message: String,
        /// Why that may be.
        possible_causes: String,
        /// What to do.
        recommended_action: String,
        /// The id that Microsoft's support asks for.
        activity_id: String,
    }

    /// An error of the provider on the premises.
    pub struct ProviderError {
        /// The number of the error.
        error_code: i64,
        /// What is wrong.
        error_message: String,
        /// Its own id.
        error_id: String,
        /// Why that may be.
        possible_causes: String,
        /// What to do.
        recommended_action: String,
    }

    /// What the owner says when a job that waits goes on (`resume` of a job).
    pub struct ResumeJobProperties {
        /// In the owner's words.
        comments: String,
    }
}

/// Lets a job that waits go on.
pub type ResumeJob = Resource<ResumeJobProperties>;

impl Resource<JobProperties> {
    /// Where it is.
    pub fn state(&self) -> Option<&JobState> {
        self.properties.state.as_ref()
    }

    /// Why it failed: its own errors, and those of its steps at every depth.
    pub fn errors(&self) -> Vec<&JobError> {
        let mut errors: Vec<_> = self.properties.errors.iter().flatten().collect();
        let mut waiting: Vec<&JobTask> = self.properties.tasks.iter().flatten().rev().collect();
        while let Some(task) = waiting.pop() {
            errors.extend(task.errors.iter().flatten());
            let group = task.group_task_custom_details.as_ref();
            waiting.extend(group.and_then(|group| group.child_tasks.as_ref()).into_iter().flatten().rev());
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::model::wire::same;

    #[test]
    fn a_job_tells_the_errors_of_its_steps_at_every_depth() {
        let error = |code: &str| json!({ "serviceErrorDetails": { "code": code }, "errorLevel": "Error" });
        let job: Job = same(&json!({ "name": "a93f", "properties": {
            "state": "Failed", "allowedActions": [], "startTime": "2017-04-27T11:25:57.3029434Z", "errors": [error("1")],
            "customDetails": { "instanceType": "AsrJobDetails", "affectedObjectDetails": { "PrimaryVmmId": "x" } },
            "tasks": [
                { "name": "a", "state": "Failed", "errors": [error("2")], "taskType": "TaskDetails", "groupTaskCustomDetails": {
                    "instanceType": "InlineWorkflowTaskDetails", "childTasks": [{ "name": "b", "errors": [error("3")] }],
                }},
                { "name": "c", "errors": [{ "providerErrorDetails": { "errorCode": 4, "errorId": "x" } }] },
            ],
        }}));
        let codes: Vec<_> =
            job.errors().iter().filter_map(|error| error.service_error_details.as_ref()?.code.as_deref()).collect();
        assert_eq!((codes, job.errors().len()), (vec!["1", "2", "3"], 4));
    }

    #[test]
    fn a_job_in_a_state_that_is_not_known_is_not_over() {
        for (word, over) in
            [("Succeeded", true), ("Failed", true), ("Cancelled", true), ("Suspended", false), ("Completing", false)]
        {
            assert_eq!(JobState::from(word).is_over(), over, "{word}");
        }
        assert_eq!(Job::default().state(), None);
    }

    #[test]
    fn a_job_that_waits_goes_on_with_a_comment() {
        same::<ResumeJob>(&json!({ "properties": { "comments": "ready" } }));
    }
}
