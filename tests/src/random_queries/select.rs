//! The kinds of `SELECT`: plain, with aggregates, with window functions; their set operations; and limits and orders.

use super::generator::Generator;
use super::scope::{Kind, Output, Relation, Select};

/// The largest number of columns of a result without groups.
const MAX_ITEMS: usize = 4;
/// The largest number of rows of a derived table in a join. A limit is added if necessary.
const MAX_DERIVED_ROWS: f64 = 15_000.0;

impl Generator {
    /// Returns a query with columns named `c0`, `c1`, …, for `FROM` or a set operation. `kinds` are the types of its
    /// columns, if they are required.
    pub(super) fn query(&mut self, depth: usize, kinds: Option<&[Kind]>) -> Select {
        self.nesting += 1;
        let select = self.any_query(depth, kinds);
        self.nesting -= 1;
        select
    }

    fn any_query(&mut self, depth: usize, kinds: Option<&[Kind]>) -> Select {
        let mut select = match self.below(10) {
            0..=3 => self.plain(depth, kinds, true),
            4..=6 => self.aggregate(depth, kinds, true),
            7 if kinds.is_none() => self.window(depth, true),
            8 if depth > 0 && kinds.is_none() => self.set_operation(depth),
            _ => self.plain(depth, kinds, true),
        };
        self.limit(&mut select, 0.15);
        select
    }

    /// Adds a limit with a total order if the query has too many rows, and otherwise with this probability.
    pub(super) fn limit(&mut self, select: &mut Select, probability: f64) {
        let limits_are_sound = !self.kinds.contains("grouping sets") && !self.kinds.contains("window");
        if limits_are_sound && (select.rows > MAX_DERIVED_ROWS || self.chance(probability)) {
            self.tag("limit in subquery");
            let limit = [3, 10, 200][self.below(3)];
            let order = self.total_order(select.outputs.len());
            // The query is in parentheses of its own, because the order of a set operation belongs to the whole.
            let inner = self.alias();
            select.sql = format!("SELECT * FROM ({}) AS {inner} ORDER BY {order} LIMIT {limit}", select.sql);
            select.rows = select.rows.min(f64::from(limit));
        }
    }

    /// Returns a `SELECT` without aggregates.
    pub(super) fn plain(&mut self, depth: usize, kinds: Option<&[Kind]>, named: bool) -> Select {
        let from = self.from(depth);
        self.plain_over(&from, depth, kinds, named)
    }

    /// Returns a `SELECT` without aggregates over a relation.
    pub(super) fn plain_over(&mut self, from: &Relation, depth: usize, kinds: Option<&[Kind]>, named: bool) -> Select {
        let filter = self.filter(from, depth);
        let mut items: Vec<(String, Output)> = vec![];
        let count = kinds.map_or_else(|| 1 + self.below(MAX_ITEMS), <[Kind]>::len);
        for i in 0..count {
            let kind = kinds.map(|k| k[i]);
            let item = if depth > 0 && self.chance(0.06) {
                self.subquery_item(&from.columns, from.rows, depth - 1, kind)
            } else if kind.is_none() && self.chance(0.06) {
                (format!("({})", self.simple_predicate(&from.columns)), Output::of(Kind::Bool, 2.0))
            } else {
                self.expression(&from.columns, kind)
            };
            items.push(item);
        }
        let distinct = self.chance(0.15);
        if distinct {
            self.tag("distinct");
        }
        let keyword = if distinct { "SELECT DISTINCT" } else { "SELECT" };
        let rows = if distinct { distinct_rows(&items, from.rows) } else { from.rows };
        let (list, outputs) = self.list(items, named);
        Select { sql: format!("{keyword} {list} FROM {}{filter}", from.sql), outputs, rows }
    }

    /// Returns the items' text, and the items. If items have no names, duplicates are removed.
    pub(super) fn list(&mut self, mut items: Vec<(String, Output)>, named: bool) -> (String, Vec<Output>) {
        if !named {
            let mut seen = std::collections::BTreeSet::new();
            items.retain(|(sql, _)| seen.insert(sql.clone()));
        }
        let name = |(i, (sql, _)): (usize, &(String, Output))| {
            if named { format!("{sql} AS c{i}") } else { sql.clone() }
        };
        let list: Vec<String> = items.iter().enumerate().map(name).collect();
        (list.join(", "), items.into_iter().map(|(_, output)| output).collect())
    }

    /// Returns a `SELECT` with aggregates, grouped or not.
    pub(super) fn aggregate(&mut self, depth: usize, kinds: Option<&[Kind]>, named: bool) -> Select {
        let from = self.from(depth);
        self.aggregate_over(&from, depth, kinds, named)
    }

    /// Returns a `SELECT` with aggregates over a relation.
    pub(super) fn aggregate_over(
        &mut self,
        from: &Relation,
        depth: usize,
        kinds: Option<&[Kind]>,
        named: bool,
    ) -> Select {
        let filter = self.filter(from, depth);
        let groups = if kinds.is_some() { 1 } else { [0, 1, 1, 1, 2, 2, 3][self.below(7)] };
        let mut keys: Vec<(String, Output)> = vec![];
        for i in 0..kinds.map_or(groups, <[Kind]>::len) {
            let key = self.expression(&from.columns, kinds.map(|k| k[i]));
            keys.push(key);
        }
        let mut items = keys.clone();
        if kinds.is_none() {
            let mut seen = std::collections::BTreeSet::new();
            keys.retain(|(sql, _)| seen.insert(sql.clone()));
            items.clone_from(&keys);
            if keys.is_empty() && self.chance(0.3) {
                items = self.extremes(from);
            } else {
                for _ in 0..1 + self.below(3) {
                    let item = self.aggregate_function(from, named);
                    items.push(item);
                }
            }
        }
        let rows = if keys.is_empty() { 1.0 } else { distinct_rows(&keys, from.rows) };
        let (group, rows) = self.group_by(&keys, rows, kinds.is_none());
        let having = if kinds.is_none() && self.chance(0.25) { self.having(from, depth) } else { String::new() };
        let (list, outputs) = self.list(items, named);
        Select { sql: format!("SELECT {list} FROM {}{filter}{group}{having}", from.sql), outputs, rows }
    }

    fn group_by(&mut self, keys: &[(String, Output)], rows: f64, sets: bool) -> (String, f64) {
        let names: Vec<&str> = keys.iter().map(|(sql, _)| sql.as_str()).collect();
        let all = names.join(", ");
        if names.is_empty() {
            self.tag("aggregate without group");
            return (String::new(), 1.0);
        }
        self.tag("group by");
        if !sets || !self.chance(0.2) {
            return (format!(" GROUP BY {all}"), rows);
        }
        self.tag("grouping sets");
        let group = match self.below(3) {
            0 => format!("ROLLUP ({all})"),
            1 => format!("CUBE ({all})"),
            _ => format!("GROUPING SETS (({all}), ({}), ())", names[0]),
        };
        (format!(" GROUP BY {group}"), rows * 4.0)
    }

    fn having(&mut self, from: &Relation, depth: usize) -> String {
        self.tag("having");
        let (value, output) = self.aggregate_function(from, true);
        let condition = match output.kind {
            Kind::Int if depth > 0 && self.chance(0.3) => {
                format!("{value} >= {}", self.scalar_subquery(&[], Kind::Int, depth - 1))
            }
            Kind::Int | Kind::Decimal | Kind::Float => format!("{value} > {}", ["1", "3", "50"][self.below(3)]),
            _ => format!("{value} IS NOT NULL"),
        };
        format!(" HAVING {condition}")
    }

    /// Writes the smallest and the largest values of some columns, and of expressions that no statistics cover.
    fn extremes(&mut self, from: &Relation) -> Vec<(String, Output)> {
        self.tag("several min and max");
        let mut items = vec![];
        let columns: Vec<_> = from.columns.iter().filter(|c| c.kind != Kind::Bool).cloned().collect();
        for _ in 0..3 {
            let Some(column) = self.pick(&columns).cloned() else { break };
            let (c, output) = (column.sql, Output::of(column.kind, 10.0));
            for function in ["min", "max"] {
                items.push((format!("{function}({c})"), output.clone()));
            }
            if column.kind == Kind::Int {
                items.push((format!("min({c} + 1)"), output));
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        items.retain(|(sql, _)| seen.insert(sql.clone()));
        if items.is_empty() { vec![("count(*)".into(), Output::of(Kind::Int, 1.0))] } else { items }
    }

    /// Returns an aggregate over the columns in scope. If `exact`, its value does not depend on the order of
    /// evaluation.
    fn aggregate_function(&mut self, from: &Relation, exact: bool) -> (String, Output) {
        let columns = &from.columns;
        let any = self.expression(columns, None);
        let kind = if self.chance(0.5) { Kind::Int } else { Kind::Decimal };
        let (number, _) = self.expression(columns, Some(kind));
        let sum = if kind == Kind::Int { Kind::Int } else { Kind::Decimal };
        let average = if kind == Kind::Int { Kind::Float } else { Kind::Decimal };
        let (tag, sql, kind): (&'static str, String, Kind) = match self.below(12) {
            0 | 1 => ("count(*)", "count(*)".into(), Kind::Int),
            2 => ("count", format!("count({})", any.0), Kind::Int),
            3 => ("count distinct", format!("count(DISTINCT {})", any.0), Kind::Int),
            4 | 5 => ("sum", format!("sum({number})"), sum),
            6 if any.1.kind != Kind::Bool => ("min", format!("min({})", any.0), any.1.kind),
            7 if any.1.kind != Kind::Bool => ("max", format!("max({})", any.0), any.1.kind),
            8 if kind == Kind::Decimal && self.nesting > 0 => {
                ("rounded decimals in a subquery", format!("avg({number})"), average)
            }
            8 => ("avg", format!("avg({number})"), average),
            9 if any.1.kind == Kind::Wide => {
                self.tag("arithmetic at the ends");
                ("sum", format!("sum({})", any.0), Kind::Wide)
            }
            9 if self.chance(0.3) => ("sum distinct", format!("sum(DISTINCT {number})"), sum),
            10 if !exact && self.chance(0.5) => {
                let output = Output { exact: false, ..Output::of(Kind::Float, 1000.0) };
                self.tag("sum of floats");
                return (format!("sum(CAST({number} AS DOUBLE))"), output);
            }
            11 if self.chance(0.3) => {
                let (text, _) = self.expression(columns, Some(Kind::Text));
                self.tag("ordered aggregate");
                let sql = format!("string_agg(DISTINCT {text}, ',' ORDER BY {text})");
                return (sql, Output::of(Kind::Text, 100.0));
            }
            _ => ("count(*)", "count(*)".into(), Kind::Int),
        };
        self.tag(tag);
        let filter = if self.chance(0.2) {
            self.tag("aggregate with FILTER");
            format!(" FILTER (WHERE {})", self.simple_predicate(columns))
        } else {
            String::new()
        };
        (format!("{sql}{filter}"), Output::of(kind, 100.0))
    }

    /// Returns window functions over a derived table. Rows that tie in all of its columns are the same.
    pub(super) fn window(&mut self, depth: usize, named: bool) -> Select {
        let inner = self.plain(depth.saturating_sub(1), None, true);
        let alias = self.alias();
        let columns: Vec<_> = inner.outputs.iter().enumerate().map(|(i, o)| o.named(format!("{alias}.c{i}"))).collect();
        let mut items: Vec<(String, Output)> =
            columns.iter().zip(&inner.outputs).map(|(c, o)| (c.sql.clone(), o.clone())).collect();
        let names: Vec<String> = columns.iter().map(|c| c.sql.clone()).collect();
        for i in 0..1 + self.below(2) {
            let partition = match self.pick(&names) {
                Some(name) if self.chance(0.6) => format!("PARTITION BY {name} "),
                _ => String::new(),
            };
            let direction = if self.chance(0.3) { " DESC NULLS LAST" } else { "" };
            let order = format!("ORDER BY {}{direction}", names.join(", "));
            let first = names.first().cloned().unwrap_or_default();
            let numbers: Vec<_> = columns.iter().filter(|c| matches!(c.kind, Kind::Int | Kind::Decimal)).collect();
            let number = self.pick(&numbers).map(|c| (c.sql.clone(), c.kind));
            // Only one function may distinguish rows that tie, because two would each do so in their own way.
            let any = self.below(5);
            let choice = if i == 0 { any } else { 1 + any % 2 };
            let item = match (choice, number) {
                (0, _) => (format!("row_number() OVER ({partition}{order})"), Kind::Int),
                (1, _) => (format!("rank() OVER ({partition}ORDER BY {first}{direction})"), Kind::Int),
                (2, Some((number, kind))) => (format!("sum({number}) OVER ({partition})"), kind),
                (3, Some((number, kind))) => {
                    let frame = "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW";
                    (format!("sum({number}) OVER ({partition}{order} {frame})"), kind)
                }
                (4, Some((number, kind))) => (format!("lag({number}, 1) OVER ({partition}{order})"), kind),
                _ => (format!("count(*) OVER ({partition})"), Kind::Int),
            };
            self.tag("window");
            items.push((item.0, Output::of(item.1, 100.0)));
        }
        let (list, outputs) = self.list(items, named);
        Select { sql: format!("SELECT {list} FROM ({}) AS {alias}", inner.sql), outputs, rows: inner.rows }
    }

    /// Returns a set operation of two queries with the same types.
    pub(super) fn set_operation(&mut self, depth: usize) -> Select {
        let depth = depth.saturating_sub(1);
        let mut left = self.plain(depth, None, true);
        let mut kinds: Vec<Kind> = left.outputs.iter().map(|o| o.kind).collect();
        self.mix_types(&mut kinds);
        let operations = ["UNION ALL", "UNION ALL", "UNION", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"];
        for _ in 0..1 + usize::from(self.chance(0.25)) {
            let right = if self.chance(0.7) {
                self.plain(depth, Some(&kinds), true)
            } else {
                self.aggregate(depth, Some(&kinds), true)
            };
            let operation = operations[self.below(operations.len())];
            self.tag(operation);
            left.sql = format!("({}) {operation} ({})", left.sql, right.sql);
            left.rows += right.rows;
        }
        for (output, kind) in left.outputs.iter_mut().zip(kinds) {
            if output.kind != kind {
                *output = Output::of(kind, output.distinct);
            }
            output.family = "";
        }
        left
    }

    /// Changes some of the types to those that other branches of a set operation may have.
    fn mix_types(&mut self, kinds: &mut [Kind]) {
        for kind in kinds {
            let other = match kind {
                Kind::Int if self.chance(0.3) => Kind::Float,
                Kind::Int => Kind::Decimal,
                Kind::Date => Kind::Stamp,
                _ => continue,
            };
            if self.maybe("mixed types in a set operation", 0.2) {
                *kind = other;
            }
        }
    }

    /// Returns an order by every column, each ascending or descending.
    pub(super) fn total_order(&mut self, columns: usize) -> String {
        let keys: Vec<String> = (1..=columns).map(|i| format!("{i}{}", self.direction())).collect();
        keys.join(", ")
    }

    pub(super) fn direction(&mut self) -> &'static str {
        ["", "", " DESC", " NULLS FIRST", " DESC NULLS LAST"][self.below(5)]
    }
}

fn distinct_rows(items: &[(String, Output)], rows: f64) -> f64 {
    items.iter().map(|(_, o)| o.distinct.max(1.0)).product::<f64>().min(rows).max(1.0)
}
