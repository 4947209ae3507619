//! Operations that go on after their answer.
//!
//! The order is that of Microsoft's own client for Python, which was watched on the wire:
//!
//! ```text
//! an answer with Azure-AsyncOperation   its URL is read until the status is terminal, and then
//!     PUT, PATCH                        the resource is read: it is the result
//!     POST                              Location is read, if one was sent: it is the result
//!     DELETE                            nothing more
//! an answer with Location only          it is read until it no longer says 202: that is the result
//! neither, PUT and PATCH                the resource is read until its provisioningState is terminal
//! ```
//!
//! A status word that is not known is one of an operation that still runs. What is needed to wait on after a crash
//! is [`Tracking`]; it is known before the first look.
//!
//! Source: Microsoft Learn, "Track asynchronous Azure operations"; Azure REST API guidelines, "Long-running
//! operations".

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::answer::{Answer, RawAnswer};
use super::client::ArmClient;
use super::error::{ArmError, Asked};
use super::exchange::Message;
use super::operation::{LongRunning, Operation};
use super::request::{Request, resource_url};
use super::service_error::{ServiceError, clean};
use super::tracking::Tracking;
use crate::control::ArmId;

/// What a look at a status or a location may be answered with.
const LOOK: &[u16] = &[200, 201, 202, 204];

/// How often the resource is looked for again that an operation has made and that cannot be read yet: reads may be
/// answered from a copy that is seconds behind.
const NOT_YET: u32 = 5;

/// An operation that was begun: running, or done.
pub struct Started {
    asked: Asked,
    operation: &'static Operation,
    tracking: Tracking,
    state: State,
    looks: u32,
    /// How long to wait before the next look.
    wait: Duration,
}

enum State {
    Running { status: String, percent: Option<f64> },
    Done(RawAnswer),
}

/// How far an operation is.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// It goes on.
    Running {
        /// The service's word for it.
        status: String,
        /// How much is done, 0 to 100, where the service says so.
        percent: Option<f64>,
    },
    /// It has succeeded. [`ArmClient::wait`] gives the result.
    Done,
}

impl Started {
    /// What to write down to be able to wait on after a crash; none if the operation was done at once.
    pub fn tracking(&self) -> Option<&Tracking> {
        matches!(self.state, State::Running { .. }).then_some(&self.tracking)
    }

    /// The name of Site Recovery's job that the operation is; none for operations of other services.
    pub fn job_name(&self) -> Option<&str> {
        self.tracking.job_name()
    }

    /// How far it was when it was last looked at.
    pub fn progress(&self) -> Progress {
        match &self.state {
            State::Running { status, percent } => Progress::Running { status: status.clone(), percent: *percent },
            State::Done(_) => Progress::Done,
        }
    }

    fn goes_on(&mut self, status: &str, percent: Option<f64>) {
        self.state = State::Running { status: clean(status), percent };
    }
}

impl fmt::Debug for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started")
            .field("tracking", &self.tracking)
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}

/// What a status, or a resource that is being made, says of the operation. Both are read as far as they are as
/// expected: what else they are is for who asked.
struct Status(Value);

impl Status {
    fn of(answer: &RawAnswer, asked: &Asked) -> Result<Self, ArmError> {
        answer.read(asked).map(Self)
    }

    fn word(&self) -> Option<&str> {
        self.0["status"].as_str()
    }

    fn provisioning_state(&self) -> Option<&str> {
        self.0["properties"]["provisioningState"].as_str()
    }

    fn percent(&self) -> Option<f64> {
        self.0["percentComplete"].as_f64().filter(|percent| (0.0..=100.0).contains(percent))
    }

    fn output(&self) -> Option<&Value> {
        self.0["properties"].get("output")
    }
}

/// What a status word means.
enum Word {
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl Word {
    fn of(status: &str) -> Self {
        match status.to_ascii_lowercase().as_str() {
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "canceled" | "cancelled" => Self::Cancelled,
            _ => Self::Running,
        }
    }
}

impl ArmClient {
    /// Sends a request whose operation may go on after its answer. Nothing is looked at yet: this is the time to
    /// write down [`Started::tracking`].
    ///
    /// # Errors
    ///
    /// Those of [`ArmClient::send`]; [`ArmError::ForeignUrl`] if the answer leads to another host.
    pub async fn begin(&self, request: &Request, cancel: &CancellationToken) -> Result<Started, ArmError> {
        let message = Message::of(request, &self.endpoint)?;
        let (asked, operation) = (message.asked.clone(), request.operation());
        let answer = self.exchange(message, cancel).await?;
        let mut tracking = Tracking {
            operation: operation.name.to_owned(),
            id: request.id().clone(),
            api_version: request.api_version().to_owned(),
            status_url: None,
            location: None,
        };
        let wait = self.poll.wait(0, answer.retry_after);
        let started = |tracking, state| Started { asked: asked.clone(), operation, tracking, state, looks: 0, wait };
        let running = |status: &str| State::Running { status: clean(status), percent: None };
        if operation.long_running == LongRunning::No || answer.status == 204 {
            return Ok(started(tracking, State::Done(answer)));
        }
        for (kept, sent) in [(&mut tracking.status_url, &answer.status_url), (&mut tracking.location, &answer.location)]
        {
            *kept = sent.as_ref().map(|url| self.own_url(&asked, url)).transpose()?.map(String::from);
        }
        if tracking.status_url.is_some() || tracking.location.is_some() {
            return Ok(started(tracking, running("Accepted")));
        }
        if operation.long_running != LongRunning::ThenResource {
            if answer.status == 202 {
                let problem = "it accepts an operation without saying where its status is";
                return Err(answer.unexpected(&asked, problem));
            }
            return Ok(started(tracking, State::Done(answer)));
        }
        if answer.status == 202 {
            return Ok(started(tracking, running("Accepted")));
        }
        let status = Status::of(&answer, &asked)?;
        let state = status.provisioning_state().unwrap_or("Succeeded");
        match Word::of(state) {
            Word::Running => Ok(started(tracking, running(state))),
            Word::Succeeded => Ok(started(tracking, State::Done(answer))),
            word => Err(ended_badly(&asked, &word, state, &answer)),
        }
    }

    /// Takes up an operation by what was kept of it. Sends nothing.
    ///
    /// # Errors
    ///
    /// [`ArmError::BadRequest`] if it was kept by another version that knew an operation which this one does not,
    /// [`ArmError::ForeignUrl`] if it was kept by a client of another endpoint.
    pub fn resume(&self, tracking: Tracking) -> Result<Started, ArmError> {
        let Some(operation) = Operation::named(&tracking.operation) else {
            let problem = format!("there is no operation {:?}", clean(&tracking.operation));
            return Err(ArmError::BadRequest { what: "what was kept of an operation".to_owned(), problem });
        };
        let asked = Asked { operation: operation.name, id: tracking.id.clone() };
        for url in [&tracking.status_url, &tracking.location].into_iter().flatten() {
            self.own_url(&asked, url)?;
        }
        let state = State::Running { status: "Accepted".to_owned(), percent: None };
        Ok(Started { asked, operation, tracking, state, looks: 0, wait: Duration::ZERO })
    }

    /// Takes up an operation of which nothing was kept, by the resource that it makes or changes. Sends nothing. When
    /// it has failed, the resource rarely says why.
    ///
    /// # Errors
    ///
    /// [`ArmError::BadRequest`] for an operation that leaves no resource to look at.
    pub fn watch(&self, operation: &'static Operation, id: &ArmId) -> Result<Started, ArmError> {
        if operation.long_running != LongRunning::ThenResource {
            let what = operation.on(id).asked().to_string();
            return Err(ArmError::BadRequest { what, problem: "its end cannot be seen by its resource".to_owned() });
        }
        self.resume(Tracking {
            operation: operation.name.to_owned(),
            id: id.clone(),
            api_version: operation.api_version.to_owned(),
            status_url: None,
            location: None,
        })
    }

    /// Waits as long as the service asks, and looks how far the operation is.
    ///
    /// # Errors
    ///
    /// [`ArmError::OperationFailed`] and [`ArmError::OperationCancelled`] if it ended so; [`ArmError::NotFound`] if
    /// the service does not know it any more; otherwise whatever goes wrong on the way, after which it can be
    /// looked at again.
    pub async fn poll(&self, started: &mut Started, cancel: &CancellationToken) -> Result<Progress, ArmError> {
        if let State::Running { .. } = started.state {
            let waited = cancel.run_until_cancelled(tokio::time::sleep(started.wait)).await;
            waited.ok_or_else(|| ArmError::Cancelled { asked: started.asked.clone() })?;
            self.look(started, cancel).await?;
        }
        Ok(started.progress())
    }

    /// Waits until the operation has ended, and gives its result. What has no result gives `null`.
    ///
    /// # Errors
    ///
    /// Those of [`ArmClient::poll`], and [`ArmError::Timeout`] after [`PollPolicy::deadline`](super::PollPolicy):
    /// the operation goes on then, and can be waited for again.
    pub async fn wait<T: DeserializeOwned>(
        &self,
        started: &mut Started,
        cancel: &CancellationToken,
    ) -> Result<Answer<T>, ArmError> {
        let since = Instant::now();
        loop {
            let status = match &started.state {
                State::Done(answer) => return answer.clone().into_answer(&started.asked),
                State::Running { status, .. } => status.clone(),
            };
            let waited = since.elapsed();
            if waited + started.wait > self.poll.deadline {
                return Err(ArmError::Timeout { asked: started.asked.clone(), status, waited });
            }
            self.poll(started, cancel).await?;
        }
    }

    /// Begins an operation and waits until it has ended: for what needs no record of its own.
    ///
    /// # Errors
    ///
    /// Those of [`ArmClient::begin`] and [`ArmClient::wait`].
    pub async fn run<T: DeserializeOwned>(
        &self,
        request: &Request,
        cancel: &CancellationToken,
    ) -> Result<Answer<T>, ArmError> {
        let mut started = self.begin(request, cancel).await?;
        self.wait(&mut started, cancel).await
    }

    async fn look(&self, started: &mut Started, cancel: &CancellationToken) -> Result<(), ArmError> {
        started.looks += 1;
        started.wait = self.poll.wait(started.looks, None);
        let Tracking { status_url, location, .. } = &started.tracking;
        match (status_url, location) {
            (Some(url), _) => self.look_at_status(started, &url.clone(), cancel).await,
            (None, Some(url)) => self.look_at_location(started, &url.clone(), cancel).await,
            (None, None) => self.look_at_resource(started, cancel).await,
        }
    }

    async fn read(
        &self,
        started: &mut Started,
        url: Url,
        success: &'static [u16],
        cancel: &CancellationToken,
    ) -> Result<RawAnswer, ArmError> {
        let answer = self.exchange(Message::read(&started.asked, url, success), cancel).await?;
        started.wait = self.poll.wait(started.looks, answer.retry_after);
        Ok(answer)
    }

    async fn look_at_status(
        &self,
        started: &mut Started,
        url: &str,
        cancel: &CancellationToken,
    ) -> Result<(), ArmError> {
        let url = self.own_url(&started.asked, url)?;
        let answer = self.read(started, url, LOOK, cancel).await?;
        let status = Status::of(&answer, &started.asked)?;
        let word = match status.word().or_else(|| status.provisioning_state()) {
            Some(word) => word,
            None if answer.status == 202 => "Accepted",
            None => return Err(answer.unexpected(&started.asked, "the operation has no status")),
        };
        match Word::of(word) {
            Word::Running => {
                started.goes_on(word, status.percent());
                Ok(())
            }
            Word::Succeeded => {
                let output = status.output().map(Value::to_string).unwrap_or_default();
                self.finish(started, answer, output, cancel).await
            }
            end => Err(ended_badly(&started.asked, &end, word, &answer)),
        }
    }

    async fn look_at_location(
        &self,
        started: &mut Started,
        url: &str,
        cancel: &CancellationToken,
    ) -> Result<(), ArmError> {
        let url = self.own_url(&started.asked, url)?;
        let answer = self.read(started, url, LOOK, cancel).await.map_err(|error| match error {
            // The answer at the location is the operation's own.
            ArmError::Rejected { asked, service, .. } | ArmError::Conflict { asked, service } => {
                ArmError::OperationFailed { asked, service }
            }
            error => error,
        })?;
        if answer.status == 202 {
            if let Some(next) = &answer.location {
                started.tracking.location = Some(self.own_url(&started.asked, next)?.into());
            }
            started.goes_on("Accepted", None);
            return Ok(());
        }
        let says_nothing = answer.body.trim_ascii().is_empty();
        match started.operation.long_running {
            LongRunning::ThenResource if says_nothing => self.read_resource(started, cancel).await,
            LongRunning::StatusOnly => {
                started.state = State::Done(without_body(answer));
                Ok(())
            }
            _ => {
                started.state = State::Done(answer);
                Ok(())
            }
        }
    }

    async fn look_at_resource(&self, started: &mut Started, cancel: &CancellationToken) -> Result<(), ArmError> {
        self.read_resource(started, cancel).await?;
        let State::Done(answer) = &started.state else { return Ok(()) };
        let status = Status::of(answer, &started.asked)?;
        let state = status.provisioning_state().unwrap_or("Succeeded").to_owned();
        match Word::of(&state) {
            Word::Succeeded => Ok(()),
            Word::Running => {
                started.goes_on(&state, None);
                Ok(())
            }
            end => Err(ended_badly(&started.asked, &end, &state, answer)),
        }
    }

    /// The result of an operation that has succeeded by its status.
    async fn finish(
        &self,
        started: &mut Started,
        status: RawAnswer,
        output: String,
        cancel: &CancellationToken,
    ) -> Result<(), ArmError> {
        match (started.operation.long_running, &started.tracking.location) {
            (LongRunning::ThenResource, _) => self.read_resource(started, cancel).await,
            (LongRunning::ThenLocation, Some(url)) => {
                let url = self.own_url(&started.asked, url)?;
                let answer = self.read(started, url, LOOK, cancel).await?;
                if answer.status == 202 {
                    started.goes_on("Accepted", None);
                } else {
                    started.state = State::Done(answer);
                }
                Ok(())
            }
            // Where there is no location, some services put the result into the status.
            (LongRunning::ThenLocation, None) => {
                started.state = State::Done(RawAnswer { body: output.into(), ..status });
                Ok(())
            }
            (LongRunning::StatusOnly | LongRunning::No, _) => {
                started.state = State::Done(without_body(status));
                Ok(())
            }
        }
    }

    async fn read_resource(&self, started: &mut Started, cancel: &CancellationToken) -> Result<(), ArmError> {
        let version = &started.tracking.api_version;
        let url = resource_url(&self.endpoint, &started.asked, "", version, std::iter::empty())?;
        let mut look = 0;
        loop {
            match self.read(started, url.clone(), &[200], cancel).await {
                Ok(answer) => {
                    started.state = State::Done(answer);
                    return Ok(());
                }
                Err(ArmError::NotFound { .. }) if look < NOT_YET => {
                    look += 1;
                    let wait = self.poll.wait(look, None);
                    let waited = cancel.run_until_cancelled(tokio::time::sleep(wait)).await;
                    waited.ok_or_else(|| ArmError::Cancelled { asked: started.asked.clone() })?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn without_body(answer: RawAnswer) -> RawAnswer {
    RawAnswer { body: Bytes::new(), ..answer }
}

/// The error that the end of an operation is, with what the service says of it.
fn ended_badly(asked: &Asked, word: &Word, status: &str, answer: &RawAnswer) -> ArmError {
    let body: Value = answer.read(asked).unwrap_or_default();
    let said = ServiceError::within(&body["error"]).or_else(|| ServiceError::within(&body["properties"]["error"]));
    let mut service = said.unwrap_or_else(|| ServiceError {
        code: clean(status),
        message: "the service gives no reason".to_owned(),
        ..ServiceError::default()
    });
    service.request_id = answer.request_id.as_deref().map(clean);
    let (asked, service) = (asked.clone(), Box::new(service));
    match word {
        Word::Cancelled => ArmError::OperationCancelled { asked, service },
        _ => ArmError::OperationFailed { asked, service },
    }
}
