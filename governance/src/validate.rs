//! Validates rules against the ports and columns that their scopes admit. Errors close ports.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{PolicySet, ValidationError, ValidationMode, ValidationWarning, Validator};
use miette::Diagnostic as _;
use portolan_catalog::nearest::nearest;
use portolan_catalog::{Diagnostic, DomainCatalog, Port, PortRef, Product};

use crate::entity::{COLUMN, EntityName, column_entity, entity_type};
use crate::mask::Mask;
use crate::policies::{Policies, PortEntry};
use crate::rule::{Layer, Rule};
use crate::schema;
use crate::scope::{Target, name_of};

/// The error of a mask that needs a key.
const NO_MASK_KEY: &str = "the mask `hmac-sha-256` needs the key of the mesh, and this node has none: name its file as \
                           `mask_key` in the node's config";

/// The ports whose policies have errors.
#[derive(Default)]
pub(crate) struct Closed {
    pub(crate) all: bool,
    pub(crate) ports: BTreeSet<PortRef>,
}

/// Validates all rules, and gives the ports their schemas.
pub(crate) fn validate(
    policies: &mut Policies,
    catalog: &DomainCatalog,
    closed: &mut Closed,
    errors: &mut Vec<Diagnostic>,
) -> Doubts {
    let (mut doubts, mut reported) = (Doubts::default(), BTreeSet::new());
    for product in catalog.products.values() {
        let ports: Vec<&PortRef> = product.ports.values().map(|port| &port.name).collect();
        let own_rules = policies.product_rules.get(&product.name).cloned().unwrap_or_default();
        let mut found: Vec<Diagnostic> =
            policies.rules[own_rules].iter().filter_map(|rule| names_of_scope(rule, product)).collect();
        for port in product.ports.values() {
            let Some(entry) = policies.ports.get_mut(&port.name) else { continue };
            if !entry.rules.is_empty() {
                match schema::of_port(port, &entry.columns) {
                    Ok(schema) => entry.schema = Some(schema),
                    Err(e) => found.push(Diagnostic::new(port.place.clone().unwrap_or_default(), e)),
                }
            }
        }
        let mut is_faulty = !found.is_empty();
        for port in product.ports.values() {
            let Some(entry) = policies.ports.get(&port.name) else { continue };
            for (i, error) in port_errors(policies, entry, port, &mut doubts) {
                match policies.rules.get(i).map(|rule| rule.layer) {
                    Some(Layer::Mesh) => drop(closed.ports.insert(port.name.clone())),
                    _ => is_faulty = true,
                }
                // One rule may have the same fault for many ports.
                if reported.insert(i) {
                    found.push(error);
                }
            }
        }
        if is_faulty {
            closed.ports.extend(ports.into_iter().cloned());
        }
        errors.extend(found);
    }
    doubts
}

/// What Cedar doubts about valid rules.
#[derive(Default)]
pub(crate) struct Doubts {
    /// For each rule, the number of ports for which its condition is never true.
    pub(crate) impossible: BTreeMap<usize, usize>,
    /// Texts that may look like others, with their rules.
    pub(crate) confusable: BTreeMap<usize, String>,
}

/// Returns the errors of the rules about a port and its columns, each with its rule.
fn port_errors(policies: &Policies, entry: &PortEntry, port: &Port, doubts: &mut Doubts) -> Vec<(usize, Diagnostic)> {
    let mut errors = vec![];
    for &i in &entry.rules {
        errors.extend(columns_of_conditions(i, entry, policies).map(|e| (i, e)));
    }
    for i in policies.mesh_rules.clone() {
        errors.extend(columns_of_mesh(&policies.rules[i], port).map(|e| (i, e)));
    }
    let refused: BTreeSet<usize> = errors.iter().map(|(i, _)| *i).collect();
    if let Some(schema) = &entry.schema {
        let rules = entry.rules.iter().copied().filter(|i| !refused.contains(i));
        errors.extend(errors_of_cedar(policies, rules, schema, &port.name.to_string(), doubts));
    }
    let column_rules: BTreeSet<usize> = entry.classes.iter().flat_map(|class| class.rules.iter().copied()).collect();
    match &policies.column_schema {
        Some(schema) => {
            let rules = column_rules.into_iter().filter(|i| !refused.contains(i));
            errors.extend(errors_of_cedar(policies, rules, schema, "columns", doubts));
        }
        None => errors.push((usize::MAX, Diagnostic::new(<_>::default(), "the schema of columns is not valid"))),
    }
    for class in &entry.classes {
        for &i in &class.rules {
            let rule = &policies.rules[i];
            let Some(mask) = rule.mask else { continue };
            if mask == Mask::HmacSha256 && policies.mask_key.is_none() {
                errors.push((i, rule.wrong(NO_MASK_KEY)));
            }
            for column in port.columns.iter().filter(|column| class.columns.contains(&column.name)) {
                if let Some(Err(e)) = column.data_type.as_ref().map(|ty| mask.fits(ty)) {
                    errors.push((i, rule.wrong(format!("the column `{}.{}`: {e}", port.name, column.name))));
                }
            }
        }
    }
    if errors.is_empty() {
        errors.extend(policies.trial(entry).into_iter().map(|(i, message)| (i, policies.rules[i].wrong(message))));
    }
    errors
}

/// Checks that the columns in the conditions of a rule exist and can be compared.
fn columns_of_conditions(i: usize, entry: &PortEntry, policies: &Policies) -> Option<Diagnostic> {
    let rule = &policies.rules[i];
    // A rule of the mesh without a type may be about the ports of other domains.
    let is_elsewhere = rule.layer == Layer::Mesh && rule.scope.resource.ty().is_none();
    for column in &rule.mentions.columns {
        if let Some(ty) = entry.columns.unreadable.get(column) {
            let message = format!(
                "the column `{}.{column}` has the type {ty}, which conditions cannot compare: use `@row_filter`",
                entry.entity.id
            );
            return Some(rule.wrong(message));
        }
        // A rule about several ports may test a column that some of them have.
        let ports = || policies.ports.values().filter(|port| port.rules.contains(&i));
        if is_elsewhere || ports().any(|port| port.columns.names().any(|name| name == column)) {
            continue;
        }
        let names: BTreeSet<&str> = ports().flat_map(|port| port.columns.names()).collect();
        let message = format!("no port that the policy is about has a column `{column}`");
        let suggestion = nearest(column, names).map(str::to_string);
        return Some(Diagnostic { place: rule.place.clone(), message, suggestion });
    }
    let kind = |column: &String| entry.columns.kinds.get(column);
    rule.mentions.compared.iter().find_map(|(left, right)| match (kind(left), kind(right)) {
        (Some(l), Some(r)) if l != r => {
            let message = format!("compares the columns `{left}` and `{right}`, which have two kinds, {l:?} and {r:?}");
            Some(rule.wrong(message))
        }
        _ => None,
    })
}

/// Checks that the columns of this port that a rule of the mesh names exist.
fn columns_of_mesh(rule: &Rule, port: &Port) -> Option<Diagnostic> {
    let prefix = format!("{}.", port.name);
    named_columns(rule).find_map(|e| {
        let name = e.id.strip_prefix(&prefix)?;
        let names = || port.columns.iter().map(|column| column.name.as_str());
        if names().any(|other| other == name) {
            return None;
        }
        let suggestion = nearest(name, names()).map(str::to_string);
        let message = format!("the port `{}` has no column `{name}`", port.name);
        Some(Diagnostic { place: rule.place.clone(), message, suggestion })
    })
}

/// Returns the errors that Cedar finds in these rules.
fn errors_of_cedar(
    policies: &Policies,
    rules: impl Iterator<Item = usize>,
    schema: &cedar_policy::Schema,
    subject: &str,
    doubts: &mut Doubts,
) -> Vec<(usize, Diagnostic)> {
    let mut set = PolicySet::new();
    for i in rules {
        if set.add(policies.rules[i].policy_with_id(i)).is_err() {
            return vec![(i, policies.rules[i].wrong("the policy cannot be validated"))];
        }
    }
    let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    for warning in result.validation_warnings() {
        let Ok(i) = warning.policy_id().to_string().parse() else { continue };
        match warning {
            ValidationWarning::ImpossiblePolicy(_) => *doubts.impossible.entry(i).or_default() += 1,
            other => drop(doubts.confusable.entry(i).or_insert_with(|| after_id(&other.to_string()).to_owned())),
        }
    }
    let mut first: BTreeMap<usize, Diagnostic> = BTreeMap::new();
    for error in result.validation_errors() {
        let Some((i, rule)) =
            error.policy_id().to_string().parse().ok().and_then(|i| Some((i, policies.rules.get(i)?)))
        else {
            continue;
        };
        first.entry(i).or_insert_with(|| rule.error_of_cedar(error, message_of(error, subject)));
    }
    first.into_iter().collect()
}

fn message_of(error: &ValidationError, subject: &str) -> String {
    let text = error.to_string();
    let text = after_id(&text);
    let hint = match error {
        ValidationError::UnsafeOptionalAttributeAccess(_) => {
            Some("a column may be NULL: write `resource has column && …`".to_owned())
        }
        ValidationError::UnsafeAttributeAccess(_) => {
            Some("name the port in the scope with `resource is …`, or write `resource has column && …`".to_owned())
        }
        other => other.help().map(|help| help.to_string()),
    };
    match hint {
        Some(hint) => format!("not valid for {subject}: {text}; {hint}"),
        None => format!("not valid for {subject}: {text}"),
    }
}

/// Returns a message of Cedar without its beginning: the id of the policy, which is a number here.
fn after_id(message: &str) -> &str {
    message.split_once("`, ").map_or(message, |(_, rest)| rest)
}

/// Checks that the names in the scope of a product's rule are those of the product.
fn names_of_scope(rule: &Rule, product: &Product) -> Option<Diagnostic> {
    let resource = &rule.scope.resource;
    let ports = || product.ports.values();
    let domain = ports().next()?.name.domain.to_string();
    let columns = named_columns(rule);
    for e in resource.within.iter().chain(&resource.equal).cloned().chain(columns) {
        let valid: Vec<String> = match e.ty.as_str() {
            "Domain" => vec![domain.clone()],
            "Product" => vec![format!("{domain}.{}", product.name)],
            "Port" => ports().map(|port| port.name.to_string()).collect(),
            COLUMN => ports()
                .flat_map(|port| port.columns.iter().map(|column| column_entity(&port.name, &column.name).id))
                .collect(),
            _ => continue,
        };
        if !valid.contains(&e.id) {
            let suggestion = nearest(&e.id, valid.iter().map(String::as_str)).map(str::to_string);
            let message = format!("the product `{}` has no `{}::\"{}\"`", product.name, e.ty, e.id);
            return Some(Diagnostic { place: rule.place.clone(), message, suggestion });
        }
    }
    let ty = resource.ty().filter(|ty| rule.scope.target == Target::Ports && *ty != COLUMN)?;
    let types: Vec<String> = ports().map(|port| entity_type(&port.name)).collect();
    if types.iter().any(|valid| valid == ty) {
        return None;
    }
    let suggestion = nearest(ty, types.iter().map(String::as_str)).map(str::to_string);
    let message = format!("the product `{}` has no port of the type `{ty}`", product.name);
    Some(Diagnostic { place: rule.place.clone(), message, suggestion })
}

/// Returns the columns that a rule names as entities, in its scope and its conditions.
pub(crate) fn named_columns(rule: &Rule) -> impl Iterator<Item = EntityName> + '_ {
    let in_conditions = rule.mentions.entities.iter().map(name_of);
    rule.scope.resource.equal.iter().cloned().chain(in_conditions).filter(|e| e.ty == COLUMN)
}
