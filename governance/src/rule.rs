//! Rules: single policies of a file, parsed, with what their annotations and scope say.

use std::path::Path;

use cedar_policy::pst::{Clause, Effect, StaticPolicy};
use cedar_policy::{Policy, PolicyId};
use miette::Diagnostic as _;
use portolan_catalog::nearest::nearest;
use portolan_catalog::{Diagnostic, Place};

use crate::decision::Action;
use crate::mask::Mask;
use crate::operators::{self, Mentions};
use crate::scope::{Scope, Target};
use crate::statements::{Statement, statements};

/// The annotations that a policy may have.
const ANNOTATIONS: [&str; 4] = ["id", "description", "mask", "row_filter"];

/// The origin of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    /// A product of the domain.
    Product,
    /// The mesh.
    Mesh,
}

/// A policy, parsed.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The name, for explanations.
    pub(crate) name: String,
    pub(crate) layer: Layer,
    pub(crate) place: Place,
    pub(crate) is_permit: bool,
    pub(crate) scope: Scope,
    pub(crate) mask: Option<Mask>,
    pub(crate) row_filter: Option<String>,
    pub(crate) mentions: Mentions,
    pub(crate) policy: Policy,
    /// The text of the statement, which places of Cedar's errors count in.
    text: String,
    clauses: Vec<Clause>,
}

impl Rule {
    /// Returns the conditions.
    pub(crate) fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    /// True if the rule has a name of its own.
    pub(crate) fn is_named(&self) -> bool {
        self.policy.annotation("id").is_some()
    }

    /// Returns the rule's policy, with the id by which its set knows it.
    pub(crate) fn policy_with_id(&self, id: usize) -> Policy {
        self.policy.new_id(PolicyId::new(id.to_string()))
    }

    /// Returns a diagnostic at the rule.
    pub(crate) fn wrong(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(self.place.clone(), message)
    }

    /// Returns a diagnostic at the place that an error of Cedar names, which is part of the rule.
    pub(crate) fn error_of_cedar(&self, error: &(impl miette::Diagnostic + ?Sized), message: String) -> Diagnostic {
        let line = self.place.line.unwrap_or(1);
        let statement = Statement { line, text: &self.text };
        Diagnostic::new(Place { line: Some(line_of(error, &statement)), ..self.place.clone() }, message)
    }
}

/// Parses the policies of a file. Returns the errors of all policies that cannot be parsed.
pub(crate) fn parse_file(layer: Layer, file: &Path, text: &str, errors: &mut Vec<Diagnostic>) -> Vec<Rule> {
    let mut rules: Vec<Rule> = vec![];
    for statement in statements(text) {
        match parse(layer, file, &statement) {
            Ok(mut rule) => {
                let on_line = rules.iter().rev().take_while(|other| other.place.line == rule.place.line).count();
                if !rule.is_named() && on_line > 0 {
                    rule.name.push_str(&format!("#{}", on_line + 1));
                }
                rules.push(rule);
            }
            Err(error) => errors.push(error),
        }
    }
    rules
}

fn parse(layer: Layer, file: &Path, statement: &Statement<'_>) -> Result<Rule, Diagnostic> {
    let at = |line: usize| Place { file: file.into(), line: Some(line), field: String::new() };
    statement.check_size().map_err(|message| Diagnostic::new(at(statement.line), message))?;
    let policy = Policy::parse(None, statement.text).map_err(|errors| {
        let line = errors.iter().next().map_or(statement.line, |e| line_of(e, statement));
        Diagnostic::new(at(line), syntax_error(&errors, statement.text))
    })?;
    let wrong =
        |message: String, suggestion: Option<String>| Diagnostic { place: at(statement.line), message, suggestion };
    let parsed: StaticPolicy = match policy.to_pst() {
        Ok(cedar_policy::pst::Policy::Static(parsed)) => parsed,
        Ok(_) => return Err(wrong("templates are not supported: name the entity".into(), None)),
        Err(e) => return Err(wrong(format!("the policy cannot be read: {e}"), None)),
    };
    let scope = Scope::of(&parsed).map_err(|(message, suggestion)| wrong(message, suggestion))?;
    if let Some((name, _)) = policy.annotations().find(|(name, _)| !ANNOTATIONS.contains(name)) {
        let suggestion = nearest(name, ANNOTATIONS).map(str::to_string);
        return Err(wrong(format!("unknown annotation `@{name}`"), suggestion));
    }
    let mask = match policy.annotation("mask").map(Mask::parse).transpose() {
        Ok(mask) => mask,
        Err(near) => return Err(wrong("unknown mask".into(), near.map(str::to_string))),
    };
    let file_name = file.file_name().unwrap_or_default().to_string_lossy();
    let name = policy.annotation("id").map_or_else(|| format!("{file_name}:{}", statement.line), str::to_string);
    let clauses = parsed.body().clauses().clone();
    let rule = Rule {
        name,
        layer,
        place: at(statement.line),
        is_permit: parsed.body().effect == Effect::Permit,
        scope,
        mask,
        row_filter: policy.annotation("row_filter").map(str::to_string),
        mentions: operators::mentions(&clauses),
        policy,
        text: statement.text.to_owned(),
        clauses,
    };
    check(&rule).map_err(|message| rule.wrong(message))?;
    Ok(rule)
}

/// Checks that the parts of a rule fit each other.
fn check(rule: &Rule) -> Result<(), String> {
    let is_about_columns = rule.scope.target == Target::Columns;
    if rule.name.trim().is_empty() {
        return Err("the annotation `@id` is empty".into());
    }
    if rule.row_filter.as_ref().is_some_and(|sql| sql.trim().is_empty()) {
        return Err("the annotation `@row_filter` is empty: write a SQL condition over the port's columns".into());
    }
    if rule.row_filter.is_some() && rule.scope.target != Target::Ports {
        return Err("`@row_filter` is about the rows of ports: write `resource is …` with the type of a port, or \
                    `resource in` a port, product or domain"
            .into());
    }
    if rule.mask.is_some() && (rule.is_permit || !is_about_columns) {
        return Err("`@mask` needs a `forbid` on columns: write `resource is Column in …`".into());
    }
    if is_about_columns && rule.is_permit {
        return Err("a permit of columns has no effect: a permit of the port gives its columns, and a `forbid` with \
                    `unless` takes them from others"
            .into());
    }
    if is_about_columns && !rule.scope.actions.contains(&Action::Read) {
        return Err("rules on columns are about the action `read`".into());
    }
    if !is_about_columns {
        operators::check(&rule.clauses)?;
    }
    Ok(())
}

fn syntax_error(errors: &cedar_policy::ParseErrors, text: &str) -> String {
    if text.contains("?principal") || text.contains("?resource") {
        return "templates are not supported: name the entity".into();
    }
    let Some(first) = errors.iter().next() else { return "the policy cannot be read".into() };
    match first.help() {
        Some(help) => format!("the policy cannot be read: {first}; {help}"),
        None => format!("the policy cannot be read: {first}"),
    }
}

fn line_of(error: &(impl miette::Diagnostic + ?Sized), statement: &Statement<'_>) -> usize {
    let label = error.labels().and_then(|mut labels| labels.next());
    label.map_or(statement.line, |label| statement.line_at(label.offset()))
}
