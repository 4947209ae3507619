//! The catalogue: every rule, what may be changed when, and every number, as tables of the guide.

use std::fmt::Write;

use super::all;
use crate::control::Scenario;
use crate::control::limits::Limits;
use crate::control::settings::CHANGES;
use crate::finding::Severity;

/// All rules as Markdown, a table for each area.
pub fn to_markdown() -> String {
    let mut text = String::new();
    let mut area = "";
    for rule in all() {
        let check = rule.check();
        let (own, _) = check.code.split_once('.').unwrap_or((check.code, ""));
        if own != area {
            area = own;
            let head = "| code | severity | for | what is demanded | what to do | whose rule |\n";
            let _ = write!(text, "\n### {own}\n\n{head}| --- | --- | --- | --- | --- | --- |\n");
        }
        let severity = match check.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let mended = if rule.is_mended_by_a_plan() { " *A plan does it.*" } else { "" };
        let _ = writeln!(
            text,
            "| `{}` | {severity} | {} | {} | {}{mended} | {}, {} |",
            check.code,
            scenarios(rule.scenarios()),
            cell(rule.demands()),
            cell(check.remedy),
            check.rule.document,
            check.rule.date
        );
    }
    text.trim_start().to_owned()
}

/// What may be changed when, as Markdown.
pub fn changes_to_markdown() -> String {
    let mut text = "| setting | for | until | whose rule |\n| --- | --- | --- | --- |\n".to_owned();
    for row in CHANGES {
        let (of, rule) = (scenarios(row.scenarios), row.rule);
        let _ = writeln!(text, "| `{}` | {of} | `{}` | {}, {} |", row.setting, row.until, rule.document, rule.date);
    }
    text
}

/// The numbers of an edition, as Markdown.
pub fn limits_to_markdown(limits: &Limits) -> String {
    let mut text = format!("Edition of {}.\n\n", limits.edition());
    text.push_str("| number | for | at most | by |\n| --- | --- | --- | --- |\n");
    let mut rows = limits.iter().peekable();
    while let Some((name, scenario, limit)) = rows.next() {
        let mut of = vec![scenario];
        while let Some((_, more, _)) = rows.next_if(|(other, _, same)| *other == name && *same == limit) {
            of.push(more);
        }
        let _ =
            writeln!(text, "| `{name}` | {} | {} | {}, {} |", scenarios(&of), limit.value, limit.document, limit.date);
    }
    text
}

fn scenarios(of: &[Scenario]) -> String {
    if of.len() == Scenario::ALL.len() {
        return "all".to_owned();
    }
    of.iter().map(|scenario| format!("`{scenario}`")).collect::<Vec<_>>().join(", ")
}

fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;")
}
