//! The relations in `FROM`: tables, derived tables, common table expressions, literal rows, and joins of them.

use super::expressions::{pairs, where_clause};
use super::generator::Generator;
use super::made_up::EMPTY;
use super::scope::{Column, Kind, Output, Relation};
use super::tables;

/// The largest number of rows of a join, and of pairs that a join without an equality compares.
const MAX_ROWS: f64 = 40_000.0;
/// The number of attempts to find a relation that fits.
const ATTEMPTS: usize = 6;

impl Generator {
    /// Returns one relation with its own alias.
    pub(super) fn relation(&mut self, depth: usize) -> Relation {
        let alias = self.alias();
        if let Some(name) = self.forced.pop() {
            return self.expression_table(name, &alias);
        }
        if !self.expressions.is_empty() && self.chance(0.25) {
            let name = self.below(self.expressions.len());
            return self.expression_table(name, &alias);
        }
        if depth > 0 && self.chance(0.15) {
            self.tag("derived table");
            let inner = self.query(depth - 1, None);
            return named(format!("({}) AS {alias}", inner.sql), &alias, &inner.outputs, inner.rows);
        }
        if self.chance(0.04) {
            self.tag("values");
            let rows = "(1, 'F'), (2, NULL), (NULL, 'O'), (7, 'A')";
            let outputs = [Output::of(Kind::Int, 3.0), Output::of(Kind::Text, 3.0)];
            return named(format!("(VALUES {rows}) AS {alias} (c0, c1)"), &alias, &outputs, 4.0);
        }
        if depth > 0 && self.chance(0.04) {
            self.tag("unnest");
            let inner = self.query(depth - 1, None);
            let mut outputs = inner.outputs;
            let (of, repeated) = (self.alias(), format!("unnest([1, NULL, 2]) AS c{}", outputs.len()));
            outputs.push(Output::of(Kind::Int, 2.0));
            let sql = format!("(SELECT *, {repeated} FROM ({}) AS {of}) AS {alias}", inner.sql);
            return named(sql, &alias, &outputs, inner.rows * 3.0);
        }
        if depth > 0 && self.chance(0.06) {
            let inner = self.using(true);
            return named(format!("({}) AS {alias}", inner.sql), &alias, &inner.outputs, inner.rows);
        }
        let all = tables::tables();
        let Some(mut table) = self.pick(&all).copied() else { return named(String::new(), "", &[], 0.0) };
        if table.name == EMPTY && self.chance(0.7) {
            // Joins with the empty port find few faults.
            table = all[0];
        }
        let columns = table.columns.iter().map(|c| Column {
            sql: format!("{alias}.{}", c.0),
            kind: c.1,
            distinct: c.2,
            family: c.3,
            literals: c.4,
            base: true,
        });
        Relation {
            sql: format!("{} AS {alias}", table.name),
            columns: columns.collect(),
            rows: table.rows,
            conditions: vec![],
        }
    }

    /// Returns a common table expression under an alias.
    pub(super) fn expression_table(&mut self, index: usize, alias: &str) -> Relation {
        let (name, outputs, rows) = self.expressions[index].clone();
        named(format!("{name} AS {alias}"), alias, &outputs, rows)
    }

    /// Returns everything in `FROM`.
    pub(super) fn from(&mut self, depth: usize) -> Relation {
        let mut from = self.relation(depth);
        let joins = [0, 0, 0, 1, 1, 1, 1, 2, 2, 3];
        let mut joins = joins[self.below(joins.len())];
        joins = joins.max(self.forced.len());
        if joins > 0 && self.chance(0.15) {
            self.tag("comma join");
            for _ in 0..joins {
                from = self.comma_join(from, depth);
            }
            return from;
        }
        for _ in 0..joins {
            for _ in 0..ATTEMPTS {
                let right = self.relation(depth);
                if let Some(joined) = self.join(&from, &right) {
                    from = joined;
                    break;
                }
            }
        }
        from
    }

    fn comma_join(&mut self, mut from: Relation, depth: usize) -> Relation {
        for _ in 0..ATTEMPTS {
            let right = self.relation(depth);
            let Some((condition, rows)) = self.equal_columns(&from, &right) else { continue };
            from.sql = format!("{}, {}", from.sql, right.sql);
            from.columns.extend(right.columns);
            from.conditions.push(condition);
            from.rows = rows;
            break;
        }
        from
    }

    /// Returns an equality between two relations, and the approximate number of rows of the join.
    fn equal_columns(&mut self, left: &Relation, right: &Relation) -> Option<(String, f64)> {
        let same = |l: &Column, r: &Column| !l.family.is_empty() && l.family == r.family;
        let rows = |l: &Column, r: &Column| left.rows * right.rows / l.distinct.max(r.distinct).max(1.0);
        let keys = pairs(&left.columns, &right.columns, |l, r| same(l, r) && rows(l, r) <= MAX_ROWS);
        let other = pairs(&left.columns, &right.columns, |l, r| {
            let alike = match l.kind {
                Kind::Int | Kind::Wide | Kind::Decimal | Kind::Date => l.kind == r.kind,
                Kind::Text => r.kind == Kind::Text && l.literals == r.literals,
                Kind::Bool | Kind::Float | Kind::Stamp => false,
            };
            alike && !same(l, r) && rows(l, r) <= MAX_ROWS
        });
        let (l, r) = if !other.is_empty() && self.chance(0.2) {
            self.tag("join on other columns");
            *self.pick(&other)?
        } else {
            *self.pick(&keys)?
        };
        Some((format!("{} = {}", l.sql, r.sql), rows(l, r)))
    }

    /// Joins two relations; `None` if that would be too much work.
    fn join(&mut self, left: &Relation, right: &Relation) -> Option<Relation> {
        let both: Vec<Column> = left.columns.iter().chain(&right.columns).cloned().collect();
        let pairs = left.rows * right.rows;
        let (condition, rows) = if pairs <= MAX_ROWS && self.chance(0.25) {
            if self.chance(0.5) {
                self.tag("cross join");
                return Some(joined(left, "CROSS JOIN", right, "", both, pairs));
            }
            self.tag("join by inequality");
            (self.comparison(&left.columns, &right.columns)?, pairs)
        } else {
            self.equal_columns(left, right)?
        };
        Some(self.join_on(left, right, &condition, rows))
    }

    /// Joins two relations in some way by a condition. `rows` is the approximate number of pairs that match.
    pub(super) fn join_on(&mut self, left: &Relation, right: &Relation, condition: &str, rows: f64) -> Relation {
        let both: Vec<Column> = left.columns.iter().chain(&right.columns).cloned().collect();
        let extra = if self.chance(0.25) {
            self.tag("join with extra condition");
            format!(" AND {}", self.simple_predicate(&both))
        } else {
            String::new()
        };
        let condition = format!(" ON {condition}{extra}");
        let kinds: [(&'static str, &'static str); 10] = [
            ("JOIN", "inner join"),
            ("JOIN", "inner join"),
            ("JOIN", "inner join"),
            ("LEFT JOIN", "left join"),
            ("LEFT JOIN", "left join"),
            ("RIGHT JOIN", "right join"),
            ("FULL JOIN", "full join"),
            ("LEFT SEMI JOIN", "semi join"),
            ("LEFT ANTI JOIN", "anti join"),
            ("RIGHT SEMI JOIN", "right semi join"),
        ];
        let (join, tag) = kinds[self.below(kinds.len())];
        self.tag(tag);
        let (columns, rows) = match tag {
            "semi join" | "anti join" => (left.columns.clone(), left.rows),
            "right semi join" => (right.columns.clone(), right.rows),
            "inner join" => (both, rows),
            _ => (both, rows.max(left.rows + right.rows)),
        };
        joined(left, join, right, &condition, columns, rows)
    }

    /// Returns a `WHERE` with the conditions of the relations and some more.
    pub(super) fn filter(&mut self, from: &Relation, depth: usize) -> String {
        let mut conditions = from.conditions.clone();
        let count = [0, 0, 1, 1, 1, 2][self.below(6)];
        for _ in 0..count {
            conditions.push(self.predicate(&from.columns, from.rows, depth));
        }
        where_clause(&conditions)
    }
}

/// Returns the join of two relations.
pub(super) fn joined(
    left: &Relation,
    join: &str,
    right: &Relation,
    on: &str,
    columns: Vec<Column>,
    rows: f64,
) -> Relation {
    let conditions = left.conditions.clone();
    Relation { sql: format!("{} {join} {}{on}", left.sql, right.sql), columns, rows, conditions }
}

/// Returns a relation whose columns are named `c0`, `c1`, ….
pub(super) fn named(sql: String, alias: &str, outputs: &[Output], rows: f64) -> Relation {
    let columns = outputs.iter().enumerate().map(|(i, o)| {
        let mut column = o.named(format!("{alias}.c{i}"));
        if column.literals.is_empty() {
            column.literals = tables::literals(column.kind);
        }
        column
    });
    Relation { sql, columns: columns.collect(), rows, conditions: vec![] }
}
