//! Warnings about rules that are valid but have no effect, or another one than they seem to have.

use std::collections::BTreeSet;

use portolan_catalog::{DomainCatalog, Place, Warning};

use crate::entity::{EntityName, column_ancestors, port_ancestors};
use crate::policies::Policies;
use crate::rule::{Layer, Rule};
use crate::scope::Target;
use crate::validate::Doubts;

/// Returns all warnings, in the order of the rules.
pub(crate) fn of(policies: &Policies, catalog: &DomainCatalog, doubts: &Doubts) -> Vec<Warning> {
    let mut warnings = vec![];
    let mut warn = |subject: &str, place: &Place, message: String| {
        let warning = Warning { subject: subject.to_owned(), place: Some(place.clone()), message };
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    };
    let used = used_rules(policies);
    let known = known_entities(catalog);
    for (i, rule) in policies.rules.iter().enumerate() {
        // A rule of the mesh may be about other domains.
        if rule.layer == Layer::Product && !used.contains(&i) {
            warn(&rule.name, &rule.place, unused(rule, &known));
        }
        let ports = policies.ports.values().filter(|entry| entry.rules.contains(&i)).count();
        if ports > 0 && doubts.impossible.get(&i) == Some(&ports) {
            warn(&rule.name, &rule.place, "the policy has no effect: its condition is never true".to_owned());
        }
        if let Some(message) = doubts.confusable.get(&i) {
            warn(&rule.name, &rule.place, message.clone());
        }
    }
    for rules in layers(policies) {
        for (i, rule) in rules.iter().enumerate() {
            if let Some(message) = rules.iter().enumerate().find_map(|(j, other)| shadow(rule, i, other, j)) {
                warn(&rule.name, &rule.place, message);
            }
        }
    }
    for (port, entry) in &policies.ports {
        for class in &entry.classes {
            let rules: Vec<&Rule> = class.rules.iter().map(|i| &policies.rules[*i]).collect();
            for (n, rule) in rules.iter().enumerate() {
                let other = rules[..n]
                    .iter()
                    .find(|other| rule.mask.zip(other.mask).is_some_and(|(mask, other)| mask.is_incomparable(other)));
                if let Some(other) = other {
                    let column = class.columns.first().map(String::as_str).unwrap_or_default();
                    let message = format!(
                        "neither this mask nor that of `{}` is the stricter one: where both match, as they may for \
                         `{port}.{column}`, the column is NULL",
                        other.name
                    );
                    warn(&rule.name, &rule.place, message);
                }
            }
        }
    }
    let now = crate::time::to_millis(std::time::SystemTime::now());
    for agreement in policies.agreements.iter().filter(|agreement| agreement.is_over(now)) {
        warn(&agreement.port.to_string(), &agreement.place, "the agreement has ended".to_owned());
    }
    warnings.sort_by(|a, b| place(a).cmp(&place(b)));
    warnings
}

fn place(warning: &Warning) -> Option<(&std::path::Path, Option<usize>)> {
    warning.place.as_ref().map(|place| (place.file.as_path(), place.line))
}

fn used_rules(policies: &Policies) -> BTreeSet<usize> {
    let entries = policies.ports.values();
    entries.flat_map(|e| e.rules.iter().chain(e.classes.iter().flat_map(|class| &class.rules)).copied()).collect()
}

/// Returns the tags and classifications of ports and columns.
fn known_entities(catalog: &DomainCatalog) -> BTreeSet<EntityName> {
    let products = catalog.products.values();
    products
        .flat_map(|product| product.ports.values().map(move |port| (product, port)))
        .flat_map(|(product, port)| {
            let columns = port.columns.iter().flat_map(|column| column_ancestors(&port.name, column));
            port_ancestors(product, port).into_iter().chain(columns)
        })
        .collect()
}

fn unused(rule: &Rule, known: &BTreeSet<EntityName>) -> String {
    let what = match rule.scope.target {
        Target::Ports => "no port",
        Target::Columns => "no column",
        Target::Both => "no port and no column",
    };
    match &rule.scope.resource.within {
        Some(e) if !known.contains(e) => {
            let names = known.iter().filter(|other| other.ty == e.ty).map(|other| other.id.as_str());
            let hint = portolan_catalog::nearest::nearest(&e.id, names);
            let hint = hint.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            format!("the policy has no effect: {what} is in `{}::\"{}\"`{hint}", e.ty, e.id)
        }
        _ => format!("the policy has no effect: {what} of the product matches it"),
    }
}

/// Returns the rules of each product and of the mesh.
fn layers(policies: &Policies) -> impl Iterator<Item = &[Rule]> {
    let ranges = policies.product_rules.values().cloned().chain([policies.mesh_rules.clone()]);
    ranges.filter_map(|range| policies.rules.get(range))
}

/// Returns the reason for which `rule` has no effect beside `other`, a rule with the same scope.
fn shadow(rule: &Rule, i: usize, other: &Rule, j: usize) -> Option<String> {
    if i == j || rule.scope != other.scope {
        return None;
    }
    let is_unconditional = |rule: &Rule| rule.clauses().is_empty() && rule.row_filter.is_none();
    let is_equal = rule.clauses() == other.clauses()
        && (rule.row_filter.as_ref(), rule.mask) == (other.row_filter.as_ref(), other.mask);
    match (rule.is_permit, other.is_permit) {
        (true, false) if is_unconditional(other) && other.mask.is_none() => {
            Some(format!("the policy has no effect: `{}` forbids all that it permits", other.name))
        }
        (a, b) if a == b && is_equal => {
            (j < i).then(|| format!("the policy has no effect: `{}` is the same", other.name))
        }
        (true, true) if is_unconditional(other) => {
            Some(format!("the condition has no effect: `{}` permits the same without it", other.name))
        }
        (false, false) if is_unconditional(other) && other.mask.is_none() => {
            Some(format!("the policy has no effect: `{}` forbids the same without its condition", other.name))
        }
        _ => None,
    }
}
