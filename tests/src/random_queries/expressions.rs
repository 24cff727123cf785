//! Expressions and predicates over the columns in scope, subqueries included.

use super::generator::Generator;
use super::scope::{Column, Kind, Output};

/// A correlated subquery whose condition is no equality compares so many pairs of rows at most.
const MAX_PAIRS: f64 = 100_000.0;

impl Generator {
    /// An expression, and what is known of its values. `kind`: the type that it must have.
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

    /// A function or arithmetic that keeps the column's type.
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
            // Not round(): DataFusion 55.2 gives it another type than it promises.
            Kind::Decimal if column.base => {
                vec![format!("{c} * 2"), format!("{c} * CAST('0.95' AS DECIMAL(3, 2))"), format!("{c} - {literal}")]
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
                format!("{c}"),
            ],
            Kind::Bool => vec![format!("NOT {c}"), format!("{c} IS TRUE")],
            Kind::Decimal | Kind::Float => vec![c.clone()],
        };
        self.tag("functions");
        self.pick(&options).cloned().unwrap_or_else(|| c.clone())
    }

    /// An expression of a type that no column in scope has.
    fn conversion(&mut self, columns: &[Column], kind: Kind) -> String {
        let other = self.pick(columns).cloned();
        self.tag("casts");
        match (kind, other) {
            (Kind::Int, Some(c)) if c.kind == Kind::Text => format!("length({})", c.sql),
            (Kind::Int, Some(c)) if c.kind == Kind::Date => format!("EXTRACT(YEAR FROM {})", c.sql),
            (Kind::Decimal, Some(c)) if c.kind == Kind::Int => format!("CAST({} AS DECIMAL(15, 2))", c.sql),
            (Kind::Text, Some(c)) if c.kind != Kind::Float => format!("CAST({} AS VARCHAR)", c.sql),
            (Kind::Int, _) => "CAST(NULL AS BIGINT)".into(),
            (Kind::Decimal, _) => "CAST('1.50' AS DECIMAL(15, 2))".into(),
            (Kind::Text, _) => "'x'".into(),
            (Kind::Date, _) => "DATE '1995-01-01'".into(),
            (Kind::Bool, _) => "true".into(),
            (Kind::Float, _) => "CAST(1 AS DOUBLE)".into(),
        }
    }

    /// Two literals, the lesser first as far as the list of them is in order.
    fn two_literals(&mut self, column: &Column) -> (String, String) {
        let count = column.literals.len().max(1);
        let (i, j) = (self.below(count), self.below(count));
        let literal = |i: usize| (*column.literals.get(i).unwrap_or(&"NULL")).to_owned();
        (literal(i.min(j)), literal(i.max(j)))
    }

    pub(super) fn literal(&mut self, column: &Column) -> String {
        (*self.pick(column.literals).unwrap_or(&"NULL")).to_owned()
    }

    /// A predicate over one or two columns, without subqueries.
    pub(super) fn simple_predicate(&mut self, columns: &[Column]) -> String {
        let Some(column) = self.pick(columns).cloned() else { return "1 = 1".into() };
        let c = column.sql.clone();
        let (a, b) = self.two_literals(&column);
        let not = if self.chance(0.3) { "NOT " } else { "" };
        let compare = *self.pick(&["=", "<>", "<>", "<", "<=", ">", ">="]).unwrap_or(&"=");
        let same: Vec<&Column> = columns.iter().filter(|o| o.kind == column.kind && o.sql != c).collect();
        let other = self.pick(&same).map(|o| o.sql.clone());
        match (self.below(12), column.kind) {
            (_, Kind::Bool) => format!("{c} IS {not}TRUE"),
            // Tables hold no NULL: conditions that nothing meets tell little.
            (0, _) if column.base && self.chance(0.8) => format!("{c} IS NOT NULL"),
            (0 | 1, _) if !column.base => format!("{c} IS {not}NULL"),
            (2, _) => format!("{c} {not}IN ({a}, {b}, {a})"),
            (3, _) if self.chance(0.1) => {
                self.tag("not in with null literal");
                format!("{c} NOT IN ({a}, NULL)")
            }
            (3 | 4, _) => format!("{c} {not}BETWEEN {a} AND {b}"),
            (5 | 6, Kind::Text) => {
                self.tag("like");
                let pattern = *self.pick(&["'%a%'", "'%1%'", "'_U%'", "'%'", "'F'", "'B%#1_'"]).unwrap_or(&"'%'");
                format!("{c} {not}LIKE {pattern}")
            }
            (7, _) => match other {
                Some(other) => format!("{c} {compare} {other}"),
                None => format!("{c} {compare} {a}"),
            },
            (8, _) => match other {
                Some(other) => format!("({c} IS {not}DISTINCT FROM {other})"),
                None => format!("({c} IS {not}DISTINCT FROM {a})"),
            },
            _ => format!("{c} {compare} {a}"),
        }
    }

    /// A predicate; `depth` bounds its subqueries.
    pub(super) fn predicate(&mut self, columns: &[Column], rows: f64, depth: usize) -> String {
        match self.below(20) {
            0 | 1 => {
                let (a, b) = (self.predicate_or_simple(columns, rows, depth), self.simple_predicate(columns));
                format!("({a} OR {b})")
            }
            2 => format!("NOT ({} AND {})", self.simple_predicate(columns), self.simple_predicate(columns)),
            3 if self.chance(0.4) => {
                self.tag("volatile");
                "random() >= 0".into()
            }
            4 if self.chance(0.15) => {
                self.tag("no rows");
                "1 = 0".into()
            }
            5..=10 if depth > 0 => self.subquery_predicate(columns, rows, depth - 1),
            _ => self.simple_predicate(columns),
        }
    }

    fn predicate_or_simple(&mut self, columns: &[Column], rows: f64, depth: usize) -> String {
        if depth > 0 && self.chance(0.3) {
            self.tag("subquery below OR");
            return self.subquery_predicate(columns, rows, depth - 1);
        }
        self.simple_predicate(columns)
    }

    fn subquery_predicate(&mut self, columns: &[Column], rows: f64, depth: usize) -> String {
        let not = if self.chance(0.4) { "NOT " } else { "" };
        match self.below(3) {
            0 => {
                let Some(column) = self.pick(columns).cloned() else { return "1 = 1".into() };
                self.tag(if not.is_empty() { "in subquery" } else { "not in subquery" });
                let (c, _) = self.expression(std::slice::from_ref(&column), Some(column.kind));
                // DataFusion 55.2 plans few correlated NOT INs: which ones hangs on the rest of the plan.
                let correlated = if not.is_empty() && self.chance(0.3) { columns } else { &[] };
                let inner = self.small_select(column.kind, column.family, correlated, rows, depth);
                format!("{c} {not}IN ({inner})")
            }
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

    /// A subquery of one value of that type.
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

    /// A subquery for `IN`: one column of that type.
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
        format!("SELECT 1 FROM {}{}", inner.sql, where_clause(&conditions))
    }

    /// `a = b` over columns that identify the same thing.
    pub(super) fn equality(&mut self, left: &[Column], right: &[Column]) -> Option<String> {
        let pairs = pairs(left, right, |l, r| !l.family.is_empty() && l.family == r.family);
        self.pick(&pairs).map(|(l, r)| format!("{} = {}", l.sql, r.sql))
    }

    /// `a < b` or the like.
    pub(super) fn comparison(&mut self, left: &[Column], right: &[Column]) -> Option<String> {
        let pairs = pairs(left, right, |l, r| l.kind == r.kind && l.kind != Kind::Bool);
        let compare = *self.pick(&["<", ">", "<>", "<=", ">="])?;
        self.pick(&pairs).map(|(l, r)| format!("{} {compare} {}", l.sql, r.sql))
    }
}

/// The pairs of columns that `fit`.
pub(super) fn pairs<'a>(
    left: &'a [Column],
    right: &'a [Column],
    fit: impl Fn(&Column, &Column) -> bool,
) -> Vec<(&'a Column, &'a Column)> {
    left.iter().flat_map(|l| right.iter().map(move |r| (l, r))).filter(|(l, r)| fit(l, r)).collect()
}

/// ` WHERE a AND b`, or nothing.
pub(super) fn where_clause(conditions: &[String]) -> String {
    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
}
