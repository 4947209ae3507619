//! May this be asked of the service now? The service's own word, over the table's.

use super::check::{DRIFT, UNKNOWN_STATE};
use super::guard::{Listed, allowed, check_choice};
use super::refusal::Refusal;
use super::state::{PhaseKind, State};
use super::verb::{Choice, Verb};
use super::wire::{CALLS, Call, Item, call};
use crate::finding::{Evidence, Finding};

/// What is said of a verb for one item.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The verb.
    pub verb: Verb,
    /// Whether it may be asked for.
    pub verdict: Result<(), Refusal>,
    /// What somebody should look at, whatever the verdict.
    pub findings: Vec<Finding>,
}

/// Whether a verb may be asked of the service for an item as the service has it.
///
/// Where the item lists `allowedOperations` and the service has a word for the verb, that word decides; where the
/// table says otherwise, that is a finding (`lifecycle.drift`), never a reason to try again. Where the service
/// says nothing (enable, update, the resync of protected items), the table decides.
///
/// For `VMware`, `DisableMigration` is both removal and completion: it is the latter once the machine is in Azure.
///
/// The verdict fails as [`allowed`] does, and with [`Refusal::Service`].
///
/// ```
/// use libmigrate::control::lifecycle::{self, Verb, wire::Item};
///
/// let item = Item::Vmware(serde_json::from_str(r#"{
///     "name": "web01",
///     "properties": { "migrationState": "Replicating", "allowedOperations": ["TestMigrate", "DisableMigration"] }
/// }"#)?);
/// let test = lifecycle::decide(&item, Verb::TestMigrate);
/// assert!(test.verdict.is_ok() && test.findings.is_empty());
///
/// // The table would pause it, the service will not now: the service's word wins, and the difference is told.
/// let pause = lifecycle::decide(&item, Verb::Pause);
/// assert!(pause.verdict.is_err());
/// assert_eq!(pause.findings[0].code(), "lifecycle.drift");
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn decide(item: &Item, verb: Verb) -> Decision {
    let state = item.state();
    let local = allowed(&state, verb, item.scenario());
    let mut findings = Vec::new();
    if let Some(said) = state.unclear() {
        findings
            .push(UNKNOWN_STATE.found(item.subject(), format!("the service says {said:?}, which is not understood")));
    }
    let verdict = match (service_word(item, &state, verb), local) {
        (Some(word), Ok(row)) if word.allows() => {
            findings.extend(row.concern.map(|check| check.found(item.subject(), format!("{verb}: {}", row.why))));
            Ok(())
        }
        (Some(word), Ok(_)) => {
            findings.push(word.drift(item, format!("{verb} should be allowed in {state}, and the service refuses it")));
            Err(word.refusal(verb))
        }
        (Some(word), Err(refusal)) if word.allows() => {
            if state.unclear().is_none() {
                findings.push(word.drift(item, format!("the service allows what should not be allowed: {refusal}")));
            }
            Ok(())
        }
        (None, Ok(row)) => {
            findings.extend(row.concern.map(|check| check.found(item.subject(), format!("{verb}: {}", row.why))));
            Ok(())
        }
        (_, Err(refusal)) => Err(refusal),
    };
    Decision { verb, verdict, findings }
}

/// As [`decide`], for a verb with a choice.
///
/// The service has no word for choices, so that the table's is the last. The verdict fails as [`decide`]'s does,
/// and with [`Refusal::Choice`].
pub fn decide_with(item: &Item, choice: Choice) -> Decision {
    let decision = decide(item, choice.verb());
    let verdict = decision.verdict.and_then(|()| check_choice(&item.state(), choice, item.scenario()));
    Decision { verdict, ..decision }
}

/// What the service says of a verb.
struct Word<'a> {
    operation: &'static str,
    listed: Vec<&'a str>,
}

impl Word<'_> {
    fn allows(&self) -> bool {
        self.listed.contains(&self.operation)
    }

    fn refusal(&self, verb: Verb) -> Refusal {
        let listed = self.listed.iter().map(|&word| word.to_owned()).collect();
        Refusal::Service { verb, operation: self.operation, listed }
    }

    fn drift(&self, item: &Item, message: String) -> Finding {
        let words = format!("allowedOperations: {}", Listed(&self.listed));
        DRIFT.found(item.subject(), message).seen([Evidence::Said { by: "the service".to_owned(), words }])
    }
}

/// The service's word for a verb, where it has one.
fn service_word<'a>(item: &'a Item, state: &State, verb: Verb) -> Option<Word<'a>> {
    let call = call(item.scenario(), verb)?;
    let operation = call.allowed_as.filter(|_| speaks_of(call, state))?;
    Some(Word { operation, listed: item.allowed_operations()? })
}

/// Whether the word of a call is about its verb in this state, where another verb has the same word.
fn speaks_of(row: &Call, state: &State) -> bool {
    let shared = CALLS
        .iter()
        .any(|other| other.scenario == row.scenario && other.verb != row.verb && other.allowed_as == row.allowed_as);
    match (shared, row.verb, state.phase().kind()) {
        (false, ..) | (true, _, PhaseKind::Unknown) => true,
        (true, Verb::Complete, phase) => phase == PhaseKind::Migrated,
        (true, _, phase) => phase != PhaseKind::Migrated,
    }
}
