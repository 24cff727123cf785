//! Random statements over the governed port and a port of another domain: filters, joins, aggregates, subqueries and
//! expressions that fail for some values.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::swapped::{COLUMNS, Kind};
use crate::ways::table;

/// The governed port.
pub const PEOPLE: &str = "hr.samples.people";
/// The port of the other domain.
pub const ORDERS: &str = "shop.samples.orders";

/// A statement.
#[derive(Clone, Debug)]
pub struct RandomStatement {
    /// The text.
    pub sql: String,
    /// True if the statement fails for the same values in every plan. A join decides for which rows an expression is
    /// computed, and plans differ in the order of joins and filters.
    pub fails_alike: bool,
}

/// Returns the rows of the port of the other domain.
pub fn orders() -> Vec<RecordBatch> {
    let person = (0..300_i64).map(|number| (number % 13 != 0).then_some(number * 5 % 420));
    let tags = (0..300_i64).map(|number| ["a", "b", "c", "x", "person-nnn-n"][number as usize % 5]);
    vec![table(vec![
        ("number", Arc::new(Int64Array::from_iter_values(0..300)) as ArrayRef),
        ("person", Arc::new(person.collect::<Int64Array>())),
        ("amount", Arc::new(Int64Array::from_iter_values((0..300).map(|number| number % 11)))),
        ("tag", Arc::new(StringArray::from_iter_values(tags))),
    ])]
}

/// Returns a statement over these columns of the governed port.
pub fn statement(random: &mut StdRng, readable: &[usize]) -> RandomStatement {
    let mut s = Statements { random, readable };
    let alike = |sql: String| RandomStatement { sql, fails_alike: true };
    let unlike = |sql: String| RandomStatement { sql, fails_alike: false };
    match s.random.random_range(0..12) {
        0 | 1 => alike(format!("SELECT {} FROM {PEOPLE} p{}", s.items("p"), s.filter("p"))),
        2 => {
            let key = s.column("p");
            alike(format!("SELECT {key} AS k, {} FROM {PEOPLE} p{} GROUP BY {key}", s.aggregates("p"), s.filter("p")))
        }
        3 => alike(format!("SELECT {} FROM {PEOPLE} p{}", s.aggregates("p"), s.filter("p"))),
        4 => {
            let (join, kind) = (s.join_condition(), s.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]));
            let (aggregates, condition) = (s.aggregates("p"), s.safe("p"));
            unlike(format!(
                "SELECT count(o.number), sum(o.amount), {aggregates} FROM {PEOPLE} p {kind} {ORDERS} o ON {join} \
                 WHERE {condition} OR o.amount > 3"
            ))
        }
        5 => {
            let (join, condition, item) = (s.join_condition(), s.safe("p"), s.failing("p"));
            unlike(format!(
                "SELECT o.number, p.id, {item} FROM {PEOPLE} p JOIN {ORDERS} o ON {join} WHERE {condition} AND o.number < 90"
            ))
        }
        6 => {
            let (not, condition) = (s.pick(&["", "NOT "]), s.safe("p"));
            unlike(format!(
                "SELECT count(*), sum(amount) FROM {ORDERS} WHERE person {not}IN (SELECT p.id FROM {PEOPLE} p WHERE {condition})"
            ))
        }
        7 => {
            let (not, condition) = (s.pick(&["", "NOT "]), s.safe("p"));
            unlike(format!(
                "SELECT number FROM {ORDERS} o WHERE {not}EXISTS \
                 (SELECT 1 FROM {PEOPLE} p WHERE p.id = o.person AND {condition})"
            ))
        }
        8 => {
            let (condition, item) = (s.any_condition("p"), s.pick(&["p.id", "max(p.id)", "count(*)"]));
            alike(format!("SELECT (SELECT {item} FROM {PEOPLE} p WHERE {condition})"))
        }
        9 => {
            let (items, filter, direction) = (s.items("p"), s.filter("p"), s.pick(&["", " DESC"]));
            let limit = s.random.random_range(0..20);
            let key = s.column("p");
            alike(format!(
                "SELECT {key} AS k, p.id AS i, {items} FROM {PEOPLE} p{filter} ORDER BY 1{direction}, 2 LIMIT {limit}"
            ))
        }
        10 => {
            let (a, b, condition) = (s.column("a"), s.column("a").replace("a.", "b."), s.safe("a"));
            let b = if s.random.random_bool(0.7) { a.replace("a.", "b.") } else { b };
            let is_comparable = kind_of(&a) == kind_of(&b);
            let on = if is_comparable { format!("{a} = {b}") } else { "a.id = b.id".to_owned() };
            unlike(format!("SELECT count(*), min(b.id) FROM {PEOPLE} a JOIN {PEOPLE} b ON {on} WHERE {condition}"))
        }
        _ => {
            let (key, filter) = (s.column("p"), s.filter("p"));
            alike(format!(
                "SELECT p.id AS i, {key} AS k, rank() OVER (ORDER BY {key}, p.id), count(*) OVER () FROM {PEOPLE} p{filter}"
            ))
        }
    }
}

fn kind_of(column: &str) -> Kind {
    let name = column.split_once('.').map_or(column, |(_, name)| name);
    COLUMNS.iter().find(|(other, _)| *other == name).expect("a column of the port").1
}

/// A generator of statements over readable columns.
struct Statements<'a> {
    random: &'a mut StdRng,
    readable: &'a [usize],
}

impl Statements<'_> {
    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from.choose(self.random).unwrap()
    }

    fn column(&mut self, alias: &str) -> String {
        format!("{alias}.{}", COLUMNS[*self.readable.choose(self.random).unwrap()].0)
    }

    /// Returns a column of this kind; `None` if no such column can be read.
    fn of_kind(&mut self, alias: &str, kind: Kind) -> Option<String> {
        let all: Vec<usize> = self.readable.iter().copied().filter(|at| COLUMNS[*at].1 == kind).collect();
        all.choose(self.random).map(|at| format!("{alias}.{}", COLUMNS[*at].0))
    }

    fn items(&mut self, alias: &str) -> String {
        let count = self.random.random_range(1..4);
        let mut items: Vec<String> = (0..count).map(|_| self.column(alias)).collect();
        if self.random.random_bool(0.3) {
            items.push(self.failing(alias));
        }
        items.iter().enumerate().map(|(i, item)| format!("{item} AS c{i}")).collect::<Vec<_>>().join(", ")
    }

    fn aggregates(&mut self, alias: &str) -> String {
        let (a, b, c) = (self.column(alias), self.column(alias), self.column(alias));
        let number = self.of_kind(alias, Kind::Int).unwrap_or_else(|| format!("{alias}.id"));
        format!("count(*), count({a}), count(DISTINCT {b}), min({c}), max({a}), sum({number})")
    }

    /// Returns ` WHERE …`, or nothing. A condition that may fail stands alone, because the order of conditions decides
    /// for which rows it is computed.
    fn filter(&mut self, alias: &str) -> String {
        match self.random.random_range(0..4) {
            0 => String::new(),
            _ => format!(" WHERE {}", self.any_condition(alias)),
        }
    }

    fn any_condition(&mut self, alias: &str) -> String {
        match self.random.random_range(0..3) {
            0 => format!("{} IS NOT NULL", self.failing(alias)),
            1 => self.safe(alias),
            _ => format!("{} AND {}", self.safe(alias), self.safe(alias)),
        }
    }

    /// Returns a condition that fails for no value.
    fn safe(&mut self, alias: &str) -> String {
        let column = self.column(alias);
        let operator = self.pick(&["=", "<>", "<", "<=", ">", ">="]);
        match (kind_of(&column), self.random.random_range(0..6)) {
            (_, 0) => format!("{column} IS NULL"),
            (_, 1) => format!("({} OR {})", self.safe_comparison(alias), self.safe_comparison(alias)),
            (Kind::Int, _) => format!("{column} {operator} {}", self.random.random_range(-3..60)),
            (Kind::Text, 2 | 3) => format!("{column} LIKE '{}'", self.pick(&["person-1%", "%5", "n%", "%-%", "00%"])),
            (Kind::Text, _) => format!("{column} {operator} '{}'", self.pick(&["b", "person-100-5", "XXXXXXXX", "n"])),
            (Kind::Date, 2) => format!("date_part('year', {column}) {operator} 1980"),
            (Kind::Date, _) => format!("{column} {operator} DATE '1980-01-01'"),
        }
    }

    fn safe_comparison(&mut self, alias: &str) -> String {
        let operator = self.pick(&["=", "<", ">"]);
        match self.of_kind(alias, Kind::Int) {
            Some(column) => format!("{column} {operator} {}", self.random.random_range(0..400)),
            None => format!("{alias}.id IS NULL"),
        }
    }

    /// Returns an expression that fails for some values of visible or hidden rows.
    fn failing(&mut self, alias: &str) -> String {
        let number = self.of_kind(alias, Kind::Int).unwrap_or_else(|| format!("{alias}.id"));
        let text = self.of_kind(alias, Kind::Text);
        let constant = self.random.random_range(-3..400);
        match (self.random.random_range(0..6), text) {
            (0, Some(text)) => format!("CAST({text} AS BIGINT)"),
            (1, Some(text)) => format!("CAST(CASE WHEN {alias}.id = {constant} THEN {text} ELSE '1' END AS INT)"),
            (2, Some(text)) => format!("TRY_CAST({text} AS INT)"),
            (3, _) => format!("COALESCE(1 / ({number} - {constant}), 0)"),
            (4, _) => format!("CASE WHEN {number} > 5 THEN 100 / ({number} - {constant}) ELSE 0 END"),
            _ => format!("1 / ({number} - {constant})"),
        }
    }

    fn join_condition(&mut self) -> String {
        match (self.of_kind("p", Kind::Text), self.random.random_range(0..4)) {
            (Some(text), 0) => format!("{text} = o.tag AND p.id = o.person"),
            (_, 1) => "p.id = o.person AND o.amount > 2".to_owned(),
            _ => "p.id = o.person".to_owned(),
        }
    }
}
