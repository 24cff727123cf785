//! Finds the comparisons of a plan's joins, and the origins of the compared columns: a mask of this node, a port or
//! table, or a column of a fragment. A computed value of the same kind of type, such as `upper(name)`, has the origins of
//! its arguments. Other computed values and constants have no origin, and no check.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, TableReference};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, ExprSchemable, Join, JoinType, LogicalPlan, Operator,
};
use portolan_catalog::PortRef;

use super::hashed::{Hashes, KeyPair, KeySide, Source};
use super::live::LiveEdges;
use crate::masks::MaskFunction;
use crate::names::Barrier;
use crate::plan::{Exchange, Shared};

/// The aggregates and window functions that return a value of their first argument, or a list of its values.
const VALUES_OF_ARGUMENT: [&str; 8] =
    ["min", "max", "first_value", "last_value", "nth_value", "lag", "lead", "array_agg"];
/// The function that hashes a text to a text. Other hash functions return another kind of type. A reader may compare a hash
/// with the hash of a value.
const HASH_OF_TEXT: &str = "md5";

/// The tests for equality.
const EQUALITIES: [Operator; 4] =
    [Operator::Eq, Operator::NotEq, Operator::IsNotDistinctFrom, Operator::IsDistinctFrom];

/// The operators that compute a text from texts, or a number from numbers.
const COMPUTATIONS: [Operator; 6] =
    [Operator::StringConcat, Operator::Plus, Operator::Minus, Operator::Multiply, Operator::Divide, Operator::Modulo];

/// The kinds of types that hashes have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Bytes,
    Integer,
}

/// Returns the comparisons of the joins in a plan, and the origins of its columns.
pub(super) fn hashes(plan: &LogicalPlan, edges: &LiveEdges) -> Result<Hashes> {
    let tracer = Tracer { edges, known: RefCell::default() };
    let mut hashes = Hashes::default();
    tracer.pairs(plan, None, &mut hashes.pairs)?;
    for index in 0..plan.schema().fields().len() {
        let mut sources = vec![];
        tracer.column(plan, index, &mut sources)?;
        hashes.columns.push(sources);
    }
    Ok(hashes)
}

struct Tracer<'a> {
    edges: &'a LiveEdges,
    /// The origins of the columns so far, by the address of the operator and the position. A column that is computed from
    /// two columns, in one operator after the other, would be traced once for each path to a port.
    known: RefCell<HashMap<(*const LogicalPlan, usize), Vec<Source>>>,
}

impl Tracer<'_> {
    /// Collects the comparisons of the joins of an operator and of all below it. `port` is the port whose barrier is above.
    fn pairs(&self, plan: &LogicalPlan, port: Option<&PortRef>, pairs: &mut Vec<KeyPair>) -> Result<()> {
        match plan {
            LogicalPlan::Join(join) => {
                let (left, right) = (join.left.as_ref(), join.right.as_ref());
                for (a, b) in &join.on {
                    self.pair((a, &[left]), (b, &[right]), port, pairs)?;
                }
                for (a, b) in join.filter.iter().flat_map(comparisons) {
                    self.pair((a, &[left, right]), (b, &[left, right]), port, pairs)?;
                }
            }
            _ => {
                let inputs = plan.inputs();
                plan.apply_expressions(|expr| {
                    for (a, b) in comparisons(expr).into_iter().filter(|(a, b)| are_joined(a, b)) {
                        self.pair((a, inputs.as_slice()), (b, inputs.as_slice()), port, pairs)?;
                    }
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
        }
        let port = Barrier::of(plan).map_or(port, |barrier| Some(&barrier.port));
        for input in plan.inputs() {
            self.pairs(input, port, pairs)?;
        }
        plan.apply_subqueries(|subquery| {
            self.pairs(subquery, port, pairs)?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(())
    }

    fn pair(
        &self,
        left: (&Expr, &[&LogicalPlan]),
        right: (&Expr, &[&LogicalPlan]),
        port: Option<&PortRef>,
        pairs: &mut Vec<KeyPair>,
    ) -> Result<()> {
        let side = |(expr, inputs): (&Expr, &[&LogicalPlan])| -> Result<KeySide> {
            let mut sources = vec![];
            self.expression(expr, inputs, &mut sources)?;
            Ok(KeySide { name: name(expr), sources })
        };
        let pair = KeyPair { left: side(left)?, right: side(right)?, port: port.cloned() };
        if pair.may_be_hashed() {
            pairs.push(pair);
        }
        Ok(())
    }

    /// Adds the origins of an output column.
    fn column(&self, plan: &LogicalPlan, index: usize, found: &mut Vec<Source>) -> Result<()> {
        let key = (std::ptr::from_ref(plan), index);
        let known = self.known.borrow().get(&key).cloned();
        let origins = match known {
            Some(origins) => origins,
            None => {
                let mut origins = vec![];
                self.trace(plan, index, &mut origins)?;
                self.known.borrow_mut().insert(key, origins.clone());
                origins
            }
        };
        origins.into_iter().for_each(|origin| add(found, origin));
        Ok(())
    }

    fn trace(&self, plan: &LogicalPlan, index: usize, found: &mut Vec<Source>) -> Result<()> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                // The rows of a recursive query so far have an origin that is found elsewhere.
                let is_recursive = source_as_provider(&scan.source).is_ok_and(|table| table.is::<CteWorkTable>());
                if !is_recursive {
                    add(found, Source::Plain);
                }
            }
            LogicalPlan::Extension(_) => match (Exchange::of(plan), Barrier::of(plan)) {
                (Some(exchange), _) => {
                    let edge = self.edges.edge(&exchange.fragment)?;
                    add(found, Source::Fragment(edge.hashes(), index));
                }
                (None, Some(barrier)) => self.column(&barrier.input, index, found)?,
                (None, None) => {
                    if let Some(shared) = Shared::of(plan) {
                        self.column(&shared.input, index, found)?;
                    }
                }
            },
            LogicalPlan::Projection(projection) => self.item(&projection.expr, index, &projection.input, found)?,
            LogicalPlan::Distinct(Distinct::On(on)) => self.item(&on.select_expr, index, &on.input, found)?,
            LogicalPlan::Filter(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Repartition(_)
            | LogicalPlan::Distinct(Distinct::All(_)) => {
                if let Some(input) = plan.inputs().first() {
                    self.column(input, index, found)?;
                }
            }
            LogicalPlan::Union(union) => {
                for input in &union.inputs {
                    self.column(input, index, found)?;
                }
            }
            LogicalPlan::RecursiveQuery(query) => {
                self.column(&query.static_term, index, found)?;
                self.column(&query.recursive_term, index, found)?;
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregated(aggregate, index, found)?,
            LogicalPlan::Window(window) => match index.checked_sub(window.input.schema().fields().len()) {
                Some(index) => self.item(&window.window_expr, index, &window.input, found)?,
                None => self.column(&window.input, index, found)?,
            },
            LogicalPlan::Unnest(unnest) => {
                if let Some(index) = unnest.dependency_indices.get(index) {
                    self.column(&unnest.input, *index, found)?;
                }
            }
            LogicalPlan::Join(join) => {
                if let Some((input, index)) = side_of(join, index) {
                    self.column(input, index, found)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn aggregated(&self, aggregate: &Aggregate, index: usize, found: &mut Vec<Source>) -> Result<()> {
        let (input, groups) = (aggregate.input.as_ref(), &aggregate.group_expr);
        let group_columns = aggregate.schema.fields().len().saturating_sub(aggregate.aggr_expr.len());
        match (index.checked_sub(group_columns), groups.first()) {
            (Some(index), _) => self.item(&aggregate.aggr_expr, index, input, found),
            (None, Some(Expr::GroupingSet(sets))) => match sets.distinct_expr().get(index) {
                Some(expr) => self.expression(expr, &[input], found),
                None => Ok(()),
            },
            (None, _) => self.item(groups, index, input, found),
        }
    }

    /// Adds the origins of one of an operator's expressions.
    fn item(&self, exprs: &[Expr], index: usize, input: &LogicalPlan, found: &mut Vec<Source>) -> Result<()> {
        exprs.get(index).map_or(Ok(()), |expr| self.expression(expr, &[input], found))
    }

    /// Adds the origins of an expression over the rows of `inputs`.
    fn expression(&self, expr: &Expr, inputs: &[&LogicalPlan], found: &mut Vec<Source>) -> Result<()> {
        match expr {
            Expr::Alias(alias) => self.expression(&alias.expr, inputs, found),
            Expr::Cast(cast) => self.expression(&cast.expr, inputs, found),
            Expr::TryCast(cast) => self.expression(&cast.expr, inputs, found),
            Expr::ScalarSubquery(subquery) => self.column(&subquery.subquery, 0, found),
            Expr::AggregateFunction(call) if VALUES_OF_ARGUMENT.contains(&call.func.name()) => {
                call.params.args.first().map_or(Ok(()), |argument| self.expression(argument, inputs, found))
            }
            Expr::WindowFunction(call) if VALUES_OF_ARGUMENT.contains(&call.fun.name()) => {
                call.params.args.first().map_or(Ok(()), |argument| self.expression(argument, inputs, found))
            }
            Expr::Column(column) => {
                for input in inputs {
                    if let Some(index) = input.schema().maybe_index_of_column(column) {
                        return self.column(input, index, found);
                    }
                }
                Ok(())
            }
            Expr::ScalarFunction(call) => {
                let Some(mask) = MaskFunction::of(call) else {
                    let kind = kind_of(expr, inputs).filter(|_| call.name() != HASH_OF_TEXT);
                    let alike = call.args.iter().filter(|argument| kind.is_some() && kind_of(argument, inputs) == kind);
                    return self.computed(alike, inputs, found);
                };
                if let Some((argument, input)) = call.args.first().zip(inputs.first()) {
                    let hash = mask.hash_identity(&argument.get_type(input.schema())?);
                    add(found, hash.map_or(Source::Plain, Source::Hashed));
                }
                Ok(())
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if COMPUTATIONS.contains(op) => {
                self.computed([&**left, &**right], inputs, found)
            }
            Expr::Case(case) => {
                for value in case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr) {
                    self.expression(value, inputs, found)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Adds the origins of a value that is computed from these arguments.
    fn computed<'e>(
        &self,
        arguments: impl IntoIterator<Item = &'e Expr>,
        inputs: &[&LogicalPlan],
        found: &mut Vec<Source>,
    ) -> Result<()> {
        let (mut all, mut origins) = (vec![], vec![]);
        for argument in arguments {
            self.expression(argument, inputs, &mut all)?;
        }
        for origin in all {
            match origin {
                Source::Computed(more) => more.into_iter().for_each(|origin| add(&mut origins, origin)),
                origin => add(&mut origins, origin),
            }
        }
        match origins.iter().all(|origin| matches!(origin, Source::Plain)) {
            true => origins.into_iter().for_each(|origin| add(found, origin)),
            false => add(found, Source::Computed(origins)),
        }
        Ok(())
    }
}

/// Adds an origin, each once. All computed values count as one, so that the list is not longer than that of the columns of
/// ports and fragments.
fn add(found: &mut Vec<Source>, origin: Source) {
    match origin {
        Source::Computed(more) => {
            for known in found.iter_mut() {
                if let Source::Computed(all) = known {
                    more.into_iter().for_each(|origin| add(all, origin));
                    return;
                }
            }
            found.push(Source::Computed(more));
        }
        origin if found.iter().any(|known| known.is_same(&origin)) => {}
        origin => found.push(origin),
    }
}

/// Returns the input of a join that has an output column, and the column's position there; `None` for a mark.
fn side_of(join: &Join, index: usize) -> Option<(&LogicalPlan, usize)> {
    let (left, right) = (join.left.as_ref(), join.right.as_ref());
    let columns = left.schema().fields().len();
    match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti => Some((left, index)),
        JoinType::RightSemi | JoinType::RightAnti => Some((right, index)),
        JoinType::LeftMark => (index < columns).then_some((left, index)),
        JoinType::RightMark => (index < right.schema().fields().len()).then_some((right, index)),
        _ if index < columns => Some((left, index)),
        _ => Some((right, index - columns)),
    }
}

/// Returns the two sides of each test for equality in an expression.
fn comparisons(condition: &Expr) -> Vec<(&Expr, &Expr)> {
    let mut found = vec![];
    // The visit itself never fails.
    let _ = condition.apply(|expr| {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if EQUALITIES.contains(op) => {
                found.push((left.as_ref(), right.as_ref()));
            }
            Expr::InList(list) => found.extend(list.list.iter().map(|value| (&*list.expr, value))),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// True if a comparison outside of a join is one of values from two places: a subquery, or two relations. Two columns of
/// one row of a port are compared by their masked values, as they are.
fn are_joined(a: &Expr, b: &Expr) -> bool {
    if matches!(a, Expr::ScalarSubquery(_)) || matches!(b, Expr::ScalarSubquery(_)) {
        return true;
    }
    match (relations(a), relations(b)) {
        (Some(a), Some(b)) => !a.is_empty() && !b.is_empty() && a.is_disjoint(&b),
        _ => false,
    }
}

/// Returns the relations of the columns in an expression; `None` if a column does not name its relation.
fn relations(expr: &Expr) -> Option<BTreeSet<TableReference>> {
    expr.column_refs().into_iter().map(|column| column.relation.clone()).collect()
}

/// Returns the kind of type that an expression over the rows of one of the inputs has; `None` if no hash has such a type.
fn kind_of(expr: &Expr, inputs: &[&LogicalPlan]) -> Option<Kind> {
    inputs.iter().find_map(|input| expr.get_type(input.schema()).ok()).as_ref().and_then(kind)
}

fn kind(data_type: &DataType) -> Option<Kind> {
    match data_type {
        DataType::Dictionary(_, values) => kind(values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Kind::Text),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Some(Kind::Bytes),
        other => other.is_integer().then_some(Kind::Integer),
    }
}

/// Returns an expression as an error names it: a column without the casts that the planner adds.
fn name(expr: &Expr) -> String {
    match expr {
        Expr::Cast(cast) => name(&cast.expr),
        Expr::TryCast(cast) => name(&cast.expr),
        Expr::Alias(alias) => name(&alias.expr),
        Expr::Column(column) => format!("`{}`", column.flat_name()),
        Expr::ScalarSubquery(_) => "a subquery".to_owned(),
        _ => "an expression".to_owned(),
    }
}
