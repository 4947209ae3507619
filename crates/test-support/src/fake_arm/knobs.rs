//! What a test turns: how long things take, and who approves.

use std::time::Duration;

/// How the fake behaves; changed at any time with [`FakeArm::turn`](super::FakeArm::turn).
#[derive(Clone, Debug)]
pub struct Knobs {
    /// How many ticks an operation takes: so many polls answer `InProgress`. At least 1.
    pub polls_before_done: u32,
    /// What `Retry-After` of operations says; whole seconds.
    pub retry_after: Duration,
    /// Who approves connections of private endpoints that were not asked for by hand.
    pub approval: Approval,
    /// How many grants to a new identity are refused with `PrincipalNotFound`: the directory is slow.
    pub principal_delay: u32,
    /// How many reads a new grant stays without effect.
    pub grant_delay: u32,
    /// What the caller's roles allow, and what each takes away again: `actions` and `notActions`.
    pub caller_roles: Vec<(Vec<&'static str>, Vec<&'static str>)>,
    /// How many ticks the first pass takes after an item is enabled. At least 1.
    pub seeding_ticks: u32,
    /// How many resources a page of a list holds.
    pub page_size: usize,
    /// Whether Site Recovery sends `Location` besides `Azure-AsyncOperation`.
    pub site_recovery_location: bool,
    /// The region that operations are told of in.
    pub location: String,
    /// Where a disk's shared access signature points: the URL of a container that takes page blobs; one that does
    /// not exist where none is given.
    pub upload_to: Option<String>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            polls_before_done: 1,
            retry_after: Duration::ZERO,
            approval: Approval::Automatic,
            principal_delay: 0,
            grant_delay: 0,
            // Owner.
            caller_roles: vec![(vec!["*"], Vec::new())],
            seeding_ticks: 2,
            page_size: 100,
            site_recovery_location: false,
            location: "centralus".into(),
            upload_to: None,
        }
    }
}

/// Who approves the connection of a private endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// The creator owns the target: at once.
    Automatic,
    /// Somebody else, later.
    Pending,
}
