//! What the columns of a query are called: as the statement has it. DataFusion calls `sum(x)` by the table's whole name and
//! `1 + 1` by its types, and refuses two columns of one name, which SQL allows.

use std::ops::ControlFlow;

use arrow::datatypes::{Schema, SchemaRef};
use sqlparser::ast::{Expr, Ident, ObjectNamePart, Query, SelectItem, SetExpr, Statement, visit_expressions_mut};

/// Characters of an expression that a column is called by.
const LONGEST: usize = 256;

/// The columns that a plan calls otherwise than the statement does: which, and the names that the statement gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels(Vec<(Place, String)>);

/// A column: how many there are before it, or after it. How many `*` stands for is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    After(usize),
    Before(usize),
}

impl Labels {
    /// The columns with the names that the statement gives them.
    pub(crate) fn named(&self, schema: SchemaRef) -> SchemaRef {
        if self.0.is_empty() {
            return schema;
        }
        let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
        for (place, label) in &self.0 {
            let at = match place {
                Place::After(columns) => Some(*columns),
                Place::Before(columns) => fields.len().checked_sub(columns + 1),
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
enum Name {
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
    let Statement::Query(query) = statement else { return Labels::default() };
    let is_plain = matches!(query.body.as_ref(), SetExpr::Select(_));
    let Some(list) = list_of(query) else { return Labels::default() };
    let names: Vec<Option<Name>> = list.iter().map(name).collect();
    let mut labels = vec![];
    for (at, item) in list.iter_mut().enumerate() {
        let (Some(own), Some(place)) = (&names[at], place(&names, at)) else { continue };
        // In a union, the names of the first list are those of all.
        let repeats = is_plain && names[..at].iter().flatten().any(|earlier| clash(earlier, own));
        if repeats {
            rename(item, at);
        }
        if repeats || matches!(own, Name::Expression(_)) {
            labels.push((place, own.text().to_owned()));
        }
    }
    Labels(labels)
}

/// Gives every expression without a name one that nothing else has. To a plan, two may have one name that are written
/// differently: `x` and `CAST(x AS INT)`.
pub(super) fn tell_apart(statement: &mut Statement) {
    let Statement::Query(query) = statement else { return };
    let Some(list) = list_of(query) else { return };
    let names: Vec<Option<Name>> = list.iter().map(name).collect();
    for (at, item) in list.iter_mut().enumerate() {
        // What has no place would keep that name.
        if matches!(names[at], Some(Name::Expression(_))) && place(&names, at).is_some() {
            rename(item, at);
        }
    }
}

/// Whether [`tell_apart`] may change anything that matters.
pub(super) fn may_clash(statement: &Statement) -> bool {
    let Statement::Query(query) = statement else { return false };
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    select.projection.len() > 1 && select.projection.iter().any(|item| matches!(name(item), Some(Name::Expression(_))))
}

/// The list of columns that gives a query its names.
fn list_of(query: &mut Query) -> Option<&mut Vec<SelectItem>> {
    let mut body = query.body.as_mut();
    loop {
        body = match body {
            SetExpr::Select(select) => return Some(&mut select.projection),
            SetExpr::Query(inner) => inner.body.as_mut(),
            SetExpr::SetOperation { left, .. } => left.as_mut(),
            _ => return None,
        };
    }
}

/// Which column an item is: `None` between two that stand for any number of columns.
fn place(names: &[Option<Name>], at: usize) -> Option<Place> {
    if names[..at].iter().all(Option::is_some) {
        return Some(Place::After(at));
    }
    let after = &names[at + 1..];
    after.iter().all(Option::is_some).then_some(Place::Before(after.len()))
}

fn rename(item: &mut SelectItem, at: usize) {
    let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { return };
    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', format!("#{at}")) };
}

/// `None` for what may stand for several columns.
fn name(item: &SelectItem) -> Option<Name> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(Name::Plain(normal(alias))),
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(Name::Plain(normal(ident))),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
            Some(Name::Qualified(parts.iter().map(normal).collect(), parts.last().map(normal)?))
        }
        SelectItem::UnnamedExpr(expr) => Some(Name::Expression(written(expr))),
        _ => None,
    }
}

impl Name {
    fn text(&self) -> &str {
        match self {
            Self::Plain(name) | Self::Qualified(_, name) | Self::Expression(name) => name,
        }
    }
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
fn clash(a: &Name, b: &Name) -> bool {
    match (a, b) {
        (Name::Plain(plain), Name::Qualified(_, own)) | (Name::Qualified(_, own), Name::Plain(plain)) => plain == own,
        _ => a == b,
    }
}

fn normal(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}
