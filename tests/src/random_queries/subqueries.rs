//! Subqueries, as predicates and as values.

use super::expressions::{pairs, where_clause};
use super::generator::Generator;
use super::scope::{Column, Kind, Output};

/// The largest number of pairs of rows that a correlated subquery without an equality compares.
const MAX_PAIRS: f64 = 100_000.0;

impl Generator {
    /// Writes `IN`, `EXISTS` or a comparison with a scalar subquery.
    pub(super) fn subquery_predicate(&mut self, columns: &[Column], rows: f64, depth: usize) -> String {
        let not = if self.chance(0.4) { "NOT " } else { "" };
        match self.below(3) {
            0 => self.in_predicate(columns, rows, depth, not).unwrap_or_else(|| "1 = 1".into()),
            1 => {
                let inner = self.exists_select(columns, rows, depth);
                self.tag(if not.is_empty() { "exists" } else { "not exists" });
                format!("{not}EXISTS ({inner})")
            }
            _ => {
                let numbers: Vec<&Column> =
                    columns.iter().filter(|c| matches!(c.kind, Kind::Int | Kind::Decimal | Kind::Date)).collect();
                let Some(column) = self.pick(&numbers).map(|c| (*c).clone()) else { return "1 = 1".into() };
                let compare = *self.pick(&["<", ">", ">=", "<=", "<>", "="]).unwrap_or(&"<");
                format!("{} {compare} {}", column.sql, self.scalar_subquery(columns, column.kind, depth))
            }
        }
    }

    fn in_predicate(&mut self, columns: &[Column], rows: f64, depth: usize, not: &str) -> Option<String> {
        let column = self.pick(columns).cloned()?;
        self.tag(if not.is_empty() { "in subquery" } else { "not in subquery" });
        let constant = !not.is_empty() && self.maybe("constant not in", 0.2);
        let c = if constant {
            if self.chance(0.1) { "NULL".into() } else { self.literal(&column) }
        } else {
            self.expression(std::slice::from_ref(&column), Some(column.kind)).0
        };
        let correlated = if not.is_empty() { self.chance(0.3) } else { self.maybe("correlated not in", 0.3) };
        let correlated = if correlated { columns } else { &[] };
        if not.is_empty() && self.maybe("in over aggregate", 0.1) {
            let inner = self.relation(depth.min(1));
            let (value, _) = self.expression(&inner.columns, Some(column.kind));
            let condition: Vec<String> = self.equality(columns, &inner.columns).into_iter().collect();
            let aggregate = if column.kind == Kind::Int { "count" } else { "max" };
            return (column.kind != Kind::Bool).then(|| {
                format!("{c} IN (SELECT {aggregate}({value}) FROM {}{})", inner.sql, where_clause(&condition))
            });
        }
        let inner = self.small_select(column.kind, column.family, correlated, rows, depth);
        Some(format!("{c} {not}IN ({inner})"))
    }

    /// Writes a subquery in place of a value that is true, false or NULL.
    pub(super) fn subquery_value(&mut self, columns: &[Column], rows: f64, depth: usize) -> String {
        let predicate = self.subquery_predicate(columns, rows, depth);
        if self.chance(0.3) {
            return format!("CASE WHEN {predicate} THEN true ELSE {} END", self.simple_predicate(columns));
        }
        format!("({predicate})")
    }

    /// Writes a subquery with one value of this type.
    pub(super) fn scalar_subquery(&mut self, outer: &[Column], kind: Kind, depth: usize) -> String {
        let inner = self.relation(depth.min(1));
        let (value, _) = self.expression(&inner.columns, Some(kind));
        let correlation = if self.chance(0.5) { self.equality(outer, &inner.columns) } else { None };
        let mut conditions: Vec<String> = correlation.into_iter().collect();
        self.tag(if conditions.is_empty() { "scalar subquery" } else { "correlated scalar subquery" });
        if self.chance(0.5) {
            conditions.push(self.simple_predicate(&inner.columns));
        }
        let filter = where_clause(&conditions);
        let aggregate = match kind {
            Kind::Int if self.chance(0.3) => "count",
            _ => self.pick(&["min", "max"]).unwrap_or(&"min"),
        };
        format!("(SELECT {aggregate}({value}) FROM {}{filter})", inner.sql)
    }

    /// Writes a subquery for `IN`, with one column of this type.
    fn small_select(&mut self, kind: Kind, family: &str, outer: &[Column], rows: f64, depth: usize) -> String {
        let inner = self.relation(depth);
        let related: Vec<Column> =
            inner.columns.iter().filter(|c| !family.is_empty() && c.family == family).cloned().collect();
        let source = if related.is_empty() { &inner.columns } else { &related };
        let (value, _) = self.expression(source, Some(kind));
        let mut conditions = vec![];
        if let Some(equal) = self.equality(outer, &inner.columns) {
            self.tag("correlated in");
            conditions.push(equal);
        }
        if self.chance(0.5) {
            conditions.push(self.predicate(&inner.columns, inner.rows, depth.min(usize::from(rows < 5000.0))));
        }
        format!("SELECT {value} FROM {}{}", inner.sql, where_clause(&conditions))
    }

    fn exists_select(&mut self, outer: &[Column], rows: f64, depth: usize) -> String {
        let inner = self.relation(depth);
        let mut conditions = vec![];
        match self.equality(outer, &inner.columns) {
            Some(equal) => conditions.push(equal),
            None if rows * inner.rows <= MAX_PAIRS => {
                if let Some(other) = self.comparison(outer, &inner.columns) {
                    self.tag("correlated by inequality");
                    conditions.push(other);
                }
            }
            None => {}
        }
        if self.chance(0.6) {
            conditions.push(self.predicate(&inner.columns, inner.rows, depth));
        }
        let filter = where_clause(&conditions);
        let from = &inner.sql;
        if self.maybe("exists over aggregate", 0.12) {
            let Some(group) = self.pick(&inner.columns).map(|c| c.sql.clone()) else { return String::new() };
            return match self.below(3) {
                0 => format!("SELECT count(*) FROM {from}{filter}"),
                1 => format!("SELECT {group} FROM {from}{filter} GROUP BY ROLLUP ({group})"),
                _ => format!("SELECT count(*) FROM {from}{filter} GROUP BY {group}"),
            };
        }
        if self.maybe("exists with having", 0.08) {
            return format!("SELECT 1 FROM {from}{filter} HAVING count(*) > {}", self.below(4));
        }
        if self.maybe("exists with offset", 0.08) {
            return format!("SELECT 1 FROM {from}{filter} OFFSET {}", self.below(4));
        }
        format!("SELECT 1 FROM {from}{filter}")
    }

    /// Writes `a = b` over columns that identify the same entity.
    pub(super) fn equality(&mut self, left: &[Column], right: &[Column]) -> Option<String> {
        let pairs = pairs(left, right, |l, r| !l.family.is_empty() && l.family == r.family);
        self.pick(&pairs).map(|(l, r)| format!("{} = {}", l.sql, r.sql))
    }

    /// Writes a comparison such as `a < b`.
    pub(super) fn comparison(&mut self, left: &[Column], right: &[Column]) -> Option<String> {
        let pairs = pairs(left, right, |l, r| l.kind != Kind::Bool && l.kind == r.kind);
        let compare = *self.pick(&["<", ">", "<>", "<=", ">="])?;
        self.pick(&pairs).map(|(l, r)| format!("{} {compare} {}", l.sql, r.sql))
    }

    /// Writes a subquery in the list of a `SELECT`. Also returns its column.
    pub(super) fn subquery_item(
        &mut self,
        columns: &[Column],
        rows: f64,
        depth: usize,
        kind: Option<Kind>,
    ) -> (String, Output) {
        if kind.is_none_or(|k| k == Kind::Bool) && self.maybe("subquery as a value", 0.6) {
            return (self.subquery_value(columns, rows, depth), Output::of(Kind::Bool, 2.0));
        }
        let kind = kind.unwrap_or(Kind::Int);
        self.tag("scalar subquery in SELECT");
        (self.scalar_subquery(columns, kind, depth), Output::of(kind, 10.0))
    }
}
