//! What the generator knows of a relation while it writes a query: columns with their types, and about how many rows.

/// The type of an expression, as far as the generator cares.
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
    /// A floating-point number whose value does not hang on the order of evaluation.
    Float,
}

/// A column that an expression can name.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// How to name it.
    pub(super) sql: String,
    pub(super) kind: Kind,
    /// About how many distinct values it has.
    pub(super) distinct: f64,
    /// What its values identify; `""` where nothing.
    pub(super) family: &'static str,
    /// Values that occur, or nearly.
    pub(super) literals: &'static [&'static str],
    /// Whether it is a table's own column: arithmetic on those stays within the bounds of decimals.
    pub(super) base: bool,
}

/// A relation, or several joined ones.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    /// Its text in `FROM`.
    pub(super) sql: String,
    pub(super) columns: Vec<Column>,
    /// About how many rows it has.
    pub(super) rows: f64,
    /// Conditions that belong into `WHERE`: those of joins by comma.
    pub(super) conditions: Vec<String>,
}

/// A `SELECT`, or a set operation over some.
#[derive(Clone, Debug)]
pub(super) struct Select {
    pub(super) sql: String,
    /// What it gives, named `c0`, `c1`, … where it was asked to name them.
    pub(super) outputs: Vec<Output>,
    pub(super) rows: f64,
}

/// A column that a `SELECT` gives.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) kind: Kind,
    pub(super) distinct: f64,
    pub(super) family: &'static str,
    pub(super) literals: &'static [&'static str],
    /// Whether its value is the same whatever the order of evaluation.
    pub(super) exact: bool,
}

impl Output {
    /// A column of which only the type is known.
    pub(super) fn of(kind: Kind, distinct: f64) -> Self {
        Self { kind, distinct, family: "", literals: super::tables::literals(kind), exact: true }
    }

    /// The column as others name it.
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
