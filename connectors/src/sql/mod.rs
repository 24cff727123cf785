//! Fragments as SQL, for sites that are databases: what a database's SQL can say, as data, and the text of a query.
//!
//! Each operator becomes a derived table whose columns are called `c0`, `c1`, … in the order of the operator's columns.
//! So no name means two things, and a limit or an order stands only where it has an effect. Databases merge such tables
//! into one query.
//!
//! DataFusion's own unparser is not used: it keeps the names and the shapes of plans, and knows no differences between
//! the functions of a database and those of a node. So a query can have other rows there without an error.

mod aggregates;
mod allowed;
mod dialect;
mod dialects;
mod expressions;
mod joins;
mod literals;
mod numbers;
mod operators;
mod patterns;
mod queries;
mod rows;
mod table;
mod templates;
#[cfg(test)]
mod tests;

pub use allowed::{Shape, SqlCondition, SqlKind, SqlOperand, SqlShape, SqlSpelling};
pub use dialect::{LiteralForm, NullOrder, PatternForm, SqlDialect};
pub use dialects::{MARIADB, MYSQL, POSTGRES, SQLITE};
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) use literals::in_quotes;
pub use literals::quoted_name;
pub use numbers::{Bounds, Digits};
pub(crate) use operators::admits;
pub use operators::query;
pub use table::{ColumnUsage, SqlColumn, SqlQuery, SqlRanges, SqlTable};
