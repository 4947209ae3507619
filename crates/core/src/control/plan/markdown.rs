//! A plan for people: what a change request shows.

use std::fmt::Write;

use super::Plan;
use super::step::{Action, Step};

impl Plan {
    /// The plan as Markdown: who must agree to what, and every step with its reason. Has no secrets, as a plan has
    /// none.
    pub fn to_markdown(&self) -> String {
        let goal = self
            .aim
            .map_or_else(|| "one thing is asked of each server".to_owned(), |aim| format!("servers {}", aim.goal));
        let mut text = format!("# Plan: {goal} ({})\n\n", self.scenario);
        let _ = writeln!(text, "Digest: `{}`\n", self.digest());
        if self.is_empty() {
            text.push_str("Nothing is to be done.\n");
        }
        self.approvals(&mut text);
        if !self.steps.is_empty() {
            text.push_str(
                "## Steps\n\n| | step | on | after | approval | why |\n| --- | --- | --- | --- | --- | --- |\n",
            );
        }
        for (at, step) in self.steps.iter().enumerate() {
            let after: Vec<String> = step.after.iter().filter_map(|id| self.number(id)).collect();
            let approval = step.approval.map(|approval| approval.to_string()).unwrap_or_default();
            let _ = writeln!(
                text,
                "| {} | {} | `{}` | {} | {approval} | {} |",
                at + 1,
                cell(&sentence(step)),
                cell(step.action.subject().as_str()),
                after.join(", "),
                cell(&step.why)
            );
        }
        if !self.stuck.is_empty() {
            text.push_str("\n## To be looked at first\n\n");
        }
        for stuck in &self.stuck {
            let _ = writeln!(text, "- {}: {}", cell(&stuck.server), cell(&stuck.state));
        }
        text
    }

    fn approvals(&self, text: &mut String) {
        let asked: Vec<&Step> = self.steps.iter().filter(|step| step.approval.is_some()).collect();
        if asked.is_empty() {
            return;
        }
        text.push_str("## Approvals\n\n");
        for step in asked {
            let who = step.approval.map_or("", |approval| approval.who());
            let number = self.number(&step.id).unwrap_or_default();
            let _ = writeln!(text, "- step {number}, {}: {who}", cell(&sentence(step)));
        }
        text.push('\n');
    }

    fn number(&self, id: &super::StepId) -> Option<String> {
        self.steps.iter().position(|step| step.id == *id).map(|at| (at + 1).to_string())
    }
}

/// What a step does, in words.
fn sentence(step: &Step) -> String {
    match &step.action {
        Action::CreateGroup { region, .. } => format!("create the resource group in {region}"),
        Action::CreateVault { region, .. } => format!("create the vault in {region}, with an identity"),
        Action::GiveIdentity { .. } => "turn the identity of the vault on".to_owned(),
        Action::TrustServices { .. } => "let trusted Microsoft services in".to_owned(),
        Action::CreateEndpoint { target, group, request, .. } => {
            let how = if request.is_some() { "ask for" } else { "create" };
            format!("{how} a private endpoint to {group} of {}", target.name())
        }
        Action::ApproveEndpoint { target, .. } => format!("approve the private endpoint on {}", target.name()),
        Action::CreateZone { .. } => "create the private DNS zone".to_owned(),
        Action::LinkZone { network, .. } => format!("link the zone to {}", network.name()),
        Action::AttachZone { zone, .. } => format!("attach the zone {}", zone.name()),
        Action::WriteRecords { zone, .. } => format!("write its records into {}", zone.name()),
        Action::GrantRole { vault, role, .. } => format!("grant {role} to the identity of {}", vault.name()),
        Action::CreatePolicy { .. } => "create the replication policy".to_owned(),
        Action::MapContainer { account, region, .. } => format!("replicate to {region} through {}", account.name()),
        Action::Enable { batch, .. } => format!("begin to replicate (batch {batch})"),
        Action::Update { settings, .. } => format!("change {}", settings.join(", ")),
        Action::Ask { verb, shuts_down: true, .. } => format!("{verb}, after the source is shut down"),
        Action::Ask { verb, .. } => verb.to_string(),
    }
}

/// Text that cannot end a cell of a table, or begin something else.
fn cell(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.replace('\\', "\\\\").replace('|', "\\|").replace('`', "'").replace('<', "&lt;")
}
