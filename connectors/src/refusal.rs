//! The reasons why an operator does not run at a site.

use std::fmt;

/// The reason why an operator does not run at a site. `EXPLAIN` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A fragment reads ports, and this is a table of the local node.
    LocalTable(String),
    /// The rows of the operator are on their way to the local node.
    RowsComeHere,
    /// A recursive query.
    RecursiveQuery,
    /// No site runs the operator for another one.
    Operator,
    /// A function whose value differs from call to call.
    VolatileFunction(String),
    /// The plan could not be read: the error.
    Unreadable(String),
    /// The site's SQL has no such operator: the name of the SQL and the operator.
    SqlOperator(&'static str, String),
    /// The site's SQL has no such expression, or gives it another meaning: the name of the SQL and the expression.
    SqlExpression(&'static str, String),
    /// The values of a type do not compare there as they do at a node: the name of the SQL and the type.
    SqlType(&'static str, String),
    /// The database only returns the values of a column: the name of the SQL and the column.
    SqlReturned(&'static str, String),
    /// The query would be too long: the name of the SQL and the most bytes of a query.
    SqlLength(&'static str, usize),
    /// The port has no table at the site.
    NoTable(String),
    /// The query of a derived port reads the port.
    OfQuery(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalTable(name) => write!(f, "`{name}` is a table of this node"),
            Self::RowsComeHere => f.write_str("its rows come here already"),
            Self::RecursiveQuery => f.write_str("recursive queries run at the local node"),
            Self::Operator => f.write_str("this operator does not travel"),
            Self::VolatileFunction(name) => {
                write!(f, "`{name}` is volatile: it runs at the local node")
            }
            Self::Unreadable(error) => f.write_str(error),
            Self::SqlOperator(sql, operator) => write!(f, "{sql} does not run `{operator}`"),
            Self::SqlExpression(sql, expression) => write!(f, "{sql} does not evaluate `{expression}`"),
            Self::SqlType(sql, data_type) => {
                write!(f, "{sql} does not compare values of type {data_type} as a node does")
            }
            Self::SqlReturned(sql, column) => {
                write!(
                    f,
                    "{sql} gives the values of column `{column}` another meaning than a node does, and only returns them"
                )
            }
            Self::SqlLength(sql, bytes) => write!(f, "{sql} does not run `a query of more than {bytes} bytes`"),
            Self::NoTable(port) => write!(f, "port {port} has no table there"),
            Self::OfQuery(port) => write!(f, "the query of a derived port reads {port}, and stays with its owner"),
        }
    }
}
