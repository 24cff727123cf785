//! The definition of a derived port: the plan of its query, compared with the contract, and the estimate of its rows.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, Result as DataFusionResult};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use futures::FutureExt;
use portolan_catalog::logical_type::fits;
use portolan_catalog::nearest::nearest;
use portolan_catalog::{ColumnStatistics, Diagnostic, Diagnostics, Port, PortStatistics, sql_type};
use portolan_connectors::{OpenError, Refusal};

use super::query::{PortQuery, diagnostic, fault, hidden};
use crate::bounds::{check_plan, check_types};
use crate::encode::admit;
use crate::execution::errors::from_datafusion;
use crate::mesh::MeshView;
use crate::names::{DerivedTable, MeshCatalogs};
use crate::plan::Shared;
use crate::planner::normalise::normalise;
use crate::planner::resolve::labelled;
use crate::planner::{analyse_statement, cardinality};
use crate::{Error, ErrorKind, Result};

/// The plan of a derived port, and the estimate of its rows.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) table: DerivedTable,
    pub(super) statistics: PortStatistics,
}

impl Definition {
    /// Plans the query of a port over a view with its inputs. The columns are those of the contract, in its order.
    /// `is_classified` is true if the query reads classified columns.
    ///
    /// # Errors
    /// A query that cannot be planned; every column that the contract does not have, or has with another type; a query
    /// whose rows would depend on more than its inputs.
    pub(super) fn plan(
        port: &Port,
        query: &PortQuery,
        base: &SessionState,
        view: &Arc<MeshView>,
        is_classified: bool,
    ) -> Result<Self, OpenError> {
        let hidden = |e: Error| hidden(port, &e);
        let state = state(base, view, port);
        // The names are looked up in memory, so the plan is there at once.
        let planned = Box::pin(labelled(query.statement.clone(), &state, &view.snapshot)).now_or_never();
        let planned = planned.unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "planning waits for something")));
        let (plan, labels) = planned.map_err(hidden)?;
        // A fragment may contain the query, and shared parts do not travel. Their numbers count in one statement only.
        let plan = Shared::without_parts(plan).map_err(|e| hidden(from_datafusion(&e)))?;
        check_plan(&plan).map_err(hidden)?;
        let analysed = analyse_statement(&state, plan.clone()).map_err(hidden)?;
        check_operators(port, &analysed)?;
        let names = labels.named(plan.schema().inner().clone());
        let found = names.fields().iter().zip(analysed.schema().fields());
        let found = found.map(|(named, typed)| Field::new(named.name(), typed.data_type().clone(), true));
        let found: Vec<Field> = found.collect();
        let columns = in_order_of_contract(port, &found)?;
        let written = projected(plan, &columns).map_err(|e| hidden(from_datafusion(&e)))?;
        let analysed = analyse_statement(&state, written.clone()).map_err(hidden)?;
        let schema = Schema::new(columns.into_iter().map(|(_, field)| field.clone()).collect::<Vec<_>>());
        check_types(&schema).map_err(hidden)?;
        let types = |schema: &Schema| schema.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
        if types(&schema) != types(analysed.schema().as_arrow()) {
            return Err(hidden(Error::new(ErrorKind::Internal, "the types of the columns are not settled")));
        }
        let statistics = statistics(&state, &analysed, is_classified).map_err(hidden)?;
        Ok(Self { table: DerivedTable { schema: Arc::new(schema), written, analysed }, statistics })
    }
}

/// Returns the state in which the query of a port is planned: it belongs to no session.
fn state(base: &SessionState, view: &Arc<MeshView>, port: &Port) -> SessionState {
    let mut state = base.clone();
    state.config_mut().options_mut().catalog.default_catalog = port.name.domain.as_str().to_owned();
    state.register_catalog_list(Arc::new(MeshCatalogs::new(view.clone(), None)));
    state.mark_start_execution();
    state
}

/// Refuses operators that do not travel. A fragment may contain the query, and the rows of the query must depend on
/// nothing but its inputs.
fn check_operators(port: &Port, plan: &LogicalPlan) -> Result<(), OpenError> {
    let mut refused = None;
    let visited = plan.apply_with_subqueries(|node| {
        refused = admit::operator(node).err();
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    visited.map_err(|e| hidden(port, &from_datafusion(&e)))?;
    let message = match refused {
        None => return Ok(()),
        Some(Refusal::VolatileFunction(name)) => {
            format!("the query calls `{name}`, whose value differs from call to call")
        }
        Some(Refusal::RecursiveQuery) => "the query is recursive, and the query of a port must not be".to_owned(),
        Some(Refusal::LocalTable(name)) => format!("the query reads `{name}`, which is not a port"),
        Some(other) => format!("the query has an operator that the query of a port must not have: {other}"),
    };
    Err(fault(port, message))
}

/// Returns the columns of a query in the order of the contract, each with its position in the query.
fn in_order_of_contract<'f>(port: &Port, found: &'f [Field]) -> Result<Vec<(usize, &'f Field)>, OpenError> {
    let (mut columns, mut faults) = (vec![], vec![]);
    for column in &port.columns {
        let name = column.name.as_str();
        let mut same = found.iter().enumerate().filter(|(_, field)| field.name() == name);
        match (same.next(), same.next()) {
            (Some(_), Some(_)) => faults.push(diagnostic(port, format!("the query returns several columns `{name}`"))),
            (Some(column_of_query), None) => columns.push(column_of_query),
            (None, _) => faults.push(missing(port, name, found)),
        }
        let Some((_, field)) = columns.last().filter(|(_, field)| field.name() == name) else { continue };
        if let Some(declared) = other_type(port, column, field.data_type()) {
            let is = sql_type(field.data_type());
            let message = format!(
                "column `{name}` is {is} in the query, and `{declared}` in the contract: CAST it in the query, or change \
                 the contract"
            );
            faults.push(diagnostic(port, message));
        }
    }
    let has = |name: &str| found.iter().any(|field| field.name() == name);
    // A name that differs in case alone is reported once, with the missing column.
    let is_declared = |field: &Field| {
        let mut same = port.columns.iter().filter(|column| column.name.eq_ignore_ascii_case(field.name()));
        same.any(|column| column.name == *field.name() || !has(&column.name))
    };
    for field in found.iter().filter(|field| !is_declared(field)) {
        let message = format!("the query returns a column `{}`, which the contract does not have", field.name());
        faults.push(diagnostic(port, message));
    }
    if faults.is_empty() { Ok(columns) } else { Err(OpenError::Faulty(Diagnostics(faults))) }
}

/// Returns the type of a column in the contract, if the query has another one.
fn other_type(port: &Port, column: &portolan_catalog::Column, found: &DataType) -> Option<String> {
    if let Some(logical) = column.logical_type.as_ref().filter(|logical| !fits(logical, found)) {
        return Some(logical.clone());
    }
    let declared = port.query()?.types.get(&column.name)?;
    (digits(declared) != digits(found)).then(|| sql_type(declared))
}

/// Returns the precision and the scale of a decimal type.
fn digits(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// Returns the fault of a query without a column of the contract.
fn missing(port: &Port, name: &str, found: &[Field]) -> Diagnostic {
    let mut names = found.iter().map(|field| field.name().as_str());
    if let Some(other) = names.clone().find(|other| other.eq_ignore_ascii_case(name)) {
        return diagnostic(
            port,
            format!("the query returns `{other}`, and the contract has `{name}`: write AS \"{name}\""),
        );
    }
    let suggestion = nearest(name, &mut names).map(str::to_owned);
    Diagnostic {
        suggestion,
        ..diagnostic(port, format!("the query returns no column `{name}`, which the contract has"))
    }
}

/// Returns the plan with these columns. A column whose type the analysis will change, such as one of a `UNION`, has its
/// final type already, as the port has it at other nodes.
fn projected(plan: LogicalPlan, columns: &[(usize, &Field)]) -> DataFusionResult<LogicalPlan> {
    let column = |(at, field): &(usize, &Field)| {
        let column = Expr::Column(Column::from(plan.schema().qualified_field(*at)));
        Ok(column.cast_to(field.data_type(), plan.schema().as_ref())?.alias(field.name()))
    };
    let columns = columns.iter().map(column).collect::<DataFusionResult<Vec<_>>>()?;
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// Estimates the rows of a query. The port's contract decides who may see its columns, and need not classify those that
/// its inputs classify. So the statistics of a query over classified columns have only widths.
fn statistics(state: &SessionState, analysed: &LogicalPlan, is_classified: bool) -> Result<PortStatistics> {
    let plan = normalise(state, analysed)?;
    let expected = cardinality::estimate(&plan);
    let known = |known: &ColumnStatistics| {
        let counted = Some(known).filter(|_| !is_classified);
        ColumnStatistics {
            distinct: counted.and_then(|known| known.distinct),
            nulls: counted.and_then(|known| known.nulls),
            width: known.width,
            ..ColumnStatistics::default()
        }
    };
    let columns = plan.schema().iter().filter_map(|(table, field)| {
        let column = expected.columns.get(&Column::new(table.cloned(), field.name()))?;
        Some((field.name().clone(), known(column)))
    });
    Ok(PortStatistics {
        rows: expected.known.then(|| expected.rows.round() as u64),
        columns: columns.collect(),
        ..PortStatistics::default()
    })
}
