//! Spells out the merged columns wherever a `SELECT` uses their unqualified names, and its `*`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    Distinct, ExcludeSelectItem, Expr, OneOrManyWithParens, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, VisitMut, VisitorMut, WildcardAdditionalOptions,
};

use super::columns::{JoinedColumn, JoinedColumns, is_named, last, merged_values};
use super::from::{item, list, listed};
use super::probe::is_to_be_spelled_out;
use crate::upstream::identifiers::normal;
use crate::visit::{visit_expressions, visit_mut};
use crate::{Error, ErrorKind, Result};

/// The largest number of values that take the places of merged columns in a `SELECT`.
const MOST_VALUES: usize = 100_000;

/// The expressions of merged columns, by name.
type MergedColumns = BTreeMap<String, Option<Expr>>;

/// Rewrites the `SELECT` that the search found, and the `ORDER BY` after it.
pub(super) struct Rewrite {
    skip: usize,
    relations: Option<Vec<JoinedColumns>>,
    depth: usize,
    /// The depth of the query whose `SELECT` was rewritten, and the names for its `ORDER BY`.
    done: Option<(usize, MergedColumns)>,
}

impl Rewrite {
    pub(super) fn new(skip: usize, relations: Vec<JoinedColumns>) -> Self {
        Self { skip, relations: Some(relations), depth: 0, done: None }
    }
}

impl VisitorMut for Rewrite {
    // The result is boxed to be small, because visitors recurse.
    type Break = Box<Result<()>>;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Self::Break> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        if self.done.is_some() || !is_to_be_spelled_out(select) {
            return ControlFlow::Continue(());
        }
        if let Some(skip) = self.skip.checked_sub(1) {
            self.skip = skip;
            return ControlFlow::Continue(());
        }
        let relations = self.relations.take().unwrap_or_default();
        match rewrite(select, relations) {
            Ok(names) => self.done = Some((self.depth, names)),
            Err(e) => return ControlFlow::Break(Box::new(Err(e))),
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        let depth = self.depth;
        self.depth -= 1;
        match &self.done {
            Some((at, names)) if *at == depth => ControlFlow::Break(Box::new(order_by(query, names))),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Rewrites a `SELECT`. Returns the expressions of its merged columns for an `ORDER BY`.
fn rewrite(select: &mut Select, relations: Vec<JoinedColumns>) -> Result<MergedColumns> {
    let mut relations = relations.into_iter();
    let mut columns = JoinedColumns::default();
    for from in &mut select.from {
        columns = columns.beside(item(from, &mut relations)?);
    }
    let names = columns.merged();
    check_size(select, &names)?;
    let outputs = outputs(&select.projection, &columns);
    let behind = names_behind(&names, &outputs);
    let items = std::mem::take(&mut select.projection);
    for item in items {
        match item {
            SelectItem::Wildcard(options) => select.projection.extend(star(options, &columns, &names)?),
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) if names.contains_key(&normal(&ident)) => {
                let name = normal(&ident);
                let mut expr = Expr::Identifier(ident);
                replace(&mut expr, names.clone())?;
                select.projection.push(listed(expr, &name));
            }
            mut other => {
                replace(&mut other, names.clone())?;
                select.projection.push(other);
            }
        }
    }
    if let Some(Distinct::On(exprs)) = &mut select.distinct {
        replace(exprs, behind.clone())?;
    }
    replace(&mut select.selection, names.clone())?;
    replace(&mut select.group_by, names.clone())?;
    replace(&mut select.having, names.clone())?;
    replace(&mut select.named_window, names.clone())?;
    replace(&mut select.qualify, names)?;
    Ok(behind)
}

/// Refuses a `SELECT` whose merged columns have too many values where their names are.
fn check_size(select: &Select, names: &MergedColumns) -> Result<()> {
    let mut size = 0_usize;
    visit_expressions(select, |expr| {
        if let Expr::Identifier(ident) = expr
            && let Some(Some(value)) = names.get(&normal(ident))
        {
            size = size.saturating_add(merged_values(value).map_or(1, |values| values.args.len()));
        }
    });
    match size > MOST_VALUES {
        true => Err(Error::new(
            ErrorKind::InvalidQuery,
            format!(
                "the names of merged columns stand for more than {MOST_VALUES} values: name the columns in a subquery with \
                 the joins"
            ),
        )),
        false => Ok(()),
    }
}

fn order_by(query: &mut Query, names: &MergedColumns) -> Result<()> {
    let is_of_select = matches!(query.body.as_ref(), SetExpr::Select(_));
    match query.order_by.as_mut().map(|order_by| &mut order_by.kind) {
        // After a set operation, `ORDER BY` reads the names of the operation's columns.
        Some(OrderByKind::Expressions(exprs)) if is_of_select => replace(exprs, names.clone()),
        _ => Ok(()),
    }
}

/// Returns the column names of a list, with true for a merged column under its own name.
fn outputs(items: &[SelectItem], columns: &JoinedColumns) -> BTreeMap<String, bool> {
    let mut outputs = BTreeMap::new();
    for item in items {
        match item {
            SelectItem::ExprWithAlias { expr, alias } => {
                let name = normal(alias);
                let is_itself = matches!(expr, Expr::Identifier(ident) if normal(ident) == name);
                outputs.insert(name, is_itself);
            }
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => {
                outputs.entry(normal(ident)).or_insert(true);
            }
            SelectItem::Wildcard(_) => {
                for column in &columns.all {
                    outputs.entry(column.name.clone()).or_insert(true);
                }
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table), _) => {
                for name in last(table).iter().flat_map(|table| columns.of_table(table)) {
                    outputs.entry(name.to_owned()).or_insert(false);
                }
            }
            _ => {}
        }
    }
    outputs
}

/// Returns the names of merged columns that no name of the list hides.
fn names_behind(names: &MergedColumns, outputs: &BTreeMap<String, bool>) -> MergedColumns {
    let stays = |(name, value): &(&String, &Option<Expr>)| match (outputs.get(*name), value) {
        (None, _) => true,
        // A column without an alias: the list may have the merged column itself.
        (Some(true), Some(value)) => is_named(value, name),
        (Some(_), _) => false,
    };
    names.iter().filter(stays).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Returns the list that `*` with such options abbreviates.
fn star(options: WildcardAdditionalOptions, columns: &JoinedColumns, names: &MergedColumns) -> Result<Vec<SelectItem>> {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    if opt_ilike.is_some() || opt_rename.is_some() || opt_alias.is_some() {
        let what = "`*` beside USING or NATURAL accepts only EXCLUDE, EXCEPT and REPLACE";
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    let mut excluded = BTreeSet::new();
    match opt_exclude {
        Some(ExcludeSelectItem::Single(name)) => excluded.extend(last(&name)),
        Some(ExcludeSelectItem::Multiple(all)) => excluded.extend(all.iter().filter_map(last)),
        None => {}
    }
    if let Some(except) = opt_except {
        excluded.extend(std::iter::once(&except.first_element).chain(&except.additional_elements).map(normal));
    }
    if let Some(unknown) = excluded.iter().find(|name| !columns.all.iter().any(|c| c.name == **name)) {
        return Err(Error::new(ErrorKind::InvalidQuery, format!("`*` has no column `{unknown}` to leave out")));
    }
    let twice = |column: &&JoinedColumn| {
        matches!(names.get(&column.name), Some(None)) && !is_named(&column.value, &column.name)
    };
    if let Some(column) = columns.all.iter().find(twice) {
        let what =
            format!("`*` has two columns `{}`: list the columns and give one of the two another name", column.name);
        return Err(Error::new(ErrorKind::InvalidQuery, what));
    }
    let kept: Vec<_> = columns.all.iter().filter(|c| !excluded.contains(&c.name)).cloned().collect();
    let kept = JoinedColumns::from(kept);
    let mut items = list(&kept);
    for element in opt_replace.into_iter().flat_map(|replaced| replaced.items) {
        let name = normal(&element.column_name);
        let Some(place) = kept.all.iter().position(|c| c.name == name) else {
            return Err(Error::new(ErrorKind::InvalidQuery, format!("`*` has no column `{name}` to replace")));
        };
        let mut expr = element.expr;
        replace(&mut expr, names.clone())?;
        items[place] = listed(expr, &name);
    }
    Ok(items)
}

/// Replaces the names of merged columns with their expressions, except in subqueries: there a name may mean another
/// column.
pub(super) fn replace(part: &mut impl VisitMut, names: MergedColumns) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    match visit_mut(part, &mut Replace { names, subqueries: 0, hidden: vec![] }) {
        ControlFlow::Break(name) => Err(Error::new(
            ErrorKind::InvalidQuery,
            format!("column `{name}` is ambiguous: write the name of its table before it"),
        )),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Replace {
    names: MergedColumns,
    subqueries: usize,
    /// The parameters of the enclosing lambda functions.
    hidden: Vec<String>,
}

impl VisitorMut for Replace {
    type Break = Box<str>;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Self::Break> {
        self.subqueries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Self::Break> {
        self.subqueries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        if let Expr::Lambda(lambda) = expr {
            self.hidden.extend(parameters(&lambda.params));
        }
        ControlFlow::Continue(())
    }

    // After its parts, so that the visitor does not visit the replacement.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        match expr {
            Expr::Lambda(lambda) => {
                let outer = self.hidden.len().saturating_sub(parameters(&lambda.params).count());
                self.hidden.truncate(outer);
            }
            Expr::Identifier(ident) if self.subqueries == 0 => {
                let name = normal(ident);
                match self.names.get(&name) {
                    _ if self.hidden.contains(&name) => {}
                    Some(Some(value)) => *expr = value.clone(),
                    Some(None) => return ControlFlow::Break(name.into()),
                    None => {}
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn parameters<T>(params: &OneOrManyWithParens<T>) -> impl Iterator<Item = String>
where
    T: std::fmt::Display,
{
    let all: Vec<String> = match params {
        OneOrManyWithParens::One(one) => vec![one.to_string()],
        OneOrManyWithParens::Many(many) => many.iter().map(ToString::to_string).collect(),
    };
    all.into_iter().map(|name| name.to_ascii_lowercase())
}
