//! Expressions over the columns in scope: columns, functions of them, literals.

use super::generator::Generator;
use super::scope::{Column, Kind, Output};

impl Generator {
    /// Writes an expression, and returns the properties of its values. `kind` is the type that it must have.
    pub(super) fn expression(&mut self, columns: &[Column], kind: Option<Kind>) -> (String, Output) {
        let fitting: Vec<&Column> = columns.iter().filter(|c| kind.is_none_or(|k| c.kind == k)).collect();
        let Some(column) = self.pick(&fitting).map(|c| (*c).clone()) else {
            let kind = kind.unwrap_or(Kind::Int);
            return (self.conversion(columns, kind), Output::of(kind, 10.0));
        };
        let plain = Output {
            kind: column.kind,
            distinct: column.distinct,
            family: column.family,
            literals: column.literals,
            exact: true,
        };
        if self.chance(0.55) {
            return (column.sql, plain);
        }
        let c = &column.sql;
        let literal = self.literal(&column);
        if kind.is_none()
            && let Some(mixed) = self.mixed_types(columns, &column)
        {
            return mixed;
        }
        let keeps = match self.below(10) {
            0 | 1 => Some(("null making", format!("NULLIF({c}, {literal})"))),
            2 => Some(("null making", format!("CASE WHEN {} THEN {c} END", self.simple_predicate(columns)))),
            3 => Some(("coalesce", format!("COALESCE({c}, {literal})"))),
            4 => Some(("case", format!("CASE WHEN {} THEN {c} ELSE {literal} END", self.simple_predicate(columns)))),
            _ => None,
        };
        if let Some((tag, sql)) = keeps {
            self.tag(tag);
            return (sql, plain);
        }
        let sql = self.function(&column, &literal);
        let kind = column.kind;
        (sql, Output::of(kind, column.distinct))
    }

    /// Writes an expression whose branches have different types.
    fn mixed_types(&mut self, columns: &[Column], column: &Column) -> Option<(String, Output)> {
        let wider = |other: &&Column| match (column.kind, other.kind) {
            (Kind::Int, Kind::Decimal | Kind::Float) | (Kind::Decimal, Kind::Float) => true,
            // The decimals have different scales.
            (Kind::Decimal, Kind::Decimal) => other.sql != column.sql && other.base && column.base,
            (Kind::Date, Kind::Stamp) => true,
            _ => false,
        };
        let others: Vec<&Column> = columns.iter().filter(wider).collect();
        let other = self.pick(&others).map(|o| (*o).clone())?;
        if !self.maybe("mixed types in CASE", 0.15) {
            return None;
        }
        let (first, second) = if self.chance(0.5) { (column, &other) } else { (&other, column) };
        let sql = if self.chance(0.3) {
            format!("COALESCE({}, {})", first.sql, second.sql)
        } else {
            format!("CASE WHEN {} THEN {} ELSE {} END", self.simple_predicate(columns), first.sql, second.sql)
        };
        Some((sql, Output::of(other.kind, column.distinct + other.distinct)))
    }

    /// Writes a function or arithmetic that keeps the column's type.
    fn function(&mut self, column: &Column, literal: &str) -> String {
        let c = &column.sql;
        let options: Vec<String> = match column.kind {
            Kind::Int => vec![
                format!("{c} + {literal}"),
                format!("{c} % 7"),
                format!("{c} / 3"),
                format!("abs({c} - 10)"),
                format!("-{c}"),
            ],
            // round() is not used, because DataFusion 55.2 returns another type than it promises.
            Kind::Decimal if column.base => {
                let rate = self.plainly("CAST('0.95' AS DECIMAL(3, 2))", "decimal literal as a value");
                vec![
                    format!("{c} * 2"),
                    format!("{c} * {rate}"),
                    format!("{c} - {literal}"),
                    format!("CAST({c} AS DECIMAL(24, 1))"),
                ]
            }
            Kind::Text => vec![
                format!("substr({c}, 1, 3)"),
                format!("upper({c})"),
                format!("{c} || '-' || {literal}"),
                format!("concat({c}, {literal})"),
                format!("trim({c})"),
            ],
            Kind::Date => vec![
                format!("CAST(date_trunc('month', {c}) AS DATE)"),
                format!("CAST({c} + INTERVAL '1 month' AS DATE)"),
                if is_extreme(column) { c.clone() } else { format!("last_day({c})") },
            ],
            Kind::Stamp if is_extreme(column) => vec![c.clone()],
            Kind::Stamp => vec![format!("date_trunc('day', {c})"), format!("{c} + INTERVAL '1 day'")],
            Kind::Bool => vec![format!("NOT {c}"), format!("{c} IS TRUE")],
            Kind::Wide if self.maybe("arithmetic at the ends", 0.5) => {
                vec![
                    format!("CAST({c} AS BIGINT) + 1"),
                    format!("CAST({c} AS BIGINT) * 2"),
                    format!("1 - CAST({c} AS BIGINT)"),
                ]
            }
            Kind::Decimal | Kind::Float | Kind::Wide => vec![c.clone()],
        };
        self.tag("functions");
        self.pick(&options).cloned().unwrap_or_else(|| c.clone())
    }

    /// Writes an expression of a type that no column in scope has.
    fn conversion(&mut self, columns: &[Column], kind: Kind) -> String {
        let other = self.pick(columns).cloned();
        self.tag("casts");
        match (kind, other) {
            (Kind::Int, Some(c)) if c.kind == Kind::Text && self.chance(0.5) => {
                format!("TRY_CAST({} AS BIGINT)", c.sql)
            }
            (Kind::Int, Some(c)) if c.kind == Kind::Text => format!("length({})", c.sql),
            // Names of different lengths get different functions, without another random number.
            (Kind::Int, Some(c)) if c.kind == Kind::Date => match c.sql.len() % 3 {
                0 => format!("EXTRACT(YEAR FROM {})", c.sql),
                1 => format!("year({})", c.sql),
                _ => format!("date_diff('month', DATE '1995-06-15', {})", c.sql),
            },
            (Kind::Int, Some(c)) if c.kind == Kind::Stamp => match c.sql.len() % 2 {
                0 => format!("EXTRACT(HOUR FROM {})", c.sql),
                _ => format!("hour({})", c.sql),
            },
            (Kind::Int, Some(c)) if c.kind == Kind::Bool => format!("CAST({} AS INTEGER)", c.sql),
            (Kind::Date, Some(c)) if c.kind == Kind::Stamp => format!("CAST({} AS DATE)", c.sql),
            (Kind::Decimal, Some(c)) if c.kind == Kind::Int => format!("CAST({} AS DECIMAL(15, 2))", c.sql),
            (Kind::Text, Some(c)) if !matches!(c.kind, Kind::Float | Kind::Stamp) => {
                format!("CAST({} AS VARCHAR)", c.sql)
            }
            (Kind::Int, _) => "CAST(NULL AS BIGINT)".into(),
            (Kind::Decimal, _) => "CAST('1.50' AS DECIMAL(15, 2))".into(),
            (Kind::Text, _) => "'x'".into(),
            (Kind::Date, _) => "DATE '1995-01-01'".into(),
            (Kind::Bool, _) => "true".into(),
            (Kind::Wide, _) => "CAST(2147483648 AS BIGINT)".into(),
            (Kind::Stamp, _) => "TIMESTAMP '2024-02-29 12:30:00'".into(),
            (Kind::Float, Some(c)) if matches!(c.kind, Kind::Int | Kind::Decimal) => {
                format!("CAST({} AS DOUBLE)", c.sql)
            }
            (Kind::Float, _) => "CAST(1 AS DOUBLE)".into(),
        }
    }

    /// Writes a literal in place of a column.
    pub(super) fn literal(&mut self, column: &Column) -> String {
        let literal = *self.pick(column.literals).unwrap_or(&"NULL");
        self.plainly(literal, "decimal literal as a value")
    }

    /// Writes a literal in its usual form: a decimal with its point, if queries may have constructs of this kind.
    pub(super) fn plainly(&mut self, literal: &str, tag: &'static str) -> String {
        match literal.strip_prefix("CAST('").and_then(|rest| rest.split_once("' AS DECIMAL")) {
            Some((digits, _)) if self.maybe(tag, 0.6) => digits.to_owned(),
            _ => literal.to_owned(),
        }
    }
}

/// True if the column may have values from the year 1 to the year 9999.
fn is_extreme(column: &Column) -> bool {
    column.literals.iter().any(|literal| literal.contains("9999-"))
}

/// Returns the pairs of columns that `fit`.
pub(super) fn pairs<'a>(
    left: &'a [Column],
    right: &'a [Column],
    fit: impl Fn(&Column, &Column) -> bool,
) -> Vec<(&'a Column, &'a Column)> {
    left.iter().flat_map(|l| right.iter().map(move |r| (l, r))).filter(|(l, r)| fit(l, r)).collect()
}

/// Returns ` WHERE a AND b`, or an empty string.
pub(super) fn where_clause(conditions: &[String]) -> String {
    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
}
