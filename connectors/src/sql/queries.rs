//! The query of one operator, and the inputs of an operator as derived tables.

use datafusion::common::DFSchema;
use datafusion::logical_expr::LogicalPlan;

use super::table::ColumnUsage;

/// The place for a range of rows behind a scanned table, while a query is written. No literal has this character.
pub(super) const RANGE_MARK: char = '\0';

/// The query of an operator.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) body: Body,
    /// The facts about each column.
    pub(super) columns: Vec<QueryColumn>,
}

/// The text of a query, as far as its columns can still be changed.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// The columns, and the clauses from `FROM` on.
    Select { columns: Vec<String>, clauses: String },
    /// A query whose columns have names already.
    Whole(String),
}

/// The facts about a column of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueryColumn {
    pub(super) usage: ColumnUsage,
    /// True if the values are those of a table's column, so that they are not a constant.
    pub(super) is_stored: bool,
}

impl QueryColumn {
    /// A column with computed values.
    pub(super) const COMPUTED: Self = Self { usage: ColumnUsage::All, is_stored: false };

    /// Returns what holds for a column that has the values of two others.
    pub(super) fn merged(self, other: Self) -> Self {
        let usage = if other.usage == ColumnUsage::Returned { other.usage } else { self.usage };
        Self { usage, is_stored: self.is_stored && other.is_stored }
    }
}

impl Query {
    /// Returns the text. The columns are called `c0`, `c1`, …
    pub(super) fn text(&self) -> String {
        match &self.body {
            Body::Select { columns, clauses } => format!("SELECT {} {clauses}", named(columns)),
            Body::Whole(text) => text.clone(),
        }
    }
}

/// An input of an operator, as a derived table.
pub(super) struct Input<'a> {
    pub(super) plan: &'a LogicalPlan,
    pub(super) alias: String,
    pub(super) sql: String,
    pub(super) columns: Vec<QueryColumn>,
    /// True if the strings compare by their bytes wherever they are read.
    pub(super) is_exact: bool,
}

impl Input<'_> {
    /// Returns the input in a `FROM` clause.
    pub(super) fn from(&self) -> String {
        format!("({}) AS {}", self.sql, self.alias)
    }

    pub(super) fn schema(&self) -> &DFSchema {
        self.plan.schema()
    }

    pub(super) fn column(&self, index: usize) -> String {
        format!("{}.c{index}", self.alias)
    }

    /// Returns the columns, each as it is.
    pub(super) fn all(&self) -> Vec<String> {
        (0..self.columns.len()).map(|index| self.column(index)).collect()
    }
}

/// The columns as `c0`, `c1`, …; a constant if there are none.
pub(super) fn named(columns: &[String]) -> String {
    if columns.is_empty() {
        return "1 AS c0".to_owned();
    }
    let columns: Vec<String> = columns.iter().enumerate().map(|(i, column)| format!("{column} AS c{i}")).collect();
    columns.join(", ")
}
