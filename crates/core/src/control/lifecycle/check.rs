//! Everything that a look at the lifecycle can find, as a table.

use super::source::{OURS, SPECIFICATION, VMWARE};
use crate::finding::checks;

checks! {
    DRIFT: "lifecycle.drift", Warning, SPECIFICATION,
        "nothing has to be done: the service's word was followed; report the difference, so that the table learns it";
    UNKNOWN_STATE: "lifecycle.unknown_state", Warning, OURS,
        "look at the machine in the portal; only what the service lists as allowed can be done until it says something known";
    TEST_NOT_CLEANED_UP: "lifecycle.test_not_cleaned_up", Warning, VMWARE,
        "clean the test migration up first: its machine stays in the test network, and is paid for, until somebody removes it";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Severity;

    #[test]
    fn codes_are_unique_and_whatever_is_wrong_has_a_remedy() {
        let codes: std::collections::BTreeSet<_> = ALL.iter().map(|check| check.code).collect();
        assert_eq!(codes.len(), ALL.len());
        assert!(ALL.iter().all(|check| check.severity == Severity::Info || check.remedy.len() > 20));
    }
}
