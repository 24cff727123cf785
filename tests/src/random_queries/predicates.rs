//! Predicates over the columns in scope: comparisons, lists, patterns, three-valued logic.

use super::generator::Generator;
use super::scope::{Column, Kind};

impl Generator {
    /// Writes two literals, the smaller first if the column's list of literals is sorted.
    fn two_literals(&mut self, column: &Column) -> (String, String) {
        let count = column.literals.len().max(1);
        let (i, j) = (self.below(count), self.below(count));
        let literal = |i: usize| *column.literals.get(i).unwrap_or(&"NULL");
        let (first, second) = (literal(i.min(j)), literal(i.max(j)));
        (self.plainly(first, "decimal literal"), self.plainly(second, "decimal literal"))
    }

    fn comparison_sign(&mut self) -> &'static str {
        self.pick(&["=", "<>", "<>", "<", "<=", ">", ">="]).copied().unwrap_or("=")
    }

    fn not(&mut self) -> &'static str {
        if self.chance(0.3) { "NOT " } else { "" }
    }

    /// Chooses a column for a predicate.
    fn subject(&mut self, columns: &[Column]) -> Option<Column> {
        self.pick(columns).cloned()
    }

    /// Writes a predicate over one or two columns, without subqueries.
    pub(super) fn simple_predicate(&mut self, columns: &[Column]) -> String {
        let Some(column) = self.subject(columns) else { return "1 = 1".into() };
        if self.chance(0.12) {
            return self.truth_test(columns, &column);
        }
        if self.chance(0.2)
            && let Some(predicate) = self.predicate_of_kind(&column)
        {
            return predicate;
        }
        let c = column.sql.clone();
        let (a, b) = self.two_literals(&column);
        let not = self.not();
        let compare = self.comparison_sign();
        let other = self.comparable(columns, &column);
        match (self.below(12), column.kind) {
            (n, Kind::Bool) => match (n, other) {
                (0..=2, _) => format!("{c} IS {not}TRUE"),
                (3 | 4, _) => format!("{c} IS {not}FALSE"),
                (5 | 6, _) => format!("{not}{c}"),
                (7 | 8, Some(other)) => format!("{c} {compare} {other}"),
                _ => format!("{c} = {a}"),
            },
            // Tables have few NULLs: a condition without matches finds no faults.
            (0, _) if column.base && self.chance(0.7) => format!("{c} IS NOT NULL"),
            (0, _) => format!("{c} IS {not}NULL"),
            (1, _) if !column.base => format!("{c} IS {not}NULL"),
            (2, _) => format!("{c} {not}IN ({a}, {b}, {a})"),
            (3, _) if self.chance(0.1) => {
                self.tag("not in with null literal");
                format!("{c} NOT IN ({a}, NULL)")
            }
            (3 | 4, _) => format!("{c} {not}BETWEEN {a} AND {b}"),
            (5 | 6, Kind::Text) => {
                self.tag("like");
                let pattern = *self.pick(&["'%a%'", "'%1%'", "'_U%'", "'%'", "'F'", "'B%#1_'", "''"]).unwrap_or(&"'%'");
                format!("{c} {not}LIKE {pattern}")
            }
            (7, _) => format!("{c} {compare} {}", other.unwrap_or(a)),
            (8, _) => format!("({c} IS {not}DISTINCT FROM {})", other.unwrap_or(a)),
            _ => format!("{c} {compare} {a}"),
        }
    }

    /// Chooses another column that this one can be compared with.
    fn comparable(&mut self, columns: &[Column], column: &Column) -> Option<String> {
        let number = |kind| matches!(kind, Kind::Int | Kind::Wide | Kind::Decimal);
        let instant = |kind| matches!(kind, Kind::Date | Kind::Stamp);
        let alike = |other: &&Column| {
            let (l, r) = (column.kind, other.kind);
            l == r || (number(l) && number(r)) || (instant(l) && instant(r))
        };
        let others: Vec<&Column> = columns.iter().filter(|o| o.sql != column.sql).filter(alike).collect();
        self.pick(&others).map(|o| o.sql.clone())
    }

    /// Writes a test of a predicate that may be NULL.
    fn truth_test(&mut self, columns: &[Column], column: &Column) -> String {
        let c = &column.sql;
        let (a, b) = self.two_literals(column);
        let (not, compare) = (self.not(), self.comparison_sign());
        if self.maybe("not over in", 0.4) {
            return match self.below(6) {
                0 => format!("NOT ({c} IN ({a}) AND {c} IN ({b}))"),
                1 => format!("NOT ({c} IN ({a}, {b}) AND {c} NOT IN ({b}))"),
                2 => format!("NOT ({c} = {a} AND {c} = {b})"),
                3 => format!("NOT ({c} IN ({a}) OR {c} IN ({b}))"),
                4 => format!("({c} IN ({a}) AND {c} IN ({b})) IS {not}FALSE"),
                _ => format!("NOT ({c} < {a} AND {c} > {b})"),
            };
        }
        self.tag("truth test");
        let other = self.simple_predicate_of(columns);
        match self.below(7) {
            0 => format!("({c} {compare} {a}) IS {not}TRUE"),
            1 => format!("({c} {compare} {a}) IS {not}FALSE"),
            2 => format!("({c} {compare} {a}) IS {not}UNKNOWN"),
            3 => format!("(({c} {compare} {a}) IS {not}DISTINCT FROM ({other}))"),
            4 => format!("(({c} {compare} {a}) = ({other}))"),
            5 => format!("COALESCE({c} {compare} {a}, {})", if not.is_empty() { "true" } else { "false" }),
            _ => format!("CASE WHEN {other} THEN {c} {compare} {a} ELSE {c} IS NULL END"),
        }
    }

    /// Writes a comparison with a literal.
    fn simple_predicate_of(&mut self, columns: &[Column]) -> String {
        let Some(column) = self.subject(columns) else { return "1 = 1".into() };
        let (a, _) = self.two_literals(&column);
        format!("{} {} {a}", column.sql, self.comparison_sign())
    }

    /// Writes a predicate that only columns of this type have.
    fn predicate_of_kind(&mut self, column: &Column) -> Option<String> {
        let c = &column.sql;
        let (not, compare) = (self.not(), self.comparison_sign());
        Some(match column.kind {
            Kind::Text if self.maybe("like with escape", 0.5) => {
                let pattern =
                    *self.pick(&["'%!_%' ESCAPE '!'", "'%#%' ESCAPE '#'", "'50!%' ESCAPE '!'", "'a$_b' ESCAPE '$'"])?;
                format!("{c} {not}LIKE {pattern}")
            }
            Kind::Text if self.maybe("similar to", 0.5) => {
                let pattern = *self.pick(&["'a'", "'a%'", "'%a%'", "'a_b'", "'(a|A)'", "'F|O'", "'[A-Z]'", "''"])?;
                format!("{c} {not}SIMILAR TO {pattern}")
            }
            Kind::Text => {
                self.tag("like of a column");
                let pattern = *self.pick(&["'%' || ", "'_' || ", "'a' || "])?;
                format!("{c} {not}LIKE {pattern}{}", self.literal_text(column))
            }
            Kind::Decimal => {
                let digits =
                    *self.pick(&["8.79", "8.7900000001", "0.07", "1.0009", "-8.79", "100.5", "0.04", "0.1"])?;
                let other = *self.pick(&["8.79", "8.80", "99999.99", "0.05", "1"])?;
                if !self.maybe("decimal literal", 1.0) {
                    return None;
                }
                match self.below(3) {
                    0 => format!("{c} {not}IN ({digits}, {other})"),
                    1 => format!("{c} {not}BETWEEN {digits} AND {other}"),
                    _ => format!("{c} {compare} {digits}"),
                }
            }
            Kind::Int if self.maybe("decimal literal", 0.5) => format!("{c} {compare} 2.5"),
            Kind::Date if self.maybe("dates with timestamps", 0.7) => {
                format!("{c} {compare} TIMESTAMP '2024-02-29 12:30:00'")
            }
            Kind::Date => {
                self.tag("extreme dates");
                let day = *self.pick(&["DATE '0001-01-01'", "DATE '9999-12-31'", "DATE '1582-10-15'"])?;
                format!("COALESCE({c}, {day}) {compare} {day}")
            }
            Kind::Stamp if self.chance(0.3) => {
                let years = if self.maybe("year of an instant", 0.5) { ["9999", "1"] } else { ["2024", "1970"] };
                format!("EXTRACT(YEAR FROM {c}) {compare} {}", years[self.below(2)])
            }
            Kind::Stamp if self.maybe("dates with timestamps", 0.5) => format!("{c} {compare} DATE '2024-02-29'"),
            Kind::Stamp if self.maybe("extreme timestamps", 0.5) => {
                format!("COALESCE({c}, TIMESTAMP '9999-12-31 00:00:00') {compare} TIMESTAMP '2500-01-01 00:00:00'")
            }
            Kind::Float => {
                let value = *self.pick(&["'NaN'", "'Infinity'", "'3'", "'-Infinity'"])?;
                format!("{c} {compare} CAST({value} AS DOUBLE)")
            }
            _ => return None,
        })
    }

    fn literal_text(&mut self, column: &Column) -> String {
        (*self.pick(column.literals).unwrap_or(&"''")).to_owned()
    }

    /// Writes a predicate. `depth` bounds its subqueries.
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
}
