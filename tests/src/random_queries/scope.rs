//! The generator's view of a relation: columns with their types, and an approximate number of rows.

/// The type of an expression, in the generator's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    /// An integer that may be at an end of its range.
    Wide,
    Decimal,
    Text,
    Date,
    /// An instant without a zone.
    Stamp,
    Bool,
    /// A floating-point number whose value does not depend on the order of evaluation.
    Float,
}

/// A column that an expression can name.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// The name of the column in SQL.
    pub(super) sql: String,
    pub(super) kind: Kind,
    /// The approximate number of distinct values.
    pub(super) distinct: f64,
    /// The entity that the values identify; `""` if there is none.
    pub(super) family: &'static str,
    /// Values that occur, or almost occur.
    pub(super) literals: &'static [&'static str],
    /// True for a table's own column. Arithmetic on such columns stays within the bounds of decimals.
    pub(super) base: bool,
}

/// A relation, or several joined ones.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    /// The relation's text in `FROM`.
    pub(super) sql: String,
    pub(super) columns: Vec<Column>,
    /// The approximate number of rows.
    pub(super) rows: f64,
    /// Conditions for `WHERE`, from joins by comma.
    pub(super) conditions: Vec<String>,
}

/// A `SELECT`, or a set operation over several.
#[derive(Clone, Debug)]
pub(super) struct Select {
    pub(super) sql: String,
    /// The columns, named `c0`, `c1`, … if names were requested.
    pub(super) outputs: Vec<Output>,
    pub(super) rows: f64,
}

/// A column of a `SELECT`.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) kind: Kind,
    pub(super) distinct: f64,
    pub(super) family: &'static str,
    pub(super) literals: &'static [&'static str],
    /// True if the value does not depend on the order of evaluation.
    pub(super) exact: bool,
}

impl Output {
    /// Returns a column of which only the type is known.
    pub(super) fn of(kind: Kind, distinct: f64) -> Self {
        Self { kind, distinct, family: "", literals: super::tables::literals(kind), exact: true }
    }

    /// Returns the column under the name that others use.
    pub(super) fn named(&self, sql: String) -> Column {
        Column {
            sql,
            kind: self.kind,
            distinct: self.distinct,
            family: self.family,
            literals: self.literals,
            base: false,
        }
    }
}
