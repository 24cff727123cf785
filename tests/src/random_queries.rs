//! Random queries over the eight ports of the demo's three domains and the ports of two generated domains, and the
//! comparison of their results: placed with unplaced, with one process over the same files, and with DuckDB. A query
//! depends only on its seed and its index.

mod databases;
mod dialect;
mod expressions;
mod files;
mod generator;
mod made_up;
mod predicates;
mod relations;
mod repeated;
mod scope;
mod select;
mod shrink;
mod subqueries;
mod tables;
mod trial;
mod using;

use std::collections::BTreeSet;

use portolan_testbed::compare::Order;

pub use databases::tpch_domain;
pub use dialect::{for_duckdb, settings as duckdb_settings};
use generator::Generator;
pub use made_up::{REPEAT, REPEATED};
pub use repeated::{reads_twice, repeated_query};
use scope::Select;
pub use shrink::{shrunk, simpler};
pub use tables::SCALE;
pub use trial::{Outcome, Shared, Trial, Verdict};

/// The largest nesting depth of subqueries and derived tables.
const DEPTH: usize = 2;
/// The factor that spreads the indices of one seed.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// A query, the required order of its rows, and the kinds of constructs in it.
#[derive(Clone, Debug)]
pub struct RandomQuery {
    /// The text of the query.
    pub sql: String,
    /// The required order of the rows.
    pub order: Order,
    /// The kinds of constructs in the query.
    pub kinds: BTreeSet<&'static str>,
}

/// Returns the query at `index` of the sequence that `seed` starts.
pub fn random_query(seed: u64, index: u64) -> RandomQuery {
    let mut generator = Generator::new(seed.wrapping_add(index.wrapping_mul(SPREAD)));
    let g = &mut generator;
    let with = if g.chance(0.2) { common_table_expression(g) } else { String::new() };
    let named = !g.chance(0.3);
    let select = match g.below(20) {
        0 => g.using(named),
        1..=6 => g.plain(DEPTH, None, named),
        7..=13 => g.aggregate(DEPTH, None, named),
        14..=16 => g.window(DEPTH, named),
        _ => g.set_operation(DEPTH),
    };
    let (tail, order) = tail(g, &select);
    RandomQuery { sql: format!("{with}{}{tail}", select.sql), order, kinds: generator.kinds }
}

/// Returns a common table expression, which the main query uses twice.
fn common_table_expression(g: &mut Generator) -> String {
    let inner = g.query(DEPTH - 1, None);
    g.tag("common table expression");
    g.expressions.push(("w0".into(), inner.outputs, inner.rows));
    g.forced = vec![0, 0];
    format!("WITH w0 AS ({}) ", inner.sql)
}

/// Returns `ORDER BY` and `LIMIT`, and the order that they require. A limit is used only with a total order.
fn tail(g: &mut Generator, select: &Select) -> (String, Order) {
    let columns = select.outputs.len();
    // DataFusion 55.2 treats a grouping column that a filter fixes as constant, even if grouping sets make it NULL, and
    // omits the sort.
    let exact = select.outputs.iter().all(|o| o.exact) && !g.kinds.contains("grouping sets");
    // It also moves a limit below a window function.
    if exact && !g.kinds.contains("window") && g.chance(0.35) {
        g.tag("order by with limit");
        let offset = if g.chance(0.3) { " OFFSET 3" } else { "" };
        let limit = [0, 1, 5, 10, 100][g.below(5)];
        let order = g.total_order(columns);
        return (format!(" ORDER BY {order} LIMIT {limit}{offset}"), sorted((0..columns).collect()));
    }
    if exact && g.chance(0.3) {
        g.tag("order by");
        let key = g.below(columns);
        let direction = g.direction();
        return (format!(" ORDER BY {}{direction}", key + 1), sorted(vec![key]));
    }
    (String::new(), Order::Any)
}

fn sorted(keys: Vec<usize>) -> Order {
    Order::Sorted { keys, limit: None }
}
