//! What a person, or with `--json` a program, sees.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use libmigrate::progress::{Counts, Event, EventKind};
use libmigrate::{CancellationToken, Engine, Error, RecoveryPoint, VerifyReport};
use tokio::task::JoinHandle;

use crate::options::Options;

/// Follows an engine's events until finished.
pub(crate) struct Report {
    json: bool,
    bar: ProgressBar,
    done: CancellationToken,
    follower: JoinHandle<()>,
}

impl Report {
    /// Starts to follow `engine` from its next event on.
    pub(crate) fn start(options: &Options, engine: &Engine) -> Self {
        let bar = if options.json { ProgressBar::hidden() } else { ProgressBar::new(0) };
        let style = "{bar:40} {percent:>3} %  {binary_bytes:>10} of {binary_total_bytes}  {msg}";
        bar.set_style(ProgressStyle::with_template(style).expect("the template is right"));
        let done = CancellationToken::new();
        let mut events = engine.events().after(0);
        let (shown, json, ended) = (bar.clone(), options.json, done.clone());
        let follower = tokio::spawn(async move {
            while let Some(event) = ended.run_until_cancelled(events.next()).await {
                show(&event, &shown, json);
            }
            while let Some(event) = events.try_next() {
                show(&event, &shown, json);
            }
        });
        Self { json, bar, done, follower }
    }

    /// Shows what is left to show.
    pub(crate) async fn finish(self) {
        self.done.cancel();
        let _ = self.follower.await;
        self.bar.finish_and_clear();
    }

    fn say(&self, line: &str) {
        say(&self.bar, line);
    }

    /// The sums of a sealed cycle.
    pub(crate) fn print_point(&self, point: &RecoveryPoint) {
        if self.json {
            println!("{}", serde_json::json!({ "type": "recovery_point", "recovery_point": point }));
            return;
        }
        let Counts { read, hole, unlisted, sent, cleared, skipped, hole_cleared, puts, clears } = point.counts;
        let line = |name: &str, bytes: u64, note: &str| {
            self.say(&format!("  {name:<22}{:>12}  {note}", HumanBytes(bytes).to_string()));
        };
        self.say(&format!("recovery point {} ({:?} cycle) is sealed", point.cycle, point.kind));
        line("disk", point.disk_bytes, "");
        line("read", read, "");
        line("not read: holes", hole, "known to be zero");
        line("not read: unlisted", unlisted, "unchanged, says the change list");
        line("sent", sent, &format!("in {puts} puts"));
        line("cleared", cleared + hole_cleared, &format!("in {clears} clears"));
        line("skipped", skipped, "the target held it already");
        self.say(&format!("  digest root           {}", point.root));
        if let Some(reason) = &point.change_list_ignored {
            self.say(&format!("  the change list was not used: {reason}"));
        }
    }

    /// The outcome of a verification.
    pub(crate) fn print_verified(&self, report: &VerifyReport) {
        if self.json {
            println!("{}", serde_json::json!({ "type": "verified", "report": report }));
        } else if report.is_equal() {
            let VerifyReport { compared, blocks, .. } = report;
            self.say(&format!("verified: {compared} of {blocks} blocks compared with the source, all equal"));
            if let Some(seed) = report.sample_seed {
                let missed = report.may_miss_damage_of(1 << 20);
                self.say(&format!(
                    "  damage of 1 MiB in one place is missed with a probability of {missed:.3} (seed {seed})"
                ));
            }
        } else {
            self.say(&format!("verification FAILED: {} blocks differ", report.mismatched));
            for mismatch in report.mismatches.iter().take(10) {
                self.say(&format!("  offset {}, {} bytes", mismatch.offset, mismatch.len));
            }
        }
    }
}

/// Prints a line above the bar, or where there is none.
fn say(bar: &ProgressBar, line: &str) {
    bar.suspend(|| println!("{line}"));
}

fn show(event: &Arc<Event>, bar: &ProgressBar, json: bool) {
    if json {
        println!("{}", serde_json::to_string(&**event).expect("events are plain data"));
        return;
    }
    match &event.kind {
        EventKind::Progress { counts, disk, bytes_per_second, seconds_left, .. } => {
            bar.set_length(*disk);
            bar.set_position(counts.done());
            let left =
                seconds_left.map_or_else(String::new, |s| format!(", {} s left", Duration::from_secs(s).as_secs()));
            bar.set_message(format!("{}/s, {} sent{left}", HumanBytes(*bytes_per_second), HumanBytes(counts.sent)));
        }
        EventKind::CycleStarted { cycle, kind, resumed, .. } => {
            let resumed = match resumed {
                0 => String::new(),
                bytes => format!(", going on after {}", HumanBytes(*bytes)),
            };
            say(bar, &format!("cycle {cycle} ({kind:?}){resumed}"));
        }
        EventKind::MapRebuilt { reason, read_back } => {
            say(bar, &format!("digest map rebuilt ({reason}): {} read back", HumanBytes(*read_back)));
        }
        EventKind::Retrying { error, failures, wait_ms } => {
            say(bar, &format!("{error}; failure {failures}, again in {wait_ms} ms"));
        }
        EventKind::PublicRouteAllowed => say(bar, "Private Link is not required: bytes may go over the internet"),
        EventKind::Blackout { until } => {
            let until = until.map_or_else(|| "the schedule is changed".to_owned(), |time| time.to_string());
            say(bar, &format!("blackout: nothing is sent until {until}"));
        }
        EventKind::RequestsInFlight { limit, most } => {
            say(bar, &format!("the service cannot keep up, or can again: {limit} of {most} requests at once"));
        }
        _ => {}
    }
}

/// The error with its code, its causes and what to do.
pub(crate) fn print_error(options: &Options, error: &anyhow::Error) {
    let ours = error.downcast_ref::<Error>();
    let causes = error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    if options.json {
        let (code, remedy) = (ours.map(Error::code), ours.map(Error::remedy));
        println!("{}", serde_json::json!({ "type": "error", "code": code, "error": causes, "remedy": remedy }));
        return;
    }
    eprintln!("error: {causes}");
    if let Some(ours) = ours {
        eprintln!("  code:   {}\n  remedy: {}", ours.code(), ours.remedy());
    }
    if ours.is_some_and(Error::is_retryable) {
        eprintln!("  resume: run the same command again");
    }
}
