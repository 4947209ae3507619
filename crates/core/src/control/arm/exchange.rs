//! One request until it is answered: attempts, the waits between them, and the budget.

use std::time::Duration;

use azure_core::error::{Error as AzureError, ErrorKind as AzureErrorKind};
use azure_core::http::headers::{ACCEPT, CONTENT_TYPE};
use azure_core::http::{Context, Method, PipelineStreamOptions, Request as HttpRequest};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::answer::{RawAnswer, no_answer};
use super::client::ArmClient;
use super::error::{ArmError, Asked};
use super::request::Request;
use crate::error::{Diagnose, ErrorKind};

/// The longest answer that is read. A page of a list stays far below.
const MAX_ANSWER: usize = 16 << 20;

/// The longest URL that is followed.
const MAX_URL: usize = 16 << 10;

/// One request as it is sent, as often as it is sent.
pub(super) struct Message {
    pub(super) asked: Asked,
    request: HttpRequest,
    success: &'static [u16],
    repeatable: bool,
}

impl Message {
    /// Of this request.
    pub(super) fn of(request: &Request, endpoint: &Url) -> Result<Self, ArmError> {
        let mut message = Self {
            asked: request.asked(),
            request: HttpRequest::new(request.url(endpoint)?, request.operation().method),
            success: request.operation().success,
            repeatable: request.is_repeatable(),
        };
        if let Some(body) = request.body() {
            message.request.insert_header(CONTENT_TYPE, "application/json");
            message.request.set_body(body.clone());
        }
        if let Some((name, value)) = request.condition() {
            message.request.insert_header(name, value.to_owned());
        }
        Ok(message)
    }

    /// To read what is at `url`, on behalf of what was asked.
    pub(super) fn read(asked: &Asked, url: Url, success: &'static [u16]) -> Self {
        Self { asked: asked.clone(), request: HttpRequest::new(url, Method::Get), success, repeatable: true }
    }
}

impl ArmClient {
    /// Sends until there is an answer of success, an error that will not pass, the end of the budget, or the
    /// caller's cancellation.
    pub(super) async fn exchange(
        &self,
        mut message: Message,
        cancel: &CancellationToken,
    ) -> Result<RawAnswer, ArmError> {
        message.request.insert_header(ACCEPT, "application/json");
        let answer = cancel.run_until_cancelled(self.persist(&message)).await;
        answer.unwrap_or_else(|| Err(ArmError::Cancelled { asked: message.asked }))
    }

    async fn persist(&self, message: &Message) -> Result<RawAnswer, ArmError> {
        let (mut attempt, mut first_failure) = (0, None);
        loop {
            attempt += 1;
            let (error, asked_to_wait) = match self.attempt(message, attempt).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let wait = self.retry.wait_after(attempt).max(asked_to_wait.unwrap_or_default());
            let since: Instant = *first_failure.get_or_insert_with(Instant::now);
            if !may_pass(&error) || since.elapsed() + wait > self.retry.budget {
                return Err(error);
            }
            let wait_ms = wait.as_millis() as u64;
            tracing::debug!(operation = message.asked.operation, attempt, wait_ms, %error, "asked again after a wait");
            tokio::time::sleep(wait).await;
        }
    }

    /// One attempt; with an error, how long the service asks to wait.
    async fn attempt(&self, message: &Message, attempt: u32) -> Result<RawAnswer, (ArmError, Option<Duration>)> {
        let Message { asked, request, success, repeatable } = message;
        let options = PipelineStreamOptions { skip_checks: true, ..PipelineStreamOptions::default() };
        let answer = async {
            let answer = self.pipeline.stream(&Context::new(), &mut request.clone(), Some(options)).await?;
            let (status, headers, mut incoming) = answer.deconstruct();
            let mut body = BytesMut::new();
            while let Some(piece) = incoming.next().await {
                let piece: Bytes = piece?;
                if body.len() + piece.len() > MAX_ANSWER {
                    let problem = format!("it is longer than {MAX_ANSWER} bytes");
                    return Err(AzureError::with_message(AzureErrorKind::DataConversion, problem));
                }
                body.extend_from_slice(&piece);
            }
            Ok(RawAnswer::new(status.into(), &headers, body.freeze()))
        };
        match answer.await {
            Ok(answer) if success.contains(&answer.status) => Ok(answer),
            Ok(answer) => Err((answer.refusal(asked, attempt, *repeatable), answer.retry_after)),
            Err(error) => Err((no_answer(asked, attempt, *repeatable, &error), None)),
        }
    }

    /// A URL that the service sent, if it is on the host that was asked.
    pub(super) fn own_url(&self, asked: &Asked, text: &str) -> Result<Url, ArmError> {
        let url = self.endpoint.join(text).ok().filter(|_| text.len() <= MAX_URL);
        let Some(url) = url else {
            let problem = "it leads to what is no URL".to_owned();
            return Err(ArmError::UnexpectedAnswer { asked: asked.clone(), problem });
        };
        let has_user = !url.username().is_empty() || url.password().is_some();
        if url.origin() != self.endpoint.origin() || has_user {
            let host = url.origin().ascii_serialization().chars().take(300).collect();
            return Err(ArmError::ForeignUrl { asked: asked.clone(), host });
        }
        Ok(url)
    }
}

/// Whether the same request may fare better later, and may be sent again.
fn may_pass(error: &ArmError) -> bool {
    match error {
        ArmError::Busy { .. }
        | ArmError::Throttled { .. }
        | ArmError::Unavailable { .. }
        | ArmError::Unreachable { .. } => true,
        ArmError::Route(route) => route.kind() == ErrorKind::Retryable,
        _ => false,
    }
}
