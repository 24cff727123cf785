//! The TPC-H benchmark over the demo's three domains: its tables, its 22 queries, and its data, generated in this
//! process.

pub mod cache;
pub mod generate;

#[cfg(test)]
mod tests;

use crate::compare::Order;

/// A table of TPC-H and the port that it is served as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// The name of the table, of its port, and of its file without `.parquet`.
    pub name: &'static str,
    /// The domain that owns the table.
    pub domain: &'static str,
    /// The product of the port.
    pub product: &'static str,
}

/// The eight tables.
pub const TABLES: [Table; 8] = [
    Table { name: "lineitem", domain: "sales", product: "orders" },
    Table { name: "orders", domain: "sales", product: "orders" },
    Table { name: "customer", domain: "sales", product: "customers" },
    Table { name: "partsupp", domain: "supply", product: "parts" },
    Table { name: "part", domain: "supply", product: "parts" },
    Table { name: "supplier", domain: "supply", product: "suppliers" },
    Table { name: "nation", domain: "geo", product: "places" },
    Table { name: "region", domain: "geo", product: "places" },
];

/// The domains that own the tables.
pub const DOMAINS: [&str; 3] = ["sales", "supply", "geo"];

/// One of the 22 queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// The number in the specification, from 1.
    pub number: usize,
    /// The text, with the validation parameters of the specification and with qualified names.
    pub sql: &'static str,
    /// The output columns of `ORDER BY`, outermost first, from 0; empty if the query has none.
    pub sort_keys: &'static [usize],
    /// The `LIMIT` of the query.
    pub limit: Option<usize>,
}

impl Query {
    /// Returns the order of the rows.
    pub fn order(&self) -> Order {
        if self.sort_keys.is_empty() {
            Order::Any
        } else {
            // No rows tie at a limit. This is certain, because the data is the same every time.
            Order::Sorted { keys: self.sort_keys.to_vec(), limit: None }
        }
    }
}

macro_rules! query {
    ($number:literal, $file:literal, $sort_keys:expr, $limit:expr) => {
        Query { number: $number, sql: include_str!(concat!("queries/", $file)), sort_keys: &$sort_keys, limit: $limit }
    };
}

/// The 22 queries, in order.
pub const QUERIES: [Query; 22] = [
    query!(1, "q01.sql", [0, 1], None),
    query!(2, "q02.sql", [0, 2, 1, 3], Some(100)),
    query!(3, "q03.sql", [1, 2], Some(10)),
    query!(4, "q04.sql", [0], None),
    query!(5, "q05.sql", [1], None),
    query!(6, "q06.sql", [], None),
    query!(7, "q07.sql", [0, 1, 2], None),
    query!(8, "q08.sql", [0], None),
    query!(9, "q09.sql", [0, 1], None),
    query!(10, "q10.sql", [2], Some(20)),
    query!(11, "q11.sql", [1], None),
    query!(12, "q12.sql", [0], None),
    query!(13, "q13.sql", [1, 0], None),
    query!(14, "q14.sql", [], None),
    query!(15, "q15.sql", [0], None),
    query!(16, "q16.sql", [3, 0, 1, 2], None),
    query!(17, "q17.sql", [], None),
    query!(18, "q18.sql", [4, 3], Some(100)),
    query!(19, "q19.sql", [], None),
    query!(20, "q20.sql", [0], None),
    query!(21, "q21.sql", [1, 0], Some(100)),
    query!(22, "q22.sql", [0], None),
];
