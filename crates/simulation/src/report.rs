//! What a run came to, in figures.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

use crate::faults::Kind;

/// Sums over one seed or many.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Seeds run.
    pub seeds: u64,
    /// Steps that anybody but the process itself could see.
    pub steps: u64,
    /// Processes that were started.
    pub processes: u64,
    /// Processes killed.
    pub kills: u64,
    /// Machines that lost their power.
    pub power_losses: u64,
    /// Openings by another machine than the last, or without its state.
    pub take_overs: u64,
    /// Processes cut off the network for a while.
    pub partitions: u64,
    /// Writes refused because the local disk was full.
    pub full_disks: u64,
    /// Flushes of the target that failed for good.
    pub failed_flushes: u64,
    /// Bits flipped in local state.
    pub flipped_bits: u64,
    /// Requests with a fate, by what went wrong.
    pub(crate) faults: BTreeMap<Kind, u64>,
    /// Bytes put, retries included.
    pub bytes_put: u64,
    /// Bytes of blocks in doubt that were sent although the target held them.
    pub bytes_sent_again: u64,
    /// Times that a checkpoint was held against its target.
    pub checks: u64,
    /// Cycles sealed.
    pub sealed: u64,
    /// Recovery points held against the source's bytes at their moment.
    pub points_compared: u64,
    /// Simulated time.
    pub simulated_seconds: u64,
    /// Seeds on which something did not hold.
    pub wrong: u64,
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.processes += other.processes;
        self.kills += other.kills;
        self.power_losses += other.power_losses;
        self.take_overs += other.take_overs;
        self.partitions += other.partitions;
        self.full_disks += other.full_disks;
        self.failed_flushes += other.failed_flushes;
        self.flipped_bits += other.flipped_bits;
        for (kind, count) in other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        self.bytes_put += other.bytes_put;
        self.bytes_sent_again += other.bytes_sent_again;
        self.checks += other.checks;
        self.sealed += other.sealed;
        self.points_compared += other.points_compared;
        self.simulated_seconds += other.simulated_seconds;
        self.wrong += other.wrong;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |what: &str, count: u64| writeln!(f, "{what:<52}{count:>14}");
        line("seeds", self.seeds)?;
        line("steps", self.steps)?;
        line("simulated hours", self.simulated_seconds / 3600)?;
        line("processes", self.processes)?;
        line("  killed", self.kills)?;
        line("  lost their power", self.power_losses)?;
        line("  took over", self.take_overs)?;
        line("  cut off for a while", self.partitions)?;
        line("local writes refused: disk full", self.full_disks)?;
        line("flushes of the target that failed for good", self.failed_flushes)?;
        line("bits flipped in local state", self.flipped_bits)?;
        for (kind, count) in &self.faults {
            line(
                match kind {
                    Kind::None => continue,
                    Kind::LostBefore => "requests lost before the service acted",
                    Kind::LostAfter => "answers lost after the service acted",
                    Kind::Refused => "requests answered 500 or 503, not acted on",
                    Kind::ActsLate => "requests answered 500 and acted on later",
                    Kind::Twice => "requests acted on twice, late",
                    Kind::HeldUp => "requests of a process cut off, held up",
                    Kind::CutOff => "requests of a process cut off, lost",
                },
                *count,
            )?;
        }
        line("cycles sealed", self.sealed)?;
        line("recovery points compared with the source", self.points_compared)?;
        line("checkpoints held against the target", self.checks)?;
        line("bytes put", self.bytes_put)?;
        line("bytes sent again after a crash", self.bytes_sent_again)?;
        line("seeds with a wrong replica or a broken promise", self.wrong)
    }
}
