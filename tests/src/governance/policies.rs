//! Random policies: permits and forbids with conditions in Cedar and in SQL, masks and hidden columns. An evaluator of
//! their own decides which rows they show: an expression of Cedar is true or false here, because each column is tested
//! for NULL first, and a condition in SQL is true, false or NULL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::masks::{ColumnMask, mask_for};
use super::swapped::{COLUMNS, Kind, Row, Value};

/// The name of the principal that queries the port. It is in the group `analysts`.
pub const NAME: &str = "ann";

/// Days, with their names.
const DAYS: [(&str, i32); 4] = [("1970-01-01", 0), ("1975-06-15", 1991), ("1980-01-01", 3652), ("1990-01-01", 7305)];

/// A condition on a row.
#[derive(Clone, Debug)]
enum Test {
    /// A column, an operator of SQL and a literal.
    Compare(usize, &'static str, Value),
    OneOf(usize, Vec<Value>),
    StartsWith(usize, &'static str),
    IsPresent(usize),
    Not(Box<Test>),
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
}

/// A rule on rows.
#[derive(Clone, Debug)]
struct Rule {
    is_permit: bool,
    scope: &'static str,
    is_about_principal: bool,
    cedar: Option<Test>,
    sql: Option<Test>,
}

/// The policies of the port, and their meaning for the principal.
#[derive(Clone, Debug)]
pub struct RandomPolicies {
    rules: Vec<Rule>,
    masks: BTreeMap<usize, ColumnMask>,
    hidden: BTreeSet<usize>,
}

impl RandomPolicies {
    /// Returns random policies.
    pub fn new(random: &mut StdRng) -> Self {
        let permits = random.random_range(1..=2);
        let forbids = random.random_range(0..=2);
        let kinds = std::iter::repeat_n(true, permits).chain(std::iter::repeat_n(false, forbids));
        let rules = kinds.map(|is_permit| rule(random, is_permit)).collect();
        let (mut masks, mut hidden) = (BTreeMap::new(), BTreeSet::new());
        for (at, (_, kind)) in COLUMNS.iter().enumerate().skip(1) {
            match random.random_range(0..10) {
                0 => {
                    hidden.insert(at);
                }
                1..=3 => {
                    masks.insert(at, mask_for(*kind, random));
                }
                _ => {}
            }
        }
        Self { rules, masks, hidden }
    }

    /// Returns the text of the policies for a port.
    pub fn text(&self, port: &str) -> String {
        let (domain, rest) = port.split_once('.').unwrap();
        let ty = format!("{domain}::{}", rest.replace('.', "::"));
        let rules = self.rules.iter().map(|rule| rule.text(&ty));
        let forbid = |at: &usize, annotation: String| {
            let column = COLUMNS[*at].0;
            format!(
                "{annotation}forbid(principal, action == Action::\"read\", resource == Column::\"{port}.{column}\");\n"
            )
        };
        let masks = self.masks.iter().map(|(at, mask)| forbid(at, format!("@mask(\"{}\") ", mask.name())));
        let hidden = self.hidden.iter().map(|at| forbid(at, String::new()));
        rules.chain(masks).chain(hidden).collect()
    }

    /// True if the policies show a row.
    pub fn shows(&self, row: &Row) -> bool {
        let values = || self.rules.iter().filter(|rule| rule.is_about_principal).map(|rule| (rule, rule.value(row)));
        let is_permitted = values().any(|(rule, value)| rule.is_permit && value == Some(true));
        is_permitted && values().all(|(rule, value)| rule.is_permit || value == Some(false))
    }

    /// Returns a row with masked values. Hidden columns are NULL.
    pub fn masked(&self, row: &Row) -> Row {
        let value = |(at, value): (usize, &Value)| match self.masks.get(&at) {
            _ if self.hidden.contains(&at) => Value::Null,
            Some(mask) => mask.apply(value, COLUMNS[at].1),
            None => value.clone(),
        };
        row.iter().enumerate().map(value).collect()
    }

    /// Returns the columns that the principal may read.
    pub fn readable(&self) -> Vec<usize> {
        (0..COLUMNS.len()).filter(|at| !self.hidden.contains(at)).collect()
    }
}

fn rule(random: &mut StdRng, is_permit: bool) -> Rule {
    let (scope, is_about_principal) = *[
        ("principal", true),
        ("principal in Group::\"analysts\"", true),
        ("principal == User::\"ann\"", true),
        ("principal in Group::\"others\"", false),
    ]
    .choose(random)
    .unwrap();
    let form = random.random_range(0..5);
    let cedar = (form < 4).then(|| test(random, 2, true));
    let sql = (form > 2).then(|| test(random, 2, false));
    Rule { is_permit, scope, is_about_principal, cedar, sql }
}

fn test(random: &mut StdRng, depth: usize, is_cedar: bool) -> Test {
    if depth > 0 && random.random_bool(0.5) {
        let mut part = || Box::new(test(random, depth - 1, is_cedar));
        let parts = (part(), part());
        return match random.random_range(0..3) {
            0 => Test::Not(parts.0),
            1 => Test::And(parts.0, parts.1),
            _ => Test::Or(parts.0, parts.1),
        };
    }
    let at = random.random_range(0..COLUMNS.len());
    let kind = COLUMNS[at].1;
    match random.random_range(0..6) {
        0 => Test::IsPresent(at),
        1 => Test::OneOf(at, (0..3).map(|_| literal(random, at)).collect()),
        2 if kind == Kind::Text => Test::StartsWith(at, ["a", "person-1", "00", "b"].choose(random).unwrap()),
        _ => {
            // Cedar orders no strings.
            let all: &[&'static str] = &["=", "<>", "<", "<=", ">", ">="];
            let operators = if is_cedar && kind == Kind::Text { &all[..2] } else { all };
            Test::Compare(at, operators.choose(random).unwrap(), literal(random, at))
        }
    }
}

fn literal(random: &mut StdRng, at: usize) -> Value {
    match COLUMNS[at] {
        ("id", _) => Value::Int(random.random_range(0..400)),
        ("level", _) => Value::Int(random.random_range(0..10)),
        (_, Kind::Int) => Value::Int(random.random_range(-3..60)),
        ("dept", _) => Value::Text((*["a", "b", "c"].choose(random).unwrap()).to_owned()),
        (_, Kind::Text) => Value::Text((*["person-100-5", "000000000000123", "q"].choose(random).unwrap()).to_owned()),
        (_, Kind::Date) => Value::Date(DAYS.choose(random).unwrap().1),
    }
}

impl Rule {
    fn text(&self, ty: &str) -> String {
        let filter = self.sql.as_ref().map(|sql| format!("@row_filter(\"{}\")\n", sql.sql())).unwrap_or_default();
        let effect = if self.is_permit { "permit" } else { "forbid" };
        let when = self.cedar.as_ref().map(|cedar| format!(" when {{ {} }}", cedar.cedar())).unwrap_or_default();
        format!("{filter}{effect}({}, action == Action::\"read\", resource is {ty}){when};\n", self.scope)
    }

    /// Returns the value for a row: the conjunction of both conditions.
    fn value(&self, row: &Row) -> Option<bool> {
        if self.cedar.as_ref().is_some_and(|cedar| !cedar.is_true(row)) {
            return Some(false);
        }
        self.sql.as_ref().map_or(Some(true), |sql| sql.value(row))
    }
}

impl Test {
    fn cedar(&self) -> String {
        let guarded = |at: usize, test: String| format!("(resource has {0} && {test})", COLUMNS[at].0);
        match self {
            Self::Compare(at, operator, value) => {
                let operator = match *operator {
                    "=" => "==",
                    "<>" => "!=",
                    other => other,
                };
                guarded(*at, format!("resource.{} {operator} {}", COLUMNS[*at].0, in_cedar(value)))
            }
            Self::OneOf(at, values) => {
                let values: Vec<String> = values.iter().map(in_cedar).collect();
                guarded(*at, format!("[{}].contains(resource.{})", values.join(", "), COLUMNS[*at].0))
            }
            Self::StartsWith(at, start) => guarded(*at, format!("resource.{} like \"{start}*\"", COLUMNS[*at].0)),
            Self::IsPresent(at) => format!("resource has {}", COLUMNS[*at].0),
            Self::Not(test) => format!("!({})", test.cedar()),
            Self::And(a, b) => format!("({} && {})", a.cedar(), b.cedar()),
            Self::Or(a, b) => format!("({} || {})", a.cedar(), b.cedar()),
        }
    }

    fn sql(&self) -> String {
        match self {
            Self::Compare(at, operator, value) => format!("{} {operator} {}", COLUMNS[*at].0, in_sql(value)),
            Self::OneOf(at, values) => {
                let values: Vec<String> = values.iter().map(in_sql).collect();
                format!("{} IN ({})", COLUMNS[*at].0, values.join(", "))
            }
            Self::StartsWith(at, start) => format!("{} LIKE '{start}%'", COLUMNS[*at].0),
            Self::IsPresent(at) => format!("{} IS NOT NULL", COLUMNS[*at].0),
            Self::Not(test) => format!("NOT ({})", test.sql()),
            Self::And(a, b) => format!("({} AND {})", a.sql(), b.sql()),
            Self::Or(a, b) => format!("({} OR {})", a.sql(), b.sql()),
        }
    }

    /// Returns the value of the condition in SQL.
    fn value(&self, row: &Row) -> Option<bool> {
        let present = |at: usize| (row[at] != Value::Null).then_some(&row[at]);
        match self {
            Self::Compare(at, operator, value) => present(*at).map(|found| match *operator {
                "=" => found == value,
                "<>" => found != value,
                "<" => found < value,
                "<=" => found <= value,
                ">" => found > value,
                _ => found >= value,
            }),
            Self::OneOf(at, values) => present(*at).map(|found| values.contains(found)),
            Self::StartsWith(at, start) => present(*at).map(|found| found.text().unwrap().starts_with(*start)),
            Self::IsPresent(at) => Some(present(*at).is_some()),
            Self::Not(test) => test.value(row).map(|value| !value),
            Self::And(a, b) => match (a.value(row), b.value(row)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(a, b) => match (a.value(row), b.value(row)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }

    /// True if the condition in Cedar is true. A comparison of a missing attribute is false, because the text tests the
    /// attribute first.
    fn is_true(&self, row: &Row) -> bool {
        match self {
            Self::Not(test) => !test.is_true(row),
            Self::And(a, b) => a.is_true(row) && b.is_true(row),
            Self::Or(a, b) => a.is_true(row) || b.is_true(row),
            leaf => leaf.value(row) == Some(true),
        }
    }
}

fn in_cedar(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Text(text) => format!("\"{text}\""),
        Value::Date(day) => format!("datetime(\"{}\")", name_of_day(*day)),
        Value::Null => panic!("Cedar has no NULL"),
    }
}

fn in_sql(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Text(text) => format!("'{text}'"),
        Value::Date(day) => format!("DATE '{}'", name_of_day(*day)),
        Value::Null => "NULL".to_owned(),
    }
}

fn name_of_day(day: i32) -> &'static str {
    DAYS.iter().find(|(_, other)| *other == day).expect("a day with a name").0
}
