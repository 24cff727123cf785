//! The names of a query's columns, as the statement has them. DataFusion names `sum(x)` after the table's full name and
//! `1 + 1` after its types. It rejects two columns with the same name, which SQL allows.

use arrow::datatypes::{Schema, SchemaRef};
use sqlparser::ast::{Expr, Ident, ObjectNamePart, Query, SelectItem, SetExpr, SetQuantifier, Statement};

use crate::upstream::identifiers::normal;
use crate::visit::{find_expression, visit_expressions_mut};

/// The maximum number of characters of an expression that is the name of a column.
const MAX_LENGTH: usize = 256;

/// The columns whose names in the plan differ from those in the statement, with their names in the statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    places: Vec<(ListPosition, String)>,
    /// The number of columns, if the list determines it.
    columns: Option<usize>,
}

/// The position of a column: the number of columns before it, or after it. The number of columns that `*` stands for is
/// not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListPosition {
    After(usize),
    Before(usize),
}

impl Labels {
    /// Returns the columns with the names that the statement gives them.
    pub(crate) fn named(&self, schema: SchemaRef) -> SchemaRef {
        // If the list makes an unexpected number of columns, its names are not used.
        if self.places.is_empty() || self.columns.is_some_and(|columns| columns != schema.fields().len()) {
            return schema;
        }
        let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
        for (place, label) in &self.places {
            let at = match place {
                ListPosition::After(columns) => Some(*columns),
                ListPosition::Before(columns) => fields.len().checked_sub(columns + 1),
            };
            if let Some(field) = at.and_then(|at| fields.get_mut(at)) {
                *field = field.as_ref().clone().with_name(label).into();
            }
        }
        Schema::new_with_metadata(fields, schema.metadata().clone()).into()
    }
}

/// The name of a column in the list.
#[derive(PartialEq)]
enum ColumnLabel {
    /// A name alone.
    Plain(String),
    /// A column with its table: the parts of the name, and the last part alone.
    Qualified(Vec<String>, String),
    /// An expression without a name.
    Expression(String),
}

/// Finds the names of a statement's columns. If a column has the name of an earlier one, it gets a unique name.
pub(super) fn label(statement: &mut Statement) -> Labels {
    let Some(list) = list_of(statement) else { return Labels::default() };
    let names: Vec<Option<ColumnLabel>> = list.iter().map(name).collect();
    let mut places = vec![];
    for (at, item) in list.iter_mut().enumerate() {
        let (Some(own), Some(place)) = (&names[at], place(&names, at)) else { continue };
        let repeats = names[..at].iter().flatten().any(|earlier| clash(earlier, own));
        places.push((place, own.text().to_owned()));
        if repeats {
            rename(item, at);
        }
    }
    let columns = names.iter().all(Option::is_some).then_some(names.len());
    Labels { places, columns }
}

/// The columns that get unique names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RenamedColumns {
    /// Columns without a name. `ORDER BY` may use the names of the others.
    Expressions,
    /// All columns.
    All,
}

/// Gives columns unique names. A plan may have one name for two columns that are written differently: `x` and
/// `CAST(x AS INT)`, or `x` and a column of `*`.
pub(super) fn make_unique(statement: &mut Statement, which: RenamedColumns) {
    let Some(list) = list_of(statement) else { return };
    let names: Vec<Option<ColumnLabel>> = list.iter().map(name).collect();
    for (at, item) in list.iter_mut().enumerate() {
        let wanted = which == RenamedColumns::All || matches!(names[at], Some(ColumnLabel::Expression(_)));
        // A column without a known position would keep the unique name.
        if wanted && place(&names, at).is_some() {
            rename(item, at);
        }
    }
}

/// True if two columns that are written differently may have the same name in the plan.
pub(super) fn may_clash(statement: &mut Statement) -> bool {
    let Some(list) = list_of(statement) else { return false };
    let hides_names = |item: &SelectItem| !matches!(name(item), Some(ColumnLabel::Plain(_)));
    list.len() > 1 && list.iter().any(hides_names)
}

/// Returns the list that determines a query's columns and their names. In a union, that is the first list.
fn list_of(statement: &mut Statement) -> Option<&mut Vec<SelectItem>> {
    let Statement::Query(query) = statement else { return None };
    let mut body = plain(query)?;
    loop {
        body = match body {
            SetExpr::Select(select) => return Some(&mut select.projection),
            SetExpr::Query(inner) => plain(inner)?,
            // The columns of both sides, in any position.
            SetExpr::SetOperation {
                set_quantifier: SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName,
                ..
            } => return None,
            SetExpr::SetOperation { left, .. } => left.as_mut(),
            _ => return None,
        };
    }
}

/// Returns the part of a query that determines its columns; `None` if an operator after a `|>` may.
fn plain(query: &mut Query) -> Option<&mut SetExpr> {
    query.pipe_operators.is_empty().then_some(query.body.as_mut())
}

/// Returns the position of an item. `None` if items before and after it stand for any number of columns.
fn place(names: &[Option<ColumnLabel>], at: usize) -> Option<ListPosition> {
    if names[..at].iter().all(Option::is_some) {
        return Some(ListPosition::After(at));
    }
    let after = &names[at + 1..];
    after.iter().all(Option::is_some).then_some(ListPosition::Before(after.len()))
}

fn rename(item: &mut SelectItem, at: usize) {
    let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { return };
    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', format!("#{at}")) };
}

/// Returns the name of an item's column; `None` if the item may stand for several columns.
fn name(item: &SelectItem) -> Option<ColumnLabel> {
    if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
        && unnests(expr)
    {
        return None;
    }
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(ColumnLabel::Plain(normal(alias))),
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(ColumnLabel::Plain(normal(ident))),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
            Some(ColumnLabel::Qualified(parts.iter().map(normal).collect(), parts.last().map(normal)?))
        }
        SelectItem::UnnamedExpr(expr) => Some(ColumnLabel::Expression(written(expr))),
        _ => None,
    }
}

impl ColumnLabel {
    fn text(&self) -> &str {
        match self {
            Self::Plain(name) | Self::Qualified(_, name) | Self::Expression(name) => name,
        }
    }
}

/// True if an expression has an `unnest`, which makes a column for each field of a struct.
fn unnests(expr: &Expr) -> bool {
    let unnest = find_expression(expr, |expr| match expr {
        Expr::Function(function) => function.name.to_string().to_lowercase().contains("unnest").then_some(()),
        _ => None,
    });
    unnest.is_some()
}

/// Returns an expression as it is written, with function names in lower case, like other names.
fn written(expr: &Expr) -> String {
    let mut expr = expr.clone();
    visit_expressions_mut(&mut expr, |expr| {
        if let Expr::Function(function) = expr {
            for part in &mut function.name.0 {
                if let ObjectNamePart::Identifier(ident) = part {
                    *ident = Ident { value: normal(ident), ..ident.clone() };
                }
            }
        }
    });
    let text = expr.to_string();
    match text.char_indices().nth(MAX_LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// True if a plan cannot have columns with both names. It can if both names include their tables.
fn clash(a: &ColumnLabel, b: &ColumnLabel) -> bool {
    match (a, b) {
        (ColumnLabel::Plain(plain), ColumnLabel::Qualified(_, own))
        | (ColumnLabel::Qualified(_, own), ColumnLabel::Plain(plain)) => plain == own,
        _ => a == b,
    }
}
