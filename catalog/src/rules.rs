//! The rules of a contract about the data of a port. A node does not enforce them: `portolan product test` checks them.

use std::fmt;

use serde_json::Value;

use crate::diagnostic::Place;

/// A rule of a contract about the data of a port. Only the owner knows the rules: a node does not send them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Rule {
    /// The columns that the rule is about. Empty for a rule about the rows.
    pub columns: Vec<String>,
    /// The condition that the data must fulfil.
    pub kind: RuleKind,
    /// The name or the description of a `quality` rule, if the contract has one.
    pub title: Option<String>,
    /// True if data that breaks the rule is no error: the contract has the `severity` `info` or `warning`.
    pub is_advisory: bool,
    /// The place of the rule in the contract.
    pub place: Place,
}

/// The condition of a rule. NULL breaks only the rules about NULL.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RuleKind {
    /// No value is NULL.
    Required,
    /// No value occurs twice.
    Unique,
    /// The values of the columns together occur once. Each column of a primary key is also required.
    PrimaryKey,
    /// Each value is one of these.
    Enum(Vec<Value>),
    /// Each string has a match of this regular expression.
    Pattern(String),
    /// Each value is within a bound.
    Bound(Bound, Value),
    /// The size of each value is within a bound.
    Size(Size, u64),
    /// Each value is a multiple of this number.
    MultipleOf(Value),
    /// No list has an item twice.
    UniqueItems,
    /// The values are also in columns of a port.
    References {
        /// The name of the port, as it is in the contract: the port, the product and the port, or all three parts.
        table: Vec<String>,
        /// The columns of this port, in the order of the rule's columns.
        columns: Vec<String>,
    },
    /// A metric of the data is as expected.
    Metric {
        /// The metric.
        metric: Metric,
        /// The expected result.
        threshold: Threshold,
        /// True if the threshold is a percentage of the rows, and not a number.
        percent: bool,
    },
    /// The only value that a query returns is as expected.
    Sql {
        /// The query. `{object}` stands for the port, and `{property}` for the column.
        query: String,
        /// The expected result.
        threshold: Threshold,
    },
    /// A rule that nothing here can check.
    Unchecked {
        /// The rule in short.
        rule: String,
        /// The reason.
        reason: String,
    },
}

/// A bound of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Values are not less.
    Minimum,
    /// Values are greater.
    ExclusiveMinimum,
    /// Values are not greater.
    Maximum,
    /// Values are less.
    ExclusiveMaximum,
}

/// A bound of the size of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Strings have at least this number of characters.
    MinLength,
    /// Strings have at most this number of characters.
    MaxLength,
    /// Lists have at least this number of items.
    MinItems,
    /// Lists have at most this number of items.
    MaxItems,
    /// Vectors have exactly this number of items.
    Dimensions,
}

/// A metric of the data.
#[derive(Clone, Debug, PartialEq)]
pub enum Metric {
    /// The number of rows.
    RowCount,
    /// The number of rows with NULL in the column.
    NullValues,
    /// The number of rows with one of these values, of which one can be NULL.
    MissingValues(Vec<Value>),
    /// The number of rows with a value that is none of `valid` or has no match of `pattern`.
    InvalidValues {
        /// The valid values. Empty if every value is valid.
        valid: Vec<Value>,
        /// The regular expression.
        pattern: Option<String>,
    },
    /// The number of values that occur more than once.
    DuplicateValues,
}

/// The expected result of a metric or a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// Equal to a number. `true` counts as 1.
    Equal(f64),
    /// Not equal to a number.
    NotEqual(f64),
    /// Greater than a number.
    Greater(f64),
    /// Greater than a number, or equal to it.
    GreaterOrEqual(f64),
    /// Less than a number.
    Less(f64),
    /// Less than a number, or equal to it.
    LessOrEqual(f64),
    /// Between two numbers, or equal to one of them.
    Between(f64, f64),
    /// Neither between two numbers, nor equal to one of them.
    NotBetween(f64, f64),
}

impl Threshold {
    /// The keys of the standard.
    pub(crate) const KEYS: [&str; 8] = [
        "mustBe",
        "mustNotBe",
        "mustBeGreaterThan",
        "mustBeGreaterOrEqualTo",
        "mustBeLessThan",
        "mustBeLessOrEqualTo",
        "mustBeBetween",
        "mustNotBeBetween",
    ];

    /// True if a result is as expected.
    pub fn allows(&self, result: f64) -> bool {
        match *self {
            Self::Equal(expected) => result == expected,
            Self::NotEqual(other) => result != other,
            Self::Greater(than) => result > than,
            Self::GreaterOrEqual(to) => result >= to,
            Self::Less(than) => result < than,
            Self::LessOrEqual(to) => result <= to,
            Self::Between(from, to) => (from..=to).contains(&result),
            Self::NotBetween(from, to) => !(from..=to).contains(&result),
        }
    }

    /// True if every result from `least` on is as expected.
    pub fn allows_all_from(&self, least: f64) -> bool {
        match *self {
            Self::NotEqual(other) => least > other,
            Self::Greater(_) | Self::GreaterOrEqual(_) => self.allows(least),
            Self::NotBetween(_, to) => least > to,
            Self::Equal(_) | Self::Less(_) | Self::LessOrEqual(_) | Self::Between(..) => false,
        }
    }

    /// True if no result from `least` on is as expected.
    pub fn allows_none_from(&self, least: f64) -> bool {
        match *self {
            Self::Equal(expected) => least > expected,
            Self::Less(_) | Self::LessOrEqual(_) => !self.allows(least),
            Self::Between(_, to) => least > to,
            Self::NotEqual(_) | Self::Greater(_) | Self::GreaterOrEqual(_) | Self::NotBetween(..) => false,
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal(expected) => write!(f, "mustBe {expected}"),
            Self::NotEqual(other) => write!(f, "mustNotBe {other}"),
            Self::Greater(than) => write!(f, "mustBeGreaterThan {than}"),
            Self::GreaterOrEqual(to) => write!(f, "mustBeGreaterOrEqualTo {to}"),
            Self::Less(than) => write!(f, "mustBeLessThan {than}"),
            Self::LessOrEqual(to) => write!(f, "mustBeLessOrEqualTo {to}"),
            Self::Between(from, to) => write!(f, "mustBeBetween [{from}, {to}]"),
            Self::NotBetween(from, to) => write!(f, "mustNotBeBetween [{from}, {to}]"),
        }
    }
}

impl Bound {
    /// Returns the key of the standard.
    pub fn key(self) -> &'static str {
        match self {
            Self::Minimum => "minimum",
            Self::ExclusiveMinimum => "exclusiveMinimum",
            Self::Maximum => "maximum",
            Self::ExclusiveMaximum => "exclusiveMaximum",
        }
    }
}

impl Size {
    /// Returns the key of the standard.
    pub fn key(self) -> &'static str {
        match self {
            Self::MinLength => "minLength",
            Self::MaxLength => "maxLength",
            Self::MinItems => "minItems",
            Self::MaxItems => "maxItems",
            Self::Dimensions => "dimensions",
        }
    }
}

impl Metric {
    /// Returns the name in the standard.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RowCount => "rowCount",
            Self::NullValues => "nullValues",
            Self::MissingValues(_) => "missingValues",
            Self::InvalidValues { .. } => "invalidValues",
            Self::DuplicateValues => "duplicateValues",
        }
    }
}

/// The rule in short, in the words of the standard.
impl fmt::Display for RuleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required => f.write_str("required"),
            Self::Unique => f.write_str("unique"),
            Self::PrimaryKey => f.write_str("primaryKey"),
            Self::Enum(_) => f.write_str("enum"),
            Self::Pattern(pattern) => write!(f, "pattern `{pattern}`"),
            Self::Bound(bound, value) => write!(f, "{} {}", bound.key(), text_of(value)),
            Self::Size(size, bound) => write!(f, "{} {bound}", size.key()),
            Self::MultipleOf(number) => write!(f, "multipleOf {}", text_of(number)),
            Self::UniqueItems => f.write_str("uniqueItems"),
            Self::References { table, columns } => {
                write!(f, "references {} ({})", table.join("."), columns.join(", "))
            }
            Self::Metric { metric, threshold, percent } => {
                write!(f, "{} {threshold}{}", metric.name(), if *percent { " percent" } else { "" })
            }
            Self::Sql { threshold, .. } => write!(f, "sql {threshold}"),
            Self::Unchecked { rule, .. } => f.write_str(rule),
        }
    }
}

/// Returns a value of a contract as text: a string without quotes.
pub fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_rows_can_decide_a_threshold() {
        // For each: results that are as expected, from which all are, and from which none is.
        let check = |threshold: Threshold, results: [f64; 3], expected: [[bool; 3]; 3]| {
            let found =
                results.map(|r| [threshold.allows(r), threshold.allows_all_from(r), threshold.allows_none_from(r)]);
            assert_eq!(found, expected, "{threshold}");
        };
        let (yes, always, no, never) = ([true, false, false], [true, true, false], [false; 3], [false, false, true]);
        check(Threshold::Equal(2.0), [1.0, 2.0, 3.0], [no, yes, never]);
        check(Threshold::NotEqual(2.0), [1.0, 2.0, 3.0], [yes, no, always]);
        check(Threshold::Greater(2.0), [1.0, 2.0, 3.0], [no, no, always]);
        check(Threshold::GreaterOrEqual(2.0), [1.0, 2.0, 3.0], [no, always, always]);
        check(Threshold::Less(2.0), [1.0, 2.0, 3.0], [yes, never, never]);
        check(Threshold::LessOrEqual(2.0), [1.0, 2.0, 3.0], [yes, yes, never]);
        check(Threshold::Between(2.0, 3.0), [1.0, 3.0, 4.0], [no, yes, never]);
        check(Threshold::NotBetween(2.0, 3.0), [1.0, 3.0, 4.0], [yes, no, always]);
    }

    #[test]
    fn a_rule_is_shown_in_the_words_of_the_standard() {
        let shown = [
            (RuleKind::Bound(Bound::ExclusiveMaximum, Value::from("2030-01-01")), "exclusiveMaximum 2030-01-01"),
            (RuleKind::Size(Size::MinLength, 3), "minLength 3"),
            (
                RuleKind::References { table: vec!["people".into(), "customer".into()], columns: vec!["id".into()] },
                "references people.customer (id)",
            ),
            (
                RuleKind::Metric { metric: Metric::NullValues, threshold: Threshold::Less(0.5), percent: true },
                "nullValues mustBeLessThan 0.5 percent",
            ),
            (
                RuleKind::Metric { metric: Metric::RowCount, threshold: Threshold::Between(1.0, 9.0), percent: false },
                "rowCount mustBeBetween [1, 9]",
            ),
        ];
        for (kind, expected) in shown {
            assert_eq!(kind.to_string(), expected);
        }
    }
}
