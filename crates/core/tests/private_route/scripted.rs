//! A resolver that answers what it is told.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use libmigrate::PageTarget;
use libmigrate::private_link::{Answer, HostName, LookupFailure, NameLookup, Origin, WhyNot};
use libmigrate::target::TargetError;

/// What one look finds.
#[derive(Clone, Debug)]
pub(crate) struct Line(Result<Answer, LookupFailure>);

/// An answer that is good for no time at all.
pub(crate) fn resolves_to(addresses: &[IpAddr]) -> Line {
    let (chain, valid_for) = (Vec::new(), Duration::ZERO);
    Line(Ok(Answer { origin: Origin::Dns, chain, addresses: addresses.to_vec(), valid_for }))
}

pub(crate) fn no_answer() -> Line {
    Line(Err(LookupFailure { why: WhyNot::NoAnswer, chain: Vec::new(), words: "no answer".to_owned() }))
}

impl Line {
    pub(crate) fn good_for(self, valid_for: Duration) -> Self {
        Self(self.0.map(|answer| Answer { valid_for, ..answer }))
    }
}

/// Answers in turn; the last one from then on.
#[derive(Debug)]
pub(crate) struct Scripted {
    lines: Vec<Line>,
    looks: AtomicUsize,
}

impl Scripted {
    pub(crate) fn always(line: Line) -> Arc<Self> {
        Self::in_turn([line])
    }

    pub(crate) fn in_turn(lines: impl IntoIterator<Item = Line>) -> Arc<Self> {
        Arc::new(Self { lines: lines.into_iter().collect(), looks: AtomicUsize::new(0) })
    }

    pub(crate) fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }
}

#[async_trait::async_trait]
impl NameLookup for Scripted {
    async fn look_up(&self, _: &HostName) -> Result<Answer, LookupFailure> {
        let turn = self.looks.fetch_add(1, Ordering::SeqCst);
        self.lines[turn.min(self.lines.len() - 1)].0.clone()
    }
}

/// Asks again, for ten seconds at most.
pub(crate) async fn until<F: Future<Output = bool>>(mut ask: impl FnMut() -> F) {
    let asked = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asked).await.expect("it happens within ten seconds");
}

/// The error that a target's requests end with sooner or later, apart from connections that close.
pub(crate) async fn until_refused(target: &dyn PageTarget) -> TargetError {
    let asked = async {
        loop {
            match target.state().await {
                Err(TargetError::Transient { reason, .. }) if !reason.contains("cannot be resolved") => {}
                Err(error) => return error,
                Ok(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asked).await.expect("it is refused within ten seconds")
}
