//! The JSON Schemas of the standards, compiled once. They check a document and return errors that people understand.

use std::sync::LazyLock;

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use crate::Diagnostic;
use crate::logical_type::logical_type_of;
use crate::nearest::nearest;
use crate::server_rules::{CREDENTIALS, DATABASE_TYPE, NO_CREDENTIALS};
use crate::yaml::{Document, pointer_token};

/// The Open Data Product Standard, 1.0.0 (including documents of 0.9.0).
pub(crate) static ODPS: LazyLock<Schema> =
    LazyLock::new(|| Schema::compile(include_str!("../schemas/odps-1.0.0.json"), |_| {}));
/// The Open Data Contract Standard, 3.2.0 (including documents of 3.1 and older, as far as they fit).
pub(crate) static ODCS: LazyLock<Schema> =
    LazyLock::new(|| Schema::compile(include_str!("../schemas/odcs-3.2.0.json"), guard_conditionals));

/// The largest number of errors that are reported about one document.
const MAX_ERRORS: usize = 50;
/// The largest depth to which `$ref`, `allOf` and similar keywords are followed to find the valid names in an object.
const MAX_SCHEMA_DEPTH: usize = 16;

/// The databases for which the standard has no type of a server.
const CUSTOM_DATABASES: [&str; 2] = ["mariadb", "sqlite"];

/// A JSON Schema that is ready to check documents.
pub(crate) struct Schema {
    source: Value,
    /// An error if the schema itself is not valid. A test checks that the vendored schemas are valid.
    validator: Result<Validator, String>,
}

impl Schema {
    fn compile(text: &str, patch: fn(&mut Value)) -> Self {
        let mut source: Value = serde_json::from_str(text).unwrap_or_default();
        patch(&mut source);
        let validator = match source {
            Value::Object(_) => jsonschema::options().build(&source).map_err(|e| e.to_string()),
            _ => Err("not a JSON object".into()),
        };
        Self { source, validator }
    }

    /// Returns the errors of `document`.
    pub(crate) fn check(&self, document: &Document) -> Vec<Diagnostic> {
        let validator = match &self.validator {
            Ok(validator) => validator,
            Err(e) => {
                let message = format!("cannot be checked: the vendored schema is broken: {e}");
                return vec![Diagnostic::new(document.place(&[]), message)];
            }
        };
        let json = document.to_json();
        let errors: Vec<_> = validator.iter_errors(&json).take(MAX_ERRORS).collect();
        // The valid keys of an object can depend on a value, such as a server's type. If that value is not valid, only
        // keys that look mistyped are reported.
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
        // A valid key is also reported as unevaluated if its object has another error. If no other error was found,
        // this code does not understand the schema, and the validator's own message is better than none.
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
                let is_in_server = is_server(error.instance_path().as_str());
                for key in unexpected.iter().filter(|k| !known.contains(k)) {
                    let pointer = format!("{}/{}", error.instance_path().as_str(), pointer_token(key));
                    if is_in_server && CREDENTIALS.contains(&key.to_lowercase().as_str()) {
                        found.push(Diagnostic::new(document.place(&document.steps(&pointer)), NO_CREDENTIALS));
                        continue;
                    }
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
                found.push(plain(error, document, message + &enum_hint(error)));
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

    /// Returns the names that are valid in the object that has the error.
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

/// Fixes a mistake of the vendored copy: it requires a `map` in every property that has no `logicalType`. The fix is
/// the same as in a later version of the standard (bitol-io/open-data-contract-standard#322).
fn guard_conditionals(odcs: &mut Value) {
    let branches = odcs.pointer_mut("/$defs/SchemaBaseProperty/allOf").and_then(Value::as_array_mut);
    for branch in branches.into_iter().flatten() {
        let constant = branch["if"]["properties"]["logicalType"]["const"].as_str();
        if matches!(constant, Some("map" | "vector")) {
            branch["if"]["required"] = vec!["logicalType"].into();
        }
    }
}

/// True if `condition` is true for `instance`. `condition` is an `if` of a kind that the standards use: constants and
/// required keys.
fn applies(condition: &Value, instance: &Value) -> bool {
    let properties = condition["properties"].as_object().into_iter().flatten();
    let constants = properties.filter_map(|(key, schema)| Some((instance.get(key)?, schema.get("const")?)));
    let required = condition["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let any_of = condition["anyOf"].as_array();
    constants.into_iter().all(|(value, constant)| value == constant)
        && required.into_iter().all(|key| instance.get(key).is_some())
        && any_of.is_none_or(|branches| branches.iter().any(|b| applies(b, instance)))
}

/// Returns the alternative that the author probably meant: among those of the right type, the one with the fewest
/// errors.
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
    let is_type = error.instance_path().as_str().ends_with("/logicalType");
    let suggest = |name: &str| -> Option<String> {
        let synonym = if is_type { logical_type_of(name) } else { None };
        synonym.filter(|name| names.contains(name)).or_else(|| nearest(name, names.iter().copied())).map(str::to_string)
    };
    let path = error.instance_path().as_str();
    if let Some((server, "type")) = path.rsplit_once('/')
        && is_server(server)
        && let Some(name) = error.instance().as_str().filter(|name| CUSTOM_DATABASES.contains(name))
    {
        let message = format!(
            "the standard has no type `{name}`: write `type: custom`, and the custom property `{DATABASE_TYPE}` with the \
             value `{name}`"
        );
        return Diagnostic::new(document.place(&document.steps(path)), message);
    }
    let suggestion = error.instance().as_str().and_then(suggest);
    let list = names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    let message = match (&suggestion, names.as_slice()) {
        (_, [only]) => format!("{found} is not valid here; only `{only}` is"),
        // A long list, such as the list of server types, would hide the suggestion.
        (Some(_), names) if names.len() > 8 => format!("{found} is not valid here"),
        _ => format!("{found} is not valid here; one of {list}"),
    };
    Diagnostic { place: document.place(&document.steps(error.instance_path().as_str())), message, suggestion }
}

/// Returns how to write a value of an `enum`, if the error is a plain value there.
fn enum_hint(error: &ValidationError<'_>) -> String {
    let path = error.instance_path().as_str();
    let is_of_enum = path.rsplit_once('/').is_some_and(|(list, _)| list.ends_with("/enum"));
    match &**error.instance() {
        Value::String(text) if is_of_enum && text.chars().count() <= 64 => {
            format!(": write it as `{{value: {}}}`", Value::from(text.as_str()))
        }
        value @ (Value::Number(_) | Value::Bool(_)) if is_of_enum => format!(": write it as `{{value: {value}}}`"),
        _ => String::new(),
    }
}

/// True if a path leads to a server of a contract.
fn is_server(path: &str) -> bool {
    path.strip_prefix("/servers/").is_some_and(|index| index.bytes().all(|byte| byte.is_ascii_digit()))
}

fn plain(error: &ValidationError<'_>, document: &Document, message: String) -> Diagnostic {
    let place = document.place(&document.steps(error.instance_path().as_str()));
    Diagnostic::new(place, message)
}

fn expected(kind: &TypeKind) -> String {
    let word = |name: String| match name.as_str() {
        "string" => "a string".to_string(),
        "integer" => "an integer".into(),
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
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
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
