//! What the columns of a query are called: as the statement has it. DataFusion calls `sum(x)` by the table's whole name and
//! `1 + 1` by its types, and refuses two columns of one name, which SQL allows.

use std::ops::ControlFlow;

use arrow::datatypes::{Schema, SchemaRef};
use sqlparser::ast::{
    Expr, Ident, ObjectNamePart, Query, SelectItem, SetExpr, SetQuantifier, Statement, visit_expressions,
    visit_expressions_mut,
};

use crate::upstream::identifiers::normal;

/// Characters of an expression that a column is called by.
const LONGEST: usize = 256;

/// The columns that a plan calls otherwise than the statement does: which, and the names that the statement gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    places: Vec<(ListPosition, String)>,
    /// How many columns there are, where the list tells that.
    columns: Option<usize>,
}

/// A column: how many there are before it, or after it. How many `*` stands for is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListPosition {
    After(usize),
    Before(usize),
}

impl Labels {
    /// The columns with the names that the statement gives them.
    pub(crate) fn named(&self, schema: SchemaRef) -> SchemaRef {
        // A list that makes another number of columns than it seems is one that is not understood here.
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

/// What a column of the list goes by.
#[derive(PartialEq)]
enum ColumnLabel {
    /// A name alone.
    Plain(String),
    /// A column with its table: what the name means, and the name alone.
    Qualified(Vec<String>, String),
    /// An expression without a name.
    Expression(String),
}

/// Finds what the columns of a statement are called, and gives those that share the name of an earlier one names that
/// nothing else has.
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

/// Which columns get names that nothing else has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RenamedColumns {
    /// Those that have none: the names of the others may stand behind `ORDER BY`.
    Expressions,
    /// All.
    All,
}

/// Gives columns names that nothing else has. To a plan, two may have one name that are written differently: `x` and
/// `CAST(x AS INT)`, or `x` and what `*` stands for.
pub(super) fn tell_apart(statement: &mut Statement, which: RenamedColumns) {
    let Some(list) = list_of(statement) else { return };
    let names: Vec<Option<ColumnLabel>> = list.iter().map(name).collect();
    for (at, item) in list.iter_mut().enumerate() {
        let wanted = which == RenamedColumns::All || matches!(names[at], Some(ColumnLabel::Expression(_)));
        // What has no place would keep that name.
        if wanted && place(&names, at).is_some() {
            rename(item, at);
        }
    }
}

/// Whether columns may share a name that no two of the list are written with.
pub(super) fn may_clash(statement: &mut Statement) -> bool {
    let Some(list) = list_of(statement) else { return false };
    let hides_names = |item: &SelectItem| !matches!(name(item), Some(ColumnLabel::Plain(_)));
    list.len() > 1 && list.iter().any(hides_names)
}

/// The list that gives a query its columns and their names; in a union, that is the first.
fn list_of(statement: &mut Statement) -> Option<&mut Vec<SelectItem>> {
    let Statement::Query(query) = statement else { return None };
    let mut body = plain(query)?;
    loop {
        body = match body {
            SetExpr::Select(select) => return Some(&mut select.projection),
            SetExpr::Query(inner) => plain(inner)?,
            // The columns of both sides, wherever they stand.
            SetExpr::SetOperation {
                set_quantifier: SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName,
                ..
            } => return None,
            SetExpr::SetOperation { left, .. } => left.as_mut(),
            _ => return None,
        };
    }
}

/// What gives a query its columns; `None` where something behind a `|>` may.
fn plain(query: &mut Query) -> Option<&mut SetExpr> {
    query.pipe_operators.is_empty().then_some(query.body.as_mut())
}

/// Which column an item is: `None` between two that stand for any number of columns.
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

/// `None` for what may stand for several columns.
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

/// Whether it has a `unnest`, which makes as many columns of a struct as it has fields.
fn unnests(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |expr| match expr {
        Expr::Function(function) if function.name.to_string().to_lowercase().contains("unnest") => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// An expression as it is written, with functions in small letters as names are.
fn written(expr: &Expr) -> String {
    let mut expr = expr.clone();
    let _ = visit_expressions_mut(&mut expr, |expr| {
        if let Expr::Function(function) = expr {
            for part in &mut function.name.0 {
                if let ObjectNamePart::Identifier(ident) = part {
                    *ident = Ident { value: normal(ident), ..ident.clone() };
                }
            }
        }
        ControlFlow::<()>::Continue(())
    });
    let text = expr.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Whether a plan cannot have columns of both names. It can where both name their tables.
fn clash(a: &ColumnLabel, b: &ColumnLabel) -> bool {
    match (a, b) {
        (ColumnLabel::Plain(plain), ColumnLabel::Qualified(_, own))
        | (ColumnLabel::Qualified(_, own), ColumnLabel::Plain(plain)) => plain == own,
        _ => a == b,
    }
}
