//! The columns of a relation by their unqualified names, and the expression of each.

use std::collections::BTreeMap;

use datafusion::common::{DFSchema, TableReference};
use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart, Value,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::upstream::identifiers::normal;
use crate::{Error, ErrorKind, Result};

/// One column.
#[derive(Clone, Debug)]
pub(super) struct JoinedColumn {
    pub(super) name: String,
    /// The expression of the column, with qualified names.
    pub(super) value: Expr,
    /// True if the column merges a column of each side of a join.
    pub(super) merged: bool,
}

/// The columns of a relation.
#[derive(Clone, Debug, Default)]
pub(super) struct JoinedColumns {
    /// The columns in the order of `*`.
    pub(super) all: Vec<JoinedColumn>,
    /// The columns that only a qualified name reaches.
    hidden: Vec<JoinedColumn>,
}

/// The side whose value a merged column has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MergedSide {
    /// The left side. The columns of both sides remain.
    Left,
    /// The right side. The columns of both sides remain.
    Right,
    /// The side that has a row.
    Either,
    /// The left side. Only the columns of the left side remain.
    OnlyLeft,
    /// The right side. Only the columns of the right side remain.
    OnlyRight,
}

impl JoinedColumns {
    /// Returns the columns of a planned relation.
    pub(super) fn of(schema: &DFSchema) -> Self {
        let column = |(table, field): (Option<&TableReference>, &std::sync::Arc<arrow::datatypes::Field>)| {
            JoinedColumn { name: field.name().clone(), value: reference(table, field.name()), merged: false }
        };
        Self::from(schema.iter().map(column).collect::<Vec<_>>())
    }

    /// Returns the columns of both relations.
    pub(super) fn beside(mut self, right: Self) -> Self {
        self.all.extend(right.all);
        self.hidden.extend(right.hidden);
        self
    }

    /// Returns the names that both relations have, in the order of the left one.
    pub(super) fn shared(&self, right: &Self) -> Vec<String> {
        let mut shared: Vec<String> = vec![];
        for JoinedColumn { name, .. } in &self.all {
            if right.all.iter().any(|c| c.name == *name) && !shared.contains(name) {
                shared.push(name.clone());
            }
        }
        shared
    }

    /// Joins two relations by columns of these names. Returns the condition, and the columns of the join.
    pub(super) fn join(mut self, mut right: Self, names: &[String], kept: MergedSide) -> Result<(Expr, Self)> {
        let mut condition: Option<Expr> = None;
        let mut merged = Self::default();
        for name in names {
            let (l, r) = (self.take(name, "left")?, right.take(name, "right")?);
            let equal = binary(l.value.clone(), BinaryOperator::Eq, r.value.clone());
            condition = Some(match condition {
                Some(before) => binary(before, BinaryOperator::And, equal),
                None => equal,
            });
            merged.hidden.extend([l.clone(), r.clone()]);
            let value = match kept {
                MergedSide::Left | MergedSide::OnlyLeft => l.value,
                MergedSide::Right | MergedSide::OnlyRight => r.value,
                MergedSide::Either => coalesce(&l.value, &r.value)?,
            };
            merged.all.push(JoinedColumn { name: name.clone(), value, merged: true });
        }
        let rest = match kept {
            MergedSide::OnlyLeft => self,
            MergedSide::OnlyRight => right,
            _ => self.beside(right),
        };
        // Without a common column, every row matches every row.
        let condition = condition.unwrap_or_else(|| Expr::Value(Value::Boolean(true).into()));
        Ok((condition, merged.beside(rest)))
    }

    fn take(&mut self, name: &str, side: &str) -> Result<JoinedColumn> {
        let invalid = |what: String| Err(Error::new(ErrorKind::InvalidQuery, what));
        let mut places = self.all.iter().enumerate().filter(|(_, c)| c.name == name).map(|(place, _)| place);
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(self.all.remove(place)),
            (Some(_), Some(_)) => invalid(format!(
                "the {side} side of a join by `{name}` has several columns of that name: write ON with the names of the tables"
            )),
            (None, _) => invalid(format!(
                "the {side} side of a join has no column `{name}` to use as a key, or USING names it twice"
            )),
        }
    }

    /// Returns the column names of a table.
    pub(super) fn of_table(&self, table: &str) -> impl Iterator<Item = &str> {
        let is_of = move |column: &&JoinedColumn| match &column.value {
            Expr::CompoundIdentifier(parts) => {
                parts.len().checked_sub(2).and_then(|at| parts.get(at)).is_some_and(|part| normal(part) == table)
            }
            _ => false,
        };
        self.all.iter().chain(&self.hidden).filter(is_of).map(|column| column.name.as_str())
    }

    /// Returns the expressions of merged columns by name; `None` for a name that another column has as well.
    pub(super) fn merged(&self) -> BTreeMap<String, Option<Expr>> {
        let mut names = BTreeMap::new();
        for JoinedColumn { name, value, .. } in self.all.iter().filter(|c| c.merged) {
            let alone = self.all.iter().filter(|c| c.name == *name).count() == 1;
            names.insert(name.clone(), alone.then(|| value.clone()));
        }
        names
    }
}

impl From<Vec<JoinedColumn>> for JoinedColumns {
    fn from(all: Vec<JoinedColumn>) -> Self {
        Self { all, hidden: vec![] }
    }
}

/// Returns the name in quotes, so that SQL reads it unchanged.
pub(super) fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// Returns the last part of a name.
pub(super) fn last(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(ObjectNamePart::as_ident).map(normal)
}

/// True if a column's expression already has the column's name.
pub(super) fn is_named(value: &Expr, name: &str) -> bool {
    match value {
        Expr::Identifier(ident) => normal(ident) == name,
        Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|part| normal(part) == name),
        _ => false,
    }
}

fn reference(table: Option<&TableReference>, name: &str) -> Expr {
    let Some(table) = table else { return Expr::Identifier(quoted(name)) };
    let parts = [table.catalog(), table.schema(), Some(table.table()), Some(name)];
    Expr::CompoundIdentifier(parts.into_iter().flatten().map(quoted).collect())
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

/// Returns the first value that is not NULL. DataFusion repeats the arguments of `coalesce`, so that calls in one another
/// would double with each join.
fn coalesce(left: &Expr, right: &Expr) -> Result<Expr> {
    let text = format!("coalesce({}, {})", values(left), values(right));
    let parsed = Parser::new(&GenericDialect {}).try_with_sql(&text).and_then(|mut parser| parser.parse_expr());
    parsed.map_err(|e| Error::new(ErrorKind::Internal, format!("`{text}` does not parse")).with_source(e))
}

/// Returns the values of a column, several if it merges columns itself.
fn values(column: &Expr) -> String {
    match merged_values(column) {
        Some(values) => values.to_string(),
        None => column.to_string(),
    }
}

/// Returns the values of a column that merges others. No other column is a call of a function.
pub(super) fn merged_values(column: &Expr) -> Option<&FunctionArgumentList> {
    match column {
        Expr::Function(Function { args: FunctionArguments::List(values), .. }) => Some(values),
        _ => None,
    }
}
