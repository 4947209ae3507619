//! What was asked of the server: counters for benches, a journal for tests.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Instant;

use serde::Serialize;

use super::refusal::Refusal;
use super::request::{Call, Op};

/// Counters since the start or the last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Requests by operation.
    pub requests: BTreeMap<Op, u64>,
    /// Bytes of all request bodies.
    pub received_bytes: u64,
    /// Bytes of the Put Pages that were carried out.
    pub put_bytes: u64,
    /// The longest Put Page that was carried out.
    pub largest_put: u64,
    /// Bytes named by the Clear Pages that were carried out.
    pub cleared_bytes: u64,
    /// Bytes of the answers to Get Blob.
    pub read_bytes: u64,
    /// Answers with a status from 400 to 499.
    pub client_errors: u64,
    /// Answers with a status from 500 on.
    pub server_errors: u64,
    /// Refusals by code.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Requests whose connection was closed without a whole answer.
    pub dropped: u64,
    /// Connections that were accepted.
    pub connections: u64,
}

impl Stats {
    /// How many requests of this kind came.
    pub fn count(&self, op: Op) -> u64 {
        self.requests.get(&op).copied().unwrap_or(0)
    }

    /// How many requests came.
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }
}

/// One request, as the journal remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// What was asked.
    pub op: Op,
    /// `container/blob`.
    pub blob: String,
    /// The bytes that were named.
    pub range: Option<Range<u64>>,
    /// The sequence number that the request demanded of the blob.
    pub sequence: Option<i64>,
    /// The lease id that the request named.
    pub lease: Option<String>,
    /// How it ended on the server.
    pub status: u16,
    /// Why, if it was refused.
    pub code: Option<&'static str>,
    /// Whether the client was told.
    pub answered: bool,
    /// When it had come, body and all, and was about to be carried out.
    pub began: Instant,
    /// When it had been carried out or refused.
    pub ended: Instant,
}

/// How a request ended.
pub(crate) struct Ending<'a> {
    pub(crate) call: &'a Call,
    pub(crate) began: Instant,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) result: Result<u16, Refusal>,
    pub(crate) answered: bool,
}

#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) stats: Stats,
    pub(crate) journal: VecDeque<JournalEntry>,
    /// How many entries the journal keeps.
    pub(crate) journal_limit: usize,
}

impl Recorder {
    pub(crate) fn new(journal_limit: usize) -> Self {
        Self { stats: Stats::default(), journal: VecDeque::new(), journal_limit }
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.journal_limit);
    }

    pub(crate) fn record(&mut self, ending: &Ending<'_>) {
        let Ending { call, received, sent, result, answered, .. } = *ending;
        let status = result.unwrap_or_else(|refusal| refusal.status);
        let stats = &mut self.stats;
        *stats.requests.entry(call.op).or_default() += 1;
        stats.received_bytes += received;
        stats.dropped += u64::from(!answered);
        match call.op {
            Op::PutPage if result.is_ok() => {
                stats.put_bytes += received;
                stats.largest_put = stats.largest_put.max(received);
            }
            Op::ClearPage if result.is_ok() => {
                stats.cleared_bytes += named_range(call).map_or(0, |range| range.end - range.start);
            }
            Op::GetBlob => stats.read_bytes += sent,
            _ => {}
        }
        if let Err(refusal) = result {
            *stats.refusals.entry(refusal.code).or_default() += 1;
            stats.client_errors += u64::from((400..500).contains(&status));
            stats.server_errors += u64::from(status >= 500);
        }
        self.note(ending);
    }

    /// Writes it down without counting it: a late effect of a request that was counted when it came.
    pub(crate) fn note(&mut self, ending: &Ending<'_>) {
        let Ending { call, began, result, answered, .. } = *ending;
        if self.journal_limit == 0 {
            return;
        }
        if self.journal.len() == self.journal_limit {
            self.journal.pop_front();
        }
        self.journal.push_back(JournalEntry {
            op: call.op,
            blob: format!("{}/{}", call.container, call.blob),
            range: named_range(call),
            sequence: call.number("x-ms-if-sequence-number-eq").ok().flatten(),
            lease: call.header("x-ms-lease-id").map(str::to_owned),
            status: result.unwrap_or_else(|refusal| refusal.status),
            code: result.err().map(|refusal| refusal.code),
            answered,
            began,
            ended: Instant::now(),
        });
    }
}

fn named_range(call: &Call) -> Option<Range<u64>> {
    let range = call.range().ok()??;
    Some(range.start..range.last?.checked_add(1)?)
}
