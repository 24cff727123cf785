//! What the SQL of a database can say, as data.

use arrow::datatypes::DataType;
use datafusion::logical_expr::{JoinType, Operator};

/// The SQL of a kind of database: the operators, expressions and types that mean the same there as at a node. What is not
/// listed is not sent.
#[derive(Clone, Copy, Debug)]
pub struct SqlDialect {
    /// The name of the SQL in `EXPLAIN`.
    pub name: &'static str,
    /// The character around a name. It is doubled inside.
    pub quote: char,
    /// The joins. Semi and anti joins are written with `EXISTS`, and right joins as left joins: only left ones are listed.
    pub joins: &'static [JoinType],
    /// The scalar functions.
    pub functions: &'static [SqlFunction],
    /// The aggregates.
    pub aggregates: &'static [SqlAggregate],
    /// Returns the name of a type; `None` if the database has none with these values.
    pub type_name: fn(&DataType) -> Option<String>,
    /// Returns true if values of a type compare, group, join and sort as they do at a node.
    pub compares: fn(&DataType) -> bool,
    /// Returns true if an arithmetic operator over these two types has the values that it has at a node, and never fails:
    /// a database evaluates conditions in any order, so one does not keep rows from another. The last type is that of the
    /// result.
    pub computes: fn(Operator, &DataType, &DataType, &DataType) -> bool,
    /// Returns true if a cast from the first type to the second keeps each value and never fails.
    pub casts: fn(&DataType, &DataType) -> bool,
    /// The largest number of queries inside one another. Each operator of a fragment is a query.
    pub max_depth: usize,
}

/// A scalar function.
#[derive(Clone, Copy, Debug)]
pub struct SqlFunction {
    /// Its name at a node.
    pub name: &'static str,
    /// Its name in the database.
    pub spelled: &'static str,
    /// Returns true if it has the same values over arguments of these types, and never fails.
    pub takes: fn(&[DataType]) -> bool,
}

/// An aggregate.
#[derive(Clone, Copy, Debug)]
pub struct SqlAggregate {
    /// Its name at a node and in the database.
    pub name: &'static str,
    /// Returns true if it has the same value over arguments of these types, and fails where it fails at a node.
    pub takes: fn(&[DataType]) -> bool,
}
