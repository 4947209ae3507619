//! The control plane's pure half: JSON in, JSON out.

use libmigrate::control::lifecycle;
use libmigrate::control::plan::Plan;
use serde::Deserialize;

use crate::failure::{CallError, Failure};
use crate::settings::{parse, text};

/// Asks the control plane's model one thing. Pure: nothing is sent, and the same input gives the same answer.
///
/// `input` is a JSON object and the answer is JSON.
///
/// | function | input | answer |
/// |---|---|---|
/// | `lifecycle` | | the state machine: states, verbs, guards, motions |
/// | `markdown` | `plan` | a plan as a text for a change request |
///
/// `call.argument` for another function, or input that is not as described.
pub fn control(function: &str, input: &str) -> Result<String, Failure> {
    match function {
        "lifecycle" => {
            let Nothing {} = parse("lifecycle", input)?;
            Ok(lifecycle::to_json())
        }
        "markdown" => {
            let Made { plan } = parse("markdown", input)?;
            Ok(text(&plan.to_markdown()))
        }
        _ => Err(CallError::argument("function", "there is none of that name").into()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    plan: Plan,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_state_machine_and_a_plan_are_told() {
        let states: Value = serde_json::from_str(&control("lifecycle", "").unwrap()).unwrap();
        assert!(states.is_object());
        let plan = json!({ "plan": { "scenario": "vmware_agentless", "settings": "", "steps": [] } });
        let markdown: String = serde_json::from_str(&control("markdown", &plan.to_string()).unwrap()).unwrap();
        assert!(markdown.starts_with('#'), "{markdown}");
    }

    #[test]
    fn another_function_or_input_is_refused() {
        let refused = |function, input| control(function, input).unwrap_err();
        assert_eq!(refused("lifecycle", r#"{"a": 1}"#).code, "call.argument");
        assert_eq!(refused("plans", "").code, "call.argument");
        assert!(refused("markdown", r#"{"plan": {"steps": 1}}"#).message.starts_with("markdown.plan"));
    }
}
