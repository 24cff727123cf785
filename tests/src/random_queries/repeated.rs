//! Random queries that read a common table expression at least twice: joined with itself, in a set operation, in
//! subqueries, or through another common table expression. Each reading can have a filter and columns of its own.

use super::expressions::pairs;
use super::generator::Generator;
use super::relations::{joined, named};
use super::scope::{Column, Kind, Output, Relation, Select};
use super::{DEPTH, RandomQuery, SPREAD, tail};

/// The attempts to write a query that reads an expression twice.
const ATTEMPTS: u64 = 20;
/// The largest number of rows of a join of two readings.
const MAX_JOINED_ROWS: f64 = 20_000.0;
/// The largest number of rows of a reading that is joined by columns that identify nothing: all of them may be equal.
const MAX_PAIRED_ROWS: f64 = 400.0;

/// Returns the query at `index` of the sequence that `seed` starts.
pub fn repeated_query(seed: u64, index: u64) -> RandomQuery {
    let first = seed.wrapping_add(index.wrapping_mul(SPREAD));
    let mut queries = (0..ATTEMPTS).map(|attempt| attempted(first.wrapping_add(attempt)));
    queries.find(reads_twice).unwrap_or_else(|| attempted(first))
}

/// True if a query reads a common table expression at least twice.
pub fn reads_twice(query: &RandomQuery) -> bool {
    ["w0 AS t", "w1 AS t"].into_iter().any(|reading| query.sql.matches(reading).count() > 1)
}

fn attempted(seed: u64) -> RandomQuery {
    let mut generator = Generator::new(seed);
    let g = &mut generator;
    let with = g.common_table_expressions();
    let select = match g.below(5) {
        0 | 1 => g.joined_readings(),
        2 | 3 => g.combined_readings(),
        _ => g.compared_readings(),
    };
    let (tail, order) = tail(g, &select);
    RandomQuery { sql: format!("{with}{}{tail}", select.sql), order, kinds: generator.kinds }
}

impl Generator {
    /// Writes a common table expression, and maybe another one over it.
    fn common_table_expressions(&mut self) -> String {
        let mut written = vec![];
        for number in 0..1 + usize::from(self.chance(0.35)) {
            if number > 0 {
                self.tag("expression over an expression");
                self.forced = vec![number - 1];
            }
            self.nesting += 1;
            let inner = self.common_table_expression();
            self.nesting -= 1;
            written.push(format!("w{number} AS ({})", inner.sql));
            self.expressions.push((format!("w{number}"), inner.outputs, inner.rows));
        }
        format!("WITH {} ", written.join(", "))
    }

    fn common_table_expression(&mut self) -> Select {
        let depth = DEPTH - 1;
        let mut select = match self.below(6) {
            0 | 1 => self.aggregate(depth, None, true),
            2 => self.window(depth, true),
            3 => self.set_operation(depth),
            _ => self.plain(depth, None, true),
        };
        self.forced.clear();
        if self.maybe("distinct expression", 0.1) {
            select.sql = format!("SELECT DISTINCT * FROM ({}) AS {}", select.sql, self.alias());
        }
        self.limit(&mut select, 0.25);
        select
    }

    /// Returns a reading of an expression: the whole, or with a filter and columns of its own.
    fn reading(&mut self) -> Relation {
        let which = self.below(self.expressions.len());
        let alias = self.alias();
        let whole = self.expression_table(which, &alias);
        self.nesting += 1;
        let inner = match self.below(5) {
            0 => Some(self.plain_over(&whole, 0, None, true)),
            1 => Some(self.aggregate_over(&whole, 0, None, true)),
            _ => None,
        };
        self.nesting -= 1;
        let Some(inner) = inner else { return whole };
        let alias = self.alias();
        named(format!("({}) AS {alias}", inner.sql), &alias, &inner.outputs, inner.rows)
    }

    /// Writes a `SELECT` over a join of readings.
    fn joined_readings(&mut self) -> Select {
        self.tag("joined readings");
        let mut from = self.reading();
        for _ in 0..1 + usize::from(self.chance(0.25)) {
            let right = self.reading();
            from = self.join_reading(&from, &right);
        }
        self.over(&from)
    }

    /// Joins a reading by equal columns. If that would be too much work, its rows are counted.
    fn join_reading(&mut self, left: &Relation, right: &Relation) -> Relation {
        let rows = |l: &Column, r: &Column| left.rows * right.rows / l.distinct.max(r.distinct).max(1.0);
        let are_few = left.rows.max(right.rows) <= MAX_PAIRED_ROWS;
        let keys = pairs(&left.columns, &right.columns, |l, r| {
            let is_comparable = !matches!(l.kind, Kind::Bool | Kind::Float | Kind::Stamp) && l.kind == r.kind;
            let is_entity = !l.family.is_empty() && l.family == r.family;
            is_comparable && (are_few || is_entity) && rows(l, r) <= MAX_JOINED_ROWS
        });
        if let Some((l, r)) = self.pick(&keys).copied() {
            return self.join_on(left, right, &format!("{} = {}", l.sql, r.sql), rows(l, r));
        }
        let alias = self.alias();
        let counted = format!("(SELECT count(*) AS c0 FROM {}) AS {alias}", right.sql);
        let right = named(counted, &alias, &[Output::of(Kind::Int, 1.0)], 1.0);
        let columns = left.columns.iter().chain(&right.columns).cloned().collect();
        joined(left, "CROSS JOIN", &right, "", columns, left.rows)
    }

    /// Writes a set operation of readings: of all columns of one expression, or of expressions over several.
    fn combined_readings(&mut self) -> Select {
        self.tag("combined readings");
        let whole = self.chance(0.5).then(|| self.below(self.expressions.len()));
        let mut left = self.branch(whole, None);
        let kinds: Vec<Kind> = left.outputs.iter().map(|output| output.kind).collect();
        let operations = ["UNION ALL", "UNION ALL", "UNION", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"];
        for _ in 0..1 + usize::from(self.chance(0.3)) {
            let right = self.branch(whole, Some(&kinds));
            let operation = operations[self.below(operations.len())];
            self.tag(operation);
            left.sql = format!("({}) {operation} ({})", left.sql, right.sql);
            left.rows += right.rows;
        }
        left
    }

    fn branch(&mut self, whole: Option<usize>, kinds: Option<&[Kind]>) -> Select {
        let Some(which) = whole else {
            let from = self.reading();
            return match kinds {
                Some(_) if self.chance(0.3) => self.aggregate_over(&from, 0, kinds, true),
                _ => self.plain_over(&from, 0, kinds, true),
            };
        };
        let alias = self.alias();
        let from = self.expression_table(which, &alias);
        let filter = self.filter(&from, 0);
        let outputs = self.expressions[which].1.clone();
        Select { sql: format!("SELECT * FROM {}{filter}", from.sql), outputs, rows: from.rows }
    }

    /// Writes a `SELECT` over a reading, with subqueries over others.
    fn compared_readings(&mut self) -> Select {
        self.tag("readings in subqueries");
        let mut from = self.reading();
        for _ in 0..1 + usize::from(self.chance(0.3)) {
            self.forced = vec![self.below(self.expressions.len())];
            let predicate = self.subquery_predicate(&from.columns, from.rows, 0);
            self.forced.clear();
            from.conditions.push(predicate);
        }
        self.over(&from)
    }

    fn over(&mut self, from: &Relation) -> Select {
        let named = !self.chance(0.3);
        match self.chance(0.5) {
            true => self.aggregate_over(from, 1, None, named),
            false => self.plain_over(from, 1, None, named),
        }
    }
}
