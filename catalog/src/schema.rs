//! The standards' JSON Schemas, compiled once, and what they say against a document in a person's words.

use std::sync::LazyLock;

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use crate::Diagnostic;
use crate::nearest::nearest;
use crate::yaml::Document;

/// The Open Data Product Standard, 1.0.0 (0.9.0 documents included).
pub(crate) static ODPS: LazyLock<Schema> =
    LazyLock::new(|| Schema::compile(include_str!("../schemas/odps-1.0.0.json"), |_| {}));
/// The Open Data Contract Standard, 3.2.0 (3.1 and older documents included, as far as they fit).
pub(crate) static ODCS: LazyLock<Schema> =
    LazyLock::new(|| Schema::compile(include_str!("../schemas/odcs-3.2.0.json"), guard_conditionals));

/// How many things one document is told about.
const MAX_ERRORS: usize = 50;
/// How far `$ref`, `allOf` and the like are followed to find which names an object may have.
const MAX_SCHEMA_DEPTH: usize = 16;

/// A JSON Schema that is ready to check documents.
pub(crate) struct Schema {
    source: Value,
    /// Why not, where the schema itself is not a schema: a test keeps that from being released.
    validator: Result<Validator, String>,
}

impl Schema {
    fn compile(text: &str, mend: fn(&mut Value)) -> Self {
        let mut source: Value = serde_json::from_str(text).unwrap_or_default();
        mend(&mut source);
        let validator = match source {
            Value::Object(_) => jsonschema::options().build(&source).map_err(|e| e.to_string()),
            _ => Err("not a JSON object".into()),
        };
        Self { source, validator }
    }

    /// Everything that `document` does against the schema.
    pub(crate) fn check(&self, document: &Document) -> Vec<Diagnostic> {
        let validator = match &self.validator {
            Ok(validator) => validator,
            Err(e) => {
                let message = format!("cannot be checked: the vendored schema is broken: {e}");
                return vec![Diagnostic { place: document.place(&[]), message, suggestion: None }];
            }
        };
        let json = document.to_json();
        let errors: Vec<_> = validator.iter_errors(&json).take(MAX_ERRORS).collect();
        // Which keys an object may have can hang on a value, such as a server's type: where that is none, only
        // keys that look mistyped are worth a word.
        let undecided: Vec<&str> = errors
            .iter()
            .filter(|e| matches!(e.kind(), Kind::Enum { .. }))
            .filter_map(|e| Some(e.instance_path().as_str().rsplit_once('/')?.0))
            .collect();
        let mut found = vec![];
        for error in &errors {
            let mut explained = vec![];
            self.explain(error, document, &mut explained);
            let unknown_key = matches!(error.kind(), Kind::UnevaluatedProperties { .. });
            if unknown_key && undecided.contains(&error.instance_path().as_str()) {
                explained.retain(|d| d.suggestion.is_some());
            }
            found.append(&mut explained);
        }
        // A key is called unevaluated also where it is fine and its object is not. Where that is all there is,
        // the schema is not understood, and saying it as it comes beats saying nothing.
        if found.is_empty() && !errors.is_empty() {
            found = errors.iter().map(|e| plain(e, document, e.masked().to_string())).collect();
        }
        found.sort_by(|a, b| (a.place.line, &a.place.field).cmp(&(b.place.line, &b.place.field)));
        found.dedup();
        found
    }

    fn explain(&self, error: &ValidationError<'_>, document: &Document, found: &mut Vec<Diagnostic>) {
        match error.kind() {
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                let known = self.known_names(error);
                for key in unexpected.iter().filter(|k| !known.contains(k)) {
                    let pointer = format!("{}/{}", error.instance_path().as_str(), escape(key));
                    let suggestion = nearest(key, known.iter().map(String::as_str)).map(str::to_string);
                    let message = format!("unknown key `{key}`");
                    found.push(Diagnostic { place: document.place(&document.steps(&pointer)), message, suggestion });
                }
            }
            Kind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                found.push(plain(error, document, format!("the key `{name}` is missing")));
            }
            Kind::Type { kind } => {
                let message = format!("expected {}, found {}", expected(kind), kind_of(error.instance()));
                found.push(plain(error, document, message));
            }
            Kind::Enum { options } => found.push(not_an_option(error, document, options)),
            Kind::Constant { expected_value } => {
                found.push(plain(error, document, format!("only {expected_value} is valid here")));
            }
            Kind::Pattern { pattern } => {
                found.push(plain(error, document, format!("does not match the pattern `{pattern}`")));
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => match meant(error, context) {
                Some(branch) => branch.iter().for_each(|e| self.explain(e, document, found)),
                None => found.push(plain(error, document, alternatives(error, context))),
            },
            _ => found.push(plain(error, document, error.masked().to_string())),
        }
    }

    /// The names that the object at fault may have.
    fn known_names(&self, error: &ValidationError<'_>) -> Vec<String> {
        let mut names = vec![];
        let pointer = error.schema_path().as_str();
        let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
        if let Some(schema) = self.source.pointer(parent) {
            self.collect_names(schema, error.instance(), MAX_SCHEMA_DEPTH, &mut names);
        }
        names
    }

    fn collect_names(&self, schema: &Value, instance: &Value, depth: usize, names: &mut Vec<String>) {
        if depth == 0 {
            return;
        }
        let mut follow = |schema: &Value| self.collect_names(schema, instance, depth - 1, names);
        if let Some(target) = schema["$ref"].as_str().and_then(|r| self.source.pointer(r.strip_prefix('#')?)) {
            follow(target);
        }
        for list in ["allOf", "anyOf", "oneOf"] {
            schema[list].as_array().into_iter().flatten().for_each(&mut follow);
        }
        if !schema["if"].is_null() {
            follow(if applies(&schema["if"], instance) { &schema["then"] } else { &schema["else"] });
        }
        names.extend(schema["properties"].as_object().into_iter().flat_map(|p| p.keys().cloned()));
    }
}

/// The vendored copy demands a `map` of every property that has no `logicalType`, by mistake: mended upstream later
/// (bitol-io/open-data-contract-standard#322), and in the same way here.
fn guard_conditionals(odcs: &mut Value) {
    let branches = odcs.pointer_mut("/$defs/SchemaBaseProperty/allOf").and_then(Value::as_array_mut);
    for branch in branches.into_iter().flatten() {
        let constant = branch["if"]["properties"]["logicalType"]["const"].as_str();
        if matches!(constant, Some("map" | "vector")) {
            branch["if"]["required"] = vec!["logicalType"].into();
        }
    }
}

/// Whether an `if` of the kinds that the standards use holds: constants and required keys.
fn applies(condition: &Value, instance: &Value) -> bool {
    let properties = condition["properties"].as_object().into_iter().flatten();
    let constants = properties.filter_map(|(key, schema)| Some((instance.get(key)?, schema.get("const")?)));
    let required = condition["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let any_of = condition["anyOf"].as_array();
    constants.into_iter().all(|(value, constant)| value == constant)
        && required.into_iter().all(|key| instance.get(key).is_some())
        && any_of.is_none_or(|branches| branches.iter().any(|b| applies(b, instance)))
}

/// The alternative that the author meant: the one of the right type with the least wrong, where there is just one.
fn meant<'a>(
    error: &ValidationError<'_>,
    branches: &'a [Vec<ValidationError<'static>>],
) -> Option<&'a [ValidationError<'static>]> {
    let here = error.instance_path().as_str();
    let right_type = |branch: &&Vec<ValidationError<'static>>| {
        !branch.iter().any(|e| matches!(e.kind(), Kind::Type { .. }) && e.instance_path().as_str() == here)
    };
    branches.iter().filter(right_type).min_by_key(|b| b.len()).map(Vec::as_slice)
}

fn alternatives(error: &ValidationError<'_>, branches: &[Vec<ValidationError<'static>>]) -> String {
    let mut types: Vec<String> = branches
        .iter()
        .flatten()
        .filter_map(|e| match e.kind() {
            Kind::Type { kind } => Some(expected(kind)),
            _ => None,
        })
        .collect();
    types.dedup();
    format!("expected {}, found {}", types.join(" or "), kind_of(error.instance()))
}

fn not_an_option(error: &ValidationError<'_>, document: &Document, options: &Value) -> Diagnostic {
    let names: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let found = match error.instance().as_str() {
        Some(text) if text.chars().count() <= 64 => format!("`{text}`"),
        _ => kind_of(error.instance()).to_string(),
    };
    let suggestion = error.instance().as_str().and_then(|v| nearest(v, names.iter().copied())).map(str::to_string);
    let list = names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    let message = match (&suggestion, names.as_slice()) {
        (_, [only]) => format!("{found} is not valid here; only `{only}` is"),
        // Long lists, such as that of the server types, drown the suggestion.
        (Some(_), names) if names.len() > 8 => format!("{found} is not valid here"),
        _ => format!("{found} is not valid here; one of {list}"),
    };
    Diagnostic { place: document.place(&document.steps(error.instance_path().as_str())), message, suggestion }
}

fn plain(error: &ValidationError<'_>, document: &Document, message: String) -> Diagnostic {
    let place = document.place(&document.steps(error.instance_path().as_str()));
    Diagnostic { place, message, suggestion: None }
}

fn expected(kind: &TypeKind) -> String {
    let word = |name: String| match name.as_str() {
        "string" => "text".to_string(),
        "integer" => "a whole number".into(),
        "number" => "a number".into(),
        "boolean" => "a boolean".into(),
        "array" => "a list".into(),
        "object" => "a mapping".into(),
        _ => "nothing".into(),
    };
    match kind {
        TypeKind::Single(t) => word(t.to_string()),
        TypeKind::Multiple(types) => types.iter().map(|t| word(t.to_string())).collect::<Vec<_>>().join(" or "),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(n) if n.is_f64() => "a number",
        Value::Number(_) => "a whole number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendored_schemas_compile() {
        assert_eq!(ODPS.validator.as_ref().err(), None);
        assert_eq!(ODCS.validator.as_ref().err(), None);
    }
}
