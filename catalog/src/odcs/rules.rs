//! Reads the rules of an ODCS contract about the data: keys, `required`, `unique`, `enum`, `logicalTypeOptions`,
//! references and `quality`. The standard's schema has checked their form.

mod quality;

use serde_json::{Value, json};

use super::{Contract, ReadContract};
use crate::Place;
use crate::model::Reference;
use crate::rules::{Bound, Rule, RuleKind, Size, text_of};
use crate::yaml::{Document, Step};

impl ReadContract {
    /// Returns the rules about the rows of `schema[object]`, which has these references.
    pub(crate) fn rules(&self, object: usize, references: &[Reference]) -> Vec<Rule> {
        let schema = &self.contract.schema[object];
        let place = |reference: &Reference| {
            let mut columns = schema.columns();
            let referring = columns.find(|(_, property)| reference.columns.first() == Some(&property.name));
            referring.map_or_else(|| self.document.place(&at_object(object)), |(i, _)| self.property_place(object, i))
        };
        let references = references.iter().map(|reference| {
            let (table, columns) = (reference.table.clone(), reference.referenced_columns.clone());
            rule(reference.columns.clone(), RuleKind::References { table, columns }, place(reference))
        });
        self.rules[object].iter().cloned().chain(references).collect()
    }
}

/// Returns the rules of each schema object, without the references. `json` is the document.
pub(super) fn rules(contract: &Contract, document: &Document, json: &Value) -> Vec<Vec<Rule>> {
    let read = |object| Reader { contract, document, json: &json["schema"][object], object, found: vec![] }.rules();
    (0..contract.schema.len()).map(read).collect()
}

/// The reader of one schema object.
struct Reader<'a> {
    contract: &'a Contract,
    document: &'a Document,
    json: &'a Value,
    object: usize,
    found: Vec<Rule>,
}

impl<'a> Reader<'a> {
    fn rules(mut self) -> Vec<Rule> {
        let schema = &self.contract.schema[self.object];
        // A key with an error keeps its contract from being loaded.
        let key = schema.primary_key().unwrap_or_default();
        for (i, property) in schema.properties.iter().enumerate() {
            let json = &self.json["properties"][i];
            let at = below(below(at_object(self.object), "properties"), i);
            if property.semantic_type.as_deref() == Some("measure") {
                self.measure(&property.name, json, &at);
            } else {
                self.column(&property.name, json, &at, &key);
            }
        }
        let first = schema.properties.iter().position(|property| key.first() == Some(&property.name));
        if let Some(first) = first {
            let at = below(below(at_object(self.object), "properties"), first);
            self.add(key, RuleKind::PrimaryKey, below(at, "primaryKey"));
        }
        self.quality(&self.json["quality"], None, &below(at_object(self.object), "quality"));
        self.found
    }

    fn column(&mut self, name: &str, json: &'a Value, at: &[Step], key: &[String]) {
        let columns = || vec![name.to_owned()];
        let at = |name: &str| below(at.to_vec(), name);
        let is_in_key = key.iter().any(|column| column == name);
        if json["required"] == true {
            self.add(columns(), RuleKind::Required, at("required"));
        } else if is_in_key {
            self.add(columns(), RuleKind::Required, at("primaryKey"));
        }
        if json["unique"] == true && key != [name] {
            self.add(columns(), RuleKind::Unique, at("unique"));
        }
        if let Some(values) = json["enum"].as_array() {
            let values = values.iter().map(|entry| entry["value"].clone()).collect();
            self.add(columns(), RuleKind::Enum(values), at("enum"));
        }
        let logical = json["logicalType"].as_str().unwrap_or_default();
        let options = json["logicalTypeOptions"].as_object();
        let mut options: Vec<(&String, &Value)> = options.into_iter().flatten().collect();
        options.sort_by_key(|(option, _)| *option);
        for (option, value) in options {
            for kind in of_option(logical, option, value) {
                self.add(columns(), kind, below(at("logicalTypeOptions"), option.as_str()));
            }
        }
        self.quality(&json["quality"], Some(name), &at("quality"));
        if nested(json).any(has_rules) {
            let (rule, reason) = ("rules of nested values".to_owned(), "only those of whole columns are".to_owned());
            self.add(columns(), RuleKind::Unchecked { rule, reason }, at("name"));
        }
    }

    /// A measure is not published, and clients compute it.
    fn measure(&mut self, name: &str, json: &Value, at: &[Step]) {
        if has_rules(json) {
            let (rule, reason) = ("rules of a measure".to_owned(), "the port does not publish it".to_owned());
            self.add(vec![name.to_owned()], RuleKind::Unchecked { rule, reason }, at.to_vec());
        }
    }

    fn quality(&mut self, list: &Value, column: Option<&str>, at: &[Step]) {
        let known: Vec<&str> = self.contract.schema[self.object].columns().map(|(_, p)| p.name.as_str()).collect();
        for (i, entry) in list.as_array().into_iter().flatten().enumerate() {
            let (columns, kind) = quality::read(entry, column, &known);
            let place = self.document.place(&below(at.to_vec(), i));
            let mut rule = rule(columns, kind, place);
            let severity = entry["severity"].as_str().unwrap_or_default();
            rule.is_advisory = ["info", "warning"].iter().any(|word| severity.eq_ignore_ascii_case(word));
            let title = ["name", "description", "id"].iter().find_map(|key| entry[key].as_str());
            rule.title = title.map(|title| title.trim().to_owned()).filter(|title| !title.is_empty());
            self.found.push(rule);
        }
    }

    fn add(&mut self, columns: Vec<String>, kind: RuleKind, at: Vec<Step>) {
        self.found.push(rule(columns, kind, self.document.place(&at)));
    }
}

fn rule(columns: Vec<String>, kind: RuleKind, place: Place) -> Rule {
    Rule { columns, kind, title: None, is_advisory: false, place }
}

fn at_object(object: usize) -> Vec<Step> {
    vec!["schema".into(), object.into()]
}

/// Returns the path of a node below another one.
fn below(mut path: Vec<Step>, step: impl Into<Step>) -> Vec<Step> {
    path.push(step.into());
    path
}

/// Returns the rules of one of a column's `logicalTypeOptions`. Options that describe notation have none.
fn of_option(logical: &str, option: &str, value: &Value) -> Vec<RuleKind> {
    let size =
        |size| -> Vec<RuleKind> { value.as_u64().map(|bound| RuleKind::Size(size, bound)).into_iter().collect() };
    let bound = |bound| vec![RuleKind::Bound(bound, value.clone())];
    let unchecked = || {
        let (rule, reason) = (format!("{option} {}", text_of(value)), "this option is not supported".to_owned());
        vec![RuleKind::Unchecked { rule, reason }]
    };
    match (option, logical) {
        ("pattern", _) => value.as_str().map(|pattern| RuleKind::Pattern(pattern.to_owned())).into_iter().collect(),
        ("minimum", _) => bound(Bound::Minimum),
        ("exclusiveMinimum", _) => bound(Bound::ExclusiveMinimum),
        ("maximum", _) => bound(Bound::Maximum),
        ("exclusiveMaximum", _) => bound(Bound::ExclusiveMaximum),
        ("multipleOf", _) => vec![RuleKind::MultipleOf(value.clone())],
        ("minLength", _) => size(Size::MinLength),
        ("maxLength", _) => size(Size::MaxLength),
        ("minItems", _) => size(Size::MinItems),
        ("maxItems", _) => size(Size::MaxItems),
        ("dimensions", _) => size(Size::Dimensions),
        ("uniqueItems", _) if *value == true => vec![RuleKind::UniqueItems],
        ("format", "integer") => integers(value.as_str().unwrap_or_default()),
        ("format", "string") | ("minProperties" | "maxProperties" | "required" | "elementType", _) => unchecked(),
        ("format", "number") if value != "f64" => unchecked(),
        _ => vec![],
    }
}

/// Returns the bounds of the integers of a format. Every integer of a port fits the formats that are left out.
fn integers(format: &str) -> Vec<RuleKind> {
    let (least, greatest) = match format {
        "i8" => (json!(i8::MIN), Some(json!(i8::MAX))),
        "i16" => (json!(i16::MIN), Some(json!(i16::MAX))),
        "i32" => (json!(i32::MIN), Some(json!(i32::MAX))),
        "i64" => (json!(i64::MIN), Some(json!(i64::MAX))),
        "u8" => (json!(0), Some(json!(u8::MAX))),
        "u16" => (json!(0), Some(json!(u16::MAX))),
        "u32" => (json!(0), Some(json!(u32::MAX))),
        "u64" => (json!(0), Some(json!(u64::MAX))),
        "u128" => (json!(0), None),
        _ => return vec![],
    };
    let greatest = greatest.map(|greatest| RuleKind::Bound(Bound::Maximum, greatest));
    std::iter::once(RuleKind::Bound(Bound::Minimum, least)).chain(greatest).collect()
}

/// Returns the properties within a property: the fields of an object, the items of a list, and the parts of a map.
fn nested(json: &Value) -> impl Iterator<Item = &Value> {
    let fields = json["properties"].as_array().into_iter().flatten();
    fields.chain([&json["items"], &json["map"]["key"], &json["map"]["value"]]).filter(|part| part.is_object())
}

/// True if a property, or one within it, has rules about the data.
fn has_rules(json: &Value) -> bool {
    const NOTATION: [&str; 3] = ["format", "timezone", "defaultTimezone"];
    let mut options = json["logicalTypeOptions"].as_object().into_iter().flatten();
    json["required"] == true
        || json["unique"] == true
        || !json["enum"].is_null()
        || !json["quality"].is_null()
        || options.any(|(option, _)| !NOTATION.contains(&option.as_str()))
        || nested(json).any(has_rules)
}

#[cfg(test)]
mod tests;
