//! Finds the joins to spell out, innermost first, and the queries that return the columns of the joined relations.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Cte, Join, JoinConstraint, JoinOperator, ObjectNamePart, PipeOperator, Query, Select, SetExpr, Statement,
    TableAlias, TableFactor, TableWithJoins, Visit, Visitor, With,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::upstream::identifiers::normal;
use crate::visit::{visit, visit_relations};

/// A `SELECT` with such joins.
#[derive(Debug, Default)]
pub(super) struct SelectWithJoins {
    /// The relations that the `SELECT` reads, in the order of the statement, each with a query for its columns.
    pub(super) relations: Vec<(String, Option<Query>)>,
    /// True if DataFusion plans one of the joins wrongly unless it is spelled out.
    pub(super) is_outer: bool,
    /// True if the join is not part of a `FROM`.
    pub(super) in_pipe: bool,
}

/// Finds the first such `SELECT`.
#[derive(Default)]
pub(super) struct Find {
    skip: usize,
    open: Vec<OpenQuery>,
}

/// A query whose parts the visitor visits.
struct OpenQuery {
    with: Option<With>,
    /// The number of visited queries directly below. The queries of its `WITH` come first.
    visited: usize,
}

impl Find {
    /// Returns the first such `SELECT` after `skip` others.
    pub(super) fn first(statement: &Statement, skip: usize) -> Option<SelectWithJoins> {
        visit(statement, &mut Self { skip, open: vec![] }).break_value().map(|found| *found)
    }

    /// Returns a query of these relations that sees the names that the `SELECT` sees.
    fn query(&self, item: &str, from: Vec<TableWithJoins>) -> Option<Query> {
        let mut query = parsed(&format!("SELECT {item}"))?;
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.from = from;
        }
        // The query keeps only the visible queries that it reads: planning all of them for each relation takes too
        // long.
        let mut read = names_in(&query);
        for scope in self.open.iter().rev() {
            let Some(with) = &scope.with else { continue };
            let seen = with.cte_tables.len().min(scope.visited + usize::from(with.recursive));
            let mut cte_tables: Vec<Cte> = vec![];
            for cte in with.cte_tables.iter().take(seen).rev() {
                if read.contains(&normal(&cte.alias.name)) {
                    read.extend(names_in(cte.query.as_ref()));
                    cte_tables.push(cte.clone());
                }
            }
            cte_tables.reverse();
            if !cte_tables.is_empty() {
                let mut outer = parsed("SELECT 1")?;
                let (with_token, recursive) = (with.with_token.clone(), with.recursive);
                outer.with = Some(With { with_token, recursive, cte_tables });
                outer.body = Box::new(SetExpr::Query(Box::new(query)));
                query = outer;
            }
        }
        Some(query)
    }
}

impl Visitor for Find {
    type Break = Box<SelectWithJoins>;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        self.open.push(OpenQuery { with: query.with.clone(), visited: 0 });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        self.open.pop();
        if let Some(outer) = self.open.last_mut() {
            outer.visited += 1;
        }
        let mut joins = query.pipe_operators.iter().filter_map(|operator| match operator {
            PipeOperator::Join(join) => Some(join),
            _ => None,
        });
        match joins.any(|join| names_columns(join) && !keeps_left(join)) {
            true => ControlFlow::Break(Box::new(SelectWithJoins { in_pipe: true, ..SelectWithJoins::default() })),
            false => ControlFlow::Continue(()),
        }
    }

    fn post_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        if !is_to_be_spelled_out(select) {
            return ControlFlow::Continue(());
        }
        if let Some(skip) = self.skip.checked_sub(1) {
            self.skip = skip;
            return ControlFlow::Continue(());
        }
        let (mut relations, mut all_joins) = (vec![], vec![]);
        for item in &select.from {
            leaves(item, &mut relations, &mut all_joins);
        }
        let query = |relation: &TableFactor| {
            let alone = || vec![TableWithJoins { relation: relation.clone(), joins: vec![] }];
            match (is_lateral(relation), alias(relation)) {
                (false, _) => self.query("*", alone()),
                (true, Some(alias)) => self.query(&format!("{}.*", alias.name), select.from.clone()),
                (true, None) => None,
            }
        };
        let relations = relations.into_iter().map(|r| (r.to_string(), query(r))).collect();
        let is_outer = all_joins.iter().any(|join| names_columns(join) && !keeps_left(join));
        ControlFlow::Break(Box::new(SelectWithJoins { relations, is_outer, in_pipe: false }))
    }
}

/// Returns the names of the relations that a part of a statement reads, as SQL reads them.
fn names_in(part: &impl Visit) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    visit_relations(part, |relation| {
        let parts: Vec<_> = relation.0.iter().filter_map(ObjectNamePart::as_ident).map(normal).collect();
        names.insert(parts.join("."));
    });
    names
}

/// True if a `SELECT` has a join that names or implies its join columns.
pub(super) fn is_to_be_spelled_out(select: &Select) -> bool {
    let (mut relations, mut joins) = (vec![], vec![]);
    select.from.iter().for_each(|item| leaves(item, &mut relations, &mut joins));
    joins.iter().any(|join| names_columns(join))
}

/// Returns the relations of an item of `FROM` in order, with those in brackets taken apart, and its joins.
fn leaves<'a>(item: &'a TableWithJoins, relations: &mut Vec<&'a TableFactor>, joins: &mut Vec<&'a Join>) {
    for relation in std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation)) {
        match relation {
            TableFactor::NestedJoin { table_with_joins, .. } => leaves(table_with_joins, relations, joins),
            leaf => relations.push(leaf),
        }
    }
    joins.extend(&item.joins);
}

/// Returns the constraint of a join, if such a join can name columns.
pub(super) fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint) => Some(constraint),
        // DataFusion refuses these joins.
        _ => None,
    }
}

fn names_columns(join: &Join) -> bool {
    matches!(constraint(&join.join_operator), Some(JoinConstraint::Using(_) | JoinConstraint::Natural))
}

/// True if DataFusion's merged column is right: the left side always has a value.
fn keeps_left(join: &Join) -> bool {
    let using = matches!(constraint(&join.join_operator), Some(JoinConstraint::Using(_)));
    let kind = matches!(
        join.join_operator,
        JoinOperator::Join(_)
            | JoinOperator::Inner(_)
            | JoinOperator::Left(_)
            | JoinOperator::LeftOuter(_)
            | JoinOperator::LeftSemi(_)
            | JoinOperator::LeftAnti(_)
    );
    using && kind
}

/// True if a relation may read columns of the relations before it.
fn is_lateral(relation: &TableFactor) -> bool {
    match relation {
        TableFactor::Derived { lateral, .. } | TableFactor::Function { lateral, .. } => *lateral,
        TableFactor::UNNEST { .. } => true,
        _ => false,
    }
}

fn alias(relation: &TableFactor) -> Option<&TableAlias> {
    match relation {
        TableFactor::Derived { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. } => alias.as_ref(),
        _ => None,
    }
}

/// Parses a query: the safest way to a value of the parser's type.
pub(super) fn parsed(sql: &str) -> Option<Query> {
    let parser = Parser::new(&GenericDialect {}).try_with_sql(sql).ok();
    parser.and_then(|mut parser| parser.parse_query().ok()).map(|query| *query)
}
