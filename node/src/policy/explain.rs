//! Explains which rules decide what a principal may do with a port.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use portolan_catalog::PortRef;
use portolan_governance::{Action, Caller, Decision, Governed};

use super::ResolvedDomain;
use super::principal::AskedPrincipal;
use super::sql::sql_of;
use crate::product_test::select;
use crate::{Error, NodeConfig, Result};

/// The time from 1970 to the end of the year 9998.
const LAST_YEAR: Duration = Duration::from_secs(253_370_764_800);

/// The question that [`explain_policies`] answers.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExplainOptions {
    /// The name of the principal.
    pub user: String,
    /// The groups of the principal. Empty for those of the config's user.
    pub groups: Vec<String>,
    /// The attributes of the principal, each with one value. Empty for those of the config's user.
    pub attributes: Vec<(String, String)>,
    /// The purpose that the session declares, if it declares one.
    pub purpose: Option<String>,
    /// The nodes between the principal and the node.
    pub via: Vec<String>,
    /// The port: `domain.product.port`, or a shorter name that only one port has.
    pub port: String,
}

/// What a principal may do with a port, and the rules that decide. It names the conditions of rules, so that it is for
/// the owner of the port only.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The port.
    pub port: PortRef,
    /// The principal.
    pub caller: Caller,
    /// True if the config has a user of the principal's name.
    pub is_user: bool,
    /// The columns of the port.
    pub columns: Vec<String>,
    /// The decision for each action.
    pub decisions: Vec<(Action, Decision)>,
    /// True if the principal sees the port in catalogs.
    pub is_shown: bool,
    /// The number of errors of all policies.
    pub errors: usize,
}

/// Explains the decisions about a port for a principal, as they are now. Must be called on a tokio runtime.
///
/// # Errors
/// Invalid descriptors; a name that no port has, or several; a name near to that of a user in the config.
pub async fn explain_policies(config: &NodeConfig, options: &ExplainOptions) -> Result<Explanation> {
    let groups = (!options.groups.is_empty()).then(|| options.groups.iter().cloned().collect::<BTreeSet<_>>());
    let attributes = (!options.attributes.is_empty()).then(|| {
        let mut attributes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in &options.attributes {
            attributes.entry(name.clone()).or_default().push(value.clone());
        }
        attributes
    });
    let asked = AskedPrincipal::new(config, &options.user, groups, attributes)?;
    let resolved = ResolvedDomain::load(config).await?;
    let ports = select(&resolved.domain.catalog, std::slice::from_ref(&options.port))?;
    let [port] = ports.as_slice() else {
        let names: Vec<String> = ports.iter().take(20).map(|port| port.name.to_string()).collect();
        let message = format!("`{}` means several ports: name one of {}", options.port, names.join(", "));
        return Err(Error::config(message));
    };
    let caller = Caller {
        name: asked.name,
        groups: asked.groups,
        attributes: asked.attributes,
        purpose: options.purpose.clone(),
        via: options.via.iter().cloned().collect(),
    };
    let now = SystemTime::now();
    let decide = |action| (action, resolved.policies.decide(&caller, &port.name, action, now));
    let decisions = Action::ALL.map(decide).to_vec();
    let describe = decisions.iter().find(|(action, _)| *action == Action::Describe);
    let is_shown = describe.is_some_and(|(_, decision)| resolved.policies.shows(&port.name, decision));
    Ok(Explanation {
        port: port.name.clone(),
        is_user: asked.is_user,
        columns: port.columns.iter().map(|column| column.name.clone()).collect(),
        decisions,
        is_shown,
        errors: resolved.report.errors.len(),
        caller,
    })
}

impl Explanation {
    /// Returns the explanation as lines for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{}, as {}", self.port, described(&self.caller))];
        if !self.is_user {
            lines.push(format!("  the config has no user `{}`", self.caller.name));
        }
        for (action, decision) in &self.decisions {
            lines.extend(self.of_decision(*action, decision));
        }
        lines
    }

    fn of_decision(&self, action: Action, decision: &Decision) -> Vec<String> {
        match decision {
            Decision::Open => vec![format!("{action}: open to everybody: no rule is about the port")],
            Decision::Closed(reason) => {
                let mut lines = vec![format!("{action}: closed: {reason}")];
                if self.errors > 0 {
                    lines.push("  `portolan policy check` shows the errors".to_owned());
                }
                lines
            }
            Decision::Denied(_) if action == Action::Describe && self.is_shown => {
                vec![format!("{action}: may see the port in catalogs: no rule is about describing it")]
            }
            Decision::Denied(denial) => {
                let mut lines = vec![format!("{action}: denied: {}", denial.message)];
                match denial.rules.is_empty() {
                    true => lines.push("  no rule permits it".to_owned()),
                    false => lines.push(format!("  forbidden by: {}", denial.rules.join(", "))),
                }
                lines.extend(until(denial.valid_until));
                lines
            }
            Decision::Governed(governed) => {
                let mut lines = vec![format!("{action}: {}", permitted(action, governed))];
                lines.extend(listed("permitted by", &governed.reasons.permits));
                lines.extend(listed("rows forbidden by", &governed.reasons.forbids));
                if action == Action::Read {
                    lines.extend(self.of_columns(governed));
                }
                lines.extend(until(governed.valid_until));
                lines
            }
        }
    }

    /// Returns a line for each column that is hidden or masked, and one for all others.
    fn of_columns(&self, governed: &Governed) -> Vec<String> {
        let mut lines = vec![];
        for (column, rule) in &governed.columns {
            let rules = governed.reasons.columns.get(column).map(|rules| rules.join(", ")).unwrap_or_default();
            lines.push(format!("  `{column}`: {rule}, by: {rules}"));
        }
        let plain = self.columns.iter().filter(|column| !governed.columns.contains_key(*column));
        let plain: Vec<String> = plain.map(|column| format!("`{column}`")).collect();
        if plain.len() < self.columns.len() {
            lines.push(format!(
                "  as they are: {}",
                if plain.is_empty() { "none".to_owned() } else { plain.join(", ") }
            ));
        }
        lines
    }
}

/// Returns what a decision permits.
fn permitted(action: Action, governed: &Governed) -> String {
    match (action, &governed.filter) {
        (Action::Describe, _) => "may see the port in catalogs".to_owned(),
        (Action::Read, None) => "may read all rows".to_owned(),
        (Action::Insert, None) => "may insert any row".to_owned(),
        (Action::Read, Some(filter)) => format!("may read the rows where {}", sql_of(filter)),
        (Action::Insert, Some(filter)) => format!("may insert rows where {}", sql_of(filter)),
    }
}

fn listed(what: &str, rules: &[String]) -> Option<String> {
    (!rules.is_empty()).then(|| format!("  {what}: {}", rules.join(", ")))
}

fn until(time: Option<SystemTime>) -> Option<String> {
    // The format has years up to 9999.
    let years = SystemTime::UNIX_EPOCH..SystemTime::UNIX_EPOCH + LAST_YEAR;
    let time = time.filter(|time| years.contains(time))?;
    Some(format!("  may change at {}", humantime::format_rfc3339_seconds(time)))
}

/// Returns a principal in words.
fn described(caller: &Caller) -> String {
    let list = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>().join(", ");
    let mut text = format!("`{}`", caller.name);
    let mut add = |part: String| {
        text.push_str("; ");
        text.push_str(&part);
    };
    if !caller.groups.is_empty() {
        add(format!("groups: {}", list(&caller.groups)));
    }
    if !caller.attributes.is_empty() {
        let values = caller.attributes.iter().map(|(name, values)| format!("{name}={}", values.join(",")));
        add(format!("attributes: {}", values.collect::<Vec<_>>().join(" ")));
    }
    if let Some(purpose) = &caller.purpose {
        add(format!("purpose: {purpose}"));
    }
    if !caller.via.is_empty() {
        add(format!("via: {}", list(&caller.via)));
    }
    text
}
