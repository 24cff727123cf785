//! Contracts with rules of each kind.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use super::*;
use crate::schema;
use crate::yaml::{self, Document};

/// Returns the rules of the only schema object of a contract: the columns, the rule in short and the field, with the
/// reason of a rule that is not checked.
fn found(schema: &str) -> Vec<String> {
    let head = "{apiVersion: v3.2.0, kind: DataContract, id: a, version: 1.0.0, status: active";
    let text = format!("{head}, schema: [{schema}]}}");
    let document = Document::parse(&text, Path::new("a.yaml")).unwrap();
    assert!(schema::ODCS.check(&document).is_empty(), "{schema}");
    let json = document.to_json();
    let contract: Contract = yaml::from_document(document.clone()).unwrap();
    let read = ReadContract::new(contract, document, &json);
    let references: Vec<_> = read.references(0).unwrap().into_iter().map(|(reference, _)| reference).collect();
    let shown = |rule: &Rule| {
        let reason = match &rule.kind {
            RuleKind::Unchecked { reason, .. } => format!(": {reason}"),
            _ => String::new(),
        };
        let field = rule.place.field.strip_prefix("schema[0]").unwrap().trim_start_matches('.').to_owned();
        format!("{} {}{reason} @{field}", rule.columns.join(","), rule.kind)
    };
    read.rules(0, &references).iter().map(shown).collect()
}

#[test]
fn keys_and_columns_have_rules() {
    let rules = found(
        "{name: orders, properties: [
            {name: id, primaryKey: true, primaryKeyPosition: 2, unique: true},
            {name: day, primaryKey: true, primaryKeyPosition: 1, required: true},
            {name: state, unique: true, enum: [{value: open}, {value: 3}],
             relationships: [{to: states.name}]},
            {name: plain, required: false, unique: false}]}",
    );
    assert_eq!(
        rules,
        [
            "id required @properties[0].primaryKey",
            "id unique @properties[0].unique",
            "day required @properties[1].required",
            "state unique @properties[2].unique",
            "state enum @properties[2].enum",
            "day,id primaryKey @properties[1].primaryKey",
            "state references states (name) @properties[2]",
        ]
    );
    // A key of one column is unique already.
    let rules = found("{name: orders, properties: [{name: id, primaryKey: true, unique: true}]}");
    assert_eq!(rules, ["id required @properties[0].primaryKey", "id primaryKey @properties[0].primaryKey"]);
}

#[test]
fn options_of_logical_types_have_rules() {
    let of = |property: &str| found(&format!("{{name: x, properties: [{{name: a, {property}}}]}}"));
    let at = "@properties[0].logicalTypeOptions";
    assert_eq!(
        of("logicalType: string, logicalTypeOptions: {minLength: 1, pattern: '^a', format: uuid}"),
        [
            format!("a format uuid: this option is not supported {at}.format"),
            format!("a minLength 1 {at}.minLength"),
            format!("a pattern `^a` {at}.pattern"),
        ]
    );
    assert_eq!(
        of("logicalType: integer, logicalTypeOptions: {exclusiveMinimum: 0, multipleOf: 5, format: u8}"),
        [
            format!("a exclusiveMinimum 0 {at}.exclusiveMinimum"),
            format!("a minimum 0 {at}.format"),
            format!("a maximum 255 {at}.format"),
            format!("a multipleOf 5 {at}.multipleOf"),
        ]
    );
    // The format of a date is notation.
    assert_eq!(
        of("logicalType: date, logicalTypeOptions: {format: dd.MM.yyyy, maximum: '2030-12-31'}"),
        [format!("a maximum 2030-12-31 {at}.maximum")]
    );
    assert_eq!(
        of("logicalType: array, items: {logicalType: string, required: true}, logicalTypeOptions: {uniqueItems: true}"),
        [
            format!("a uniqueItems {at}.uniqueItems"),
            "a rules of nested values: only those of whole columns are @properties[0].name".to_owned(),
        ]
    );
}

#[test]
fn quality_has_rules_or_reasons() {
    let of = |quality: &str| found(&format!("{{name: x, properties: [{{name: a, quality: [{quality}]}}]}}"));
    let at = "@properties[0].quality[0]";
    for (quality, expected) in [
        ("{metric: nullValues, mustBe: 0}", "a nullValues mustBe 0"),
        (
            "{metric: missingValues, arguments: {missingValues: [null, '']}, mustBeLessThan: 1, unit: percent}",
            "a missingValues mustBeLessThan 1 percent",
        ),
        (
            "{type: library, metric: invalidValues, arguments: {validValues: [kg]}, mustBeBetween: [0, 5]}",
            "a invalidValues mustBeBetween [0, 5]",
        ),
        ("{metric: rowCount, mustBeGreaterThan: 10}", " rowCount mustBeGreaterThan 10"),
        ("{type: sql, query: 'SELECT count(*) FROM {object}', mustNotBe: true}", "a sql mustNotBe 1"),
        ("{type: text, description: verified}", "a text: it is for readers"),
        ("{type: custom, engine: soda, implementation: x}", "a custom: `soda` checks it"),
        ("{description: verified}", "a quality: the key `metric` is missing"),
        ("{metric: nullValues, mustBe: none}", "a nullValues: `mustBe`: expected a number or a boolean, got \"none\""),
        ("{metric: nullValues, mustBe: 0, unit: kg}", "a nullValues: expected the unit `rows` or `percent`, got `kg`"),
        ("{metric: invalidValues, mustBe: 0}", "a invalidValues: `arguments` has neither `validValues` nor `pattern`"),
    ] {
        assert_eq!(of(quality), [format!("{expected} {at}")], "{quality}");
    }
    let rules = found(
        "{name: x, properties: [{name: a}, {name: b}], quality: [
            {metric: duplicateValues, mustBe: 0, arguments: {properties: [a, b]}},
            {metric: duplicateValues, mustBe: 0, arguments: {properties: [c]}},
            {metric: nullValues, mustBe: 0}]}",
    );
    assert_eq!(
        rules,
        [
            "a,b duplicateValues mustBe 0 @quality[0]",
            " duplicateValues: `arguments.properties`: there is no column \"c\" @quality[1]",
            " nullValues: it is a metric of one property, and this rule is not in a property @quality[2]",
        ]
    );
}

#[test]
fn a_rule_has_its_title_and_severity() {
    let text = "{apiVersion: v3.2.0, kind: DataContract, id: a, version: 1.0.0, status: active, schema: [{name: x,
        properties: [{name: a, quality: [{name: few, metric: nullValues, mustBe: 0, severity: Warning}]}]}]}";
    let document = Document::parse(text, Path::new("a.yaml")).unwrap();
    let json = document.to_json();
    let contract: Contract = yaml::from_document(document.clone()).unwrap();
    let rules = ReadContract::new(contract, document, &json).rules(0, &[]);
    let [rule] = rules.as_slice() else { panic!("{rules:?}") };
    assert_eq!((rule.title.as_deref(), rule.is_advisory), (Some("few"), true));
}
