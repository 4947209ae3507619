//! Lease Blob (Microsoft Learn, REST reference).

use super::super::answer::Answer;
use super::super::blob::{Access, check_conditions};
use super::super::lease::Term;
use super::super::refusal::{self, Refusal};
use super::super::request::Op;
use super::Step;

impl Step<'_> {
    pub(super) fn lease(&mut self) -> Result<Answer, Refusal> {
        let (call, now) = (self.call, self.now);
        let blob = self.account.blob_mut(call)?;
        check_conditions(call, Some(blob.now.etag), Access::Write)?;
        let lease = &mut blob.lease;
        let answer = match call.op {
            Op::AcquireLease => {
                let seconds = call.required_number("x-ms-lease-duration")?;
                let term = Term::from_seconds(seconds).ok_or(refusal::INVALID_HEADER_VALUE)?;
                let id = lease.acquire(call.id("x-ms-proposed-lease-id")?, term, now)?;
                Answer::new(201).with("x-ms-lease-id", id.to_string())
            }
            Op::RenewLease => {
                let id = call.required_id("x-ms-lease-id")?;
                lease.renew(id, now)?;
                Answer::new(200).with("x-ms-lease-id", id.to_string())
            }
            Op::ChangeLease => {
                let proposed = call.required_id("x-ms-proposed-lease-id")?;
                lease.change(call.required_id("x-ms-lease-id")?, proposed, now)?;
                Answer::new(200).with("x-ms-lease-id", proposed.to_string())
            }
            Op::ReleaseLease => {
                lease.release(call.required_id("x-ms-lease-id")?, now)?;
                Answer::new(200)
            }
            _ => {
                let period = call.number::<i64>("x-ms-lease-break-period")?;
                if period.is_some_and(|period| !(0..=60).contains(&period)) {
                    return Err(refusal::INVALID_HEADER_VALUE);
                }
                let left = lease.break_it(period, now)?;
                Answer::new(202).with("x-ms-lease-time", left.to_string())
            }
        };
        Ok(answer.with_marks(&blob.now))
    }
}
