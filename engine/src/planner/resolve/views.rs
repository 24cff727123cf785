//! Views of a session. A view is stored as its statement, and is planned together with each statement that reads it: its
//! plan takes the place of a table.
//!
//! The names in a view keep the meaning that they had when the view was created. The view knows which of them meant
//! tables and views of the session, and the session's catalog and schema of that time. The columns are fixed: a statement
//! fails if the query of the view would return others now.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Column, Result as DataFusionResult};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement;
use futures::FutureExt;
use futures::future::BoxFuture;
use portolan_catalog::{MeshSnapshot, sql_type};
use portolan_connectors::Subject;
use sqlparser::ast::{CreateTableOptions, CreateView, ObjectName, Query, Statement as SqlStatement, ViewColumnDef};

use super::change::{Change, Scope, creation, distinct_names, parts};
use super::{labelled, parse_and_open, unsupported};
use crate::bounds::{MOST_NESTED, MOST_STATEMENT_BYTES, QueryDepth, check_plan, check_types, nested_too_deep};
use crate::execution::errors::from_datafusion;
use crate::mesh::MeshView;
use crate::names::{MeshCatalogs, SessionNames, set_names};
use crate::planner::analyse_statement;
use crate::state::tables::NUMBERED;
use crate::state::views::{View, unknown};
use crate::upstream::identifiers::normal;
use crate::{Error, ErrorKind, Result};

/// The largest number of views that a statement reads, directly or through other views.
const MOST_VIEWS: usize = 100;
/// The beginning of each error of a view.
const IN_VIEW: &str = "view `";

impl Scope<'_> {
    /// Returns the change of `CREATE VIEW`.
    pub(super) async fn create_view(&self, create: &CreateView) -> Result<Change> {
        check_clauses(create)?;
        let name = self.new_name(&create.name)?;
        let how = creation("CREATE VIEW", create.or_replace, create.if_not_exists)?;
        let Some(catalogs) = catalogs(self.state) else {
            return Err(Error::new(ErrorKind::Internal, "the names of the session are not known"));
        };
        // The query cannot read the view itself, also not an older one with the same name.
        let names = Arc::new(SessionNames { within: vec![name.clone()], ..self.session.clone() });
        let mut state = self.state.clone();
        set_names(&mut state, catalogs.view(), Some(names.clone()));
        let query = Statement::Statement(Box::new(SqlStatement::Query(create.query.clone())));
        let reads = reads(&query, &state, &names)?;
        expand(&query, &state).await?;
        depth(self.sql, &reads, &names)?;
        let plan = planned(create.query.clone(), &create.columns, &state, self.mesh).await?;
        if !plan.get_parameter_names().map_err(|e| from_datafusion(&e))?.is_empty() {
            let what = format!("the query of the view `{name}` has parameters: write their values");
            return Err(Error::new(ErrorKind::InvalidQuery, what));
        }
        let columns = columns(&state, plan)?;
        check_types(&columns)?;
        let (catalog, schema) = (self.session.catalog.clone(), self.session.schema.clone());
        let view = View { text: self.sql.to_owned(), catalog, schema, reads, columns };
        Ok(Change::CreateView { name, view, how })
    }

    /// Returns the change of `DROP VIEW`.
    pub(super) fn drop_view(&self, name: &ObjectName, if_exists: bool) -> Result<Change> {
        let parts = parts(name)?;
        let own = self.own(&parts);
        if let Some(table) = own.as_ref().filter(|name| self.session.tables.contains_key(*name)) {
            return Err(Error::new(ErrorKind::InvalidQuery, format!("`{table}` is a table: use DROP TABLE")));
        }
        match own {
            Some(name) if if_exists || self.session.views.contains_key(&name) => {
                Ok(Change::DropView { name, if_exists })
            }
            // No view of a session has such a name.
            None if if_exists => Ok(Change::DropView { name: format!("{name}{NUMBERED}"), if_exists }),
            _ => Err(unknown(parts.last().map(String::as_str).unwrap_or_default(), &self.session.views)),
        }
    }
}

/// Rejects clauses that a view of a session does not have.
fn check_clauses(create: &CreateView) -> Result<()> {
    let CreateView {
        or_alter,
        or_replace: _,
        materialized,
        secure,
        name: _,
        name_before_not_exists: _,
        columns,
        query: _,
        options,
        cluster_by,
        comment,
        with_no_schema_binding,
        if_not_exists: _,
        temporary: _,
        copy_grants,
        to,
        params,
    } = create;
    let has_columns_with_more = columns.iter().any(|column| column.data_type.is_some() || column.options.is_some());
    let has_more = *or_alter
        || *secure
        || *with_no_schema_binding
        || *copy_grants
        || has_columns_with_more
        || !matches!(options, CreateTableOptions::None)
        || !cluster_by.is_empty()
        || comment.is_some()
        || to.is_some()
        || params.is_some();
    match (*materialized, has_more) {
        (true, _) => Err(unsupported("there are no materialized views: use CREATE TABLE … AS SELECT …")),
        (false, true) => Err(unsupported("CREATE VIEW takes a name, names of columns and a query, and nothing else")),
        (false, false) => Ok(()),
    }
}

/// Plans the views that a statement reads, and the views that these read.
///
/// # Errors
/// `InvalidQuery` for a view that reads itself, that exceeds a limit, or that now has other columns; any error of
/// planning the query of a view. The error names the view.
pub(super) fn expand<'a>(statement: &'a Statement, state: &'a SessionState) -> BoxFuture<'a, Result<()>> {
    async move {
        let Some(catalogs) = catalogs(state) else { return Ok(()) };
        let Some(names) = catalogs.session().filter(|names| !names.views.is_empty()) else { return Ok(()) };
        for name in reads(statement, state, names)? {
            let Some(view) = names.views.get(&name).filter(|_| names.opened.view(&name).is_none()) else { continue };
            let opened = opened(&name, view, names, catalogs.view(), state).await;
            let (plan, depth) = opened.map_err(|e| in_view(&name, &e))?;
            names.opened.keep_view(&name, plan, depth);
        }
        Ok(())
    }
    .boxed()
}

/// Returns the catalogs in which a statement finds its names.
fn catalogs(state: &SessionState) -> Option<&MeshCatalogs> {
    state.catalog_list().downcast_ref()
}

/// Returns the tables and views of the session that a statement reads.
fn reads(statement: &Statement, state: &SessionState, names: &SessionNames) -> Result<BTreeSet<String>> {
    let references = state.resolve_table_references(statement).map_err(|e| from_datafusion(&e))?;
    Ok(references.iter().filter_map(|reference| names.own(reference)).map(str::to_owned).collect())
}

/// Plans a view for a statement that reads it. Also returns the depth of the view.
async fn opened(
    name: &str,
    view: &View,
    names: &SessionNames,
    mesh: &Arc<MeshView>,
    state: &SessionState,
) -> Result<(LogicalPlan, QueryDepth)> {
    check_nesting(name, view, names)?;
    if let Some(gone) = view.reads.iter().find(|name| !names.has(name)) {
        let what = format!("it reads the table or view `{gone}`, which was dropped: create `{gone}` again");
        return Err(Error::new(ErrorKind::NotFound, what));
    }
    let Statement::Statement(statement) = parse_and_open(&view.text, state, names).await? else {
        return Err(no_view(name));
    };
    let SqlStatement::CreateView(create) = *statement else { return Err(no_view(name)) };
    let mut state = state.clone();
    set_names(&mut state, mesh, Some(Arc::new(names.of_view(name, view))));
    let query = Statement::Statement(Box::new(SqlStatement::Query(create.query.clone())));
    expand(&query, &state).await?;
    let depth = depth(&view.text, &view.reads, names)?;
    let plan = planned(create.query, &create.columns, &state, &mesh.snapshot).await?;
    let found = columns(&state, plan.clone())?;
    match found == view.columns {
        true => Ok((plan, depth)),
        false => Err(changed(&view.columns, &found)),
    }
}

/// Returns the depth of a view. The views that it reads are open, perhaps for another place in the statement.
fn depth(text: &str, reads: &BTreeSet<String>, names: &SessionNames) -> Result<QueryDepth> {
    let depth = QueryDepth::above(reads.iter().filter_map(|name| names.opened.depth(name)), text);
    depth.check_queries("views")?;
    depth.check_levels()?;
    Ok(depth)
}

/// Checks that the views of a statement are within the limits, and that none reads itself.
fn check_nesting(name: &str, view: &View, names: &SessionNames) -> Result<()> {
    let invalid = |what: String| Err(Error::new(ErrorKind::InvalidQuery, what));
    if names.within.iter().any(|outer| outer == name) {
        let path: Vec<_> = names.within.iter().map(String::as_str).chain([name]).map(|v| format!("`{v}`")).collect();
        let path = path.join(" → ");
        return invalid(format!("it would read itself: {path}; to read a port, write its domain and product"));
    }
    if names.within.len() >= MOST_NESTED {
        return Err(nested_too_deep("views"));
    }
    let mut others: BTreeSet<_> = names.opened.view_names().into_iter().collect();
    others.extend(names.within.iter().cloned());
    let bytes: usize = others.iter().filter_map(|other| names.views.get(other)).map(|other| other.text.len()).sum();
    if others.len() >= MOST_VIEWS || bytes + view.text.len() > MOST_STATEMENT_BYTES {
        return invalid(format!(
            "a statement reads at most {MOST_VIEWS} views, whose statements have at most {MOST_STATEMENT_BYTES} bytes \
             together: store the rows of some in a table"
        ));
    }
    Ok(())
}

/// Plans the query of a view. The plan has the columns of the view.
async fn planned(
    query: Box<Query>,
    columns: &[ViewColumnDef],
    state: &SessionState,
    mesh: &MeshSnapshot,
) -> Result<LogicalPlan> {
    let (plan, labels) = labelled(SqlStatement::Query(query), state, mesh).await?;
    let own = labels.named(plan.schema().inner().clone());
    let own = own.fields().iter().map(|field| field.name().clone());
    let names: Vec<String> = match columns {
        [] => own.collect(),
        columns if columns.len() == own.len() => columns.iter().map(|column| normal(&column.name)).collect(),
        columns => {
            let what = format!("the view lists {} columns, but its query returns {}", columns.len(), own.len());
            return Err(Error::new(ErrorKind::InvalidQuery, what));
        }
    };
    let fields: Vec<_> = names.iter().map(|name| Field::new(name, DataType::Null, true)).collect();
    distinct_names(&Schema::new(fields))?;
    let plan = renamed(plan, names).map_err(|e| from_datafusion(&e))?;
    check_plan(&plan)?;
    Ok(plan)
}

fn renamed(plan: LogicalPlan, names: Vec<String>) -> DataFusionResult<LogicalPlan> {
    let columns = plan.schema().iter().zip(names);
    let columns: Vec<_> =
        columns.map(|((table, field), name)| Expr::Column(Column::from((table, field))).alias(name)).collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// Returns the columns of a plan. Only an analysed plan has their types.
fn columns(state: &SessionState, plan: LogicalPlan) -> Result<SchemaRef> {
    let plan = analyse_statement(state, plan)?;
    let fields = plan.schema().fields().iter();
    let fields = fields.map(|field| Field::new(field.name(), field.data_type().clone(), true));
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// Returns the error for a view whose query now returns other columns.
fn changed(was: &Schema, is: &Schema) -> Error {
    let lacking = |in_schema: &Schema, from: &Schema, what: &str| {
        let fields = from.fields().iter().filter(|field| !in_schema.fields().iter().any(|other| other == *field));
        let shown: Vec<_> = fields.take(5).map(|f| format!("`{}` ({})", f.name(), sql_type(f.data_type()))).collect();
        (!shown.is_empty()).then(|| format!("{what} returns {}", shown.join(", ")))
    };
    let parts: Vec<_> = [lacking(is, was, "no longer"), lacking(was, is, "now")].into_iter().flatten().collect();
    let change =
        if parts.is_empty() { "now returns its columns in another order".to_owned() } else { parts.join(" and ") };
    Error::new(ErrorKind::InvalidQuery, format!("its query {change}: create the view again"))
}

/// Returns an error of a view for a statement that reads the view. The position is that of the view's name, because a
/// position in the statement of the view would mislead.
fn in_view(name: &str, error: &Error) -> Error {
    let said = error.flat().without_position().within(format!("{IN_VIEW}{name}`"));
    said.about(Some(Subject::Name(name.to_owned())))
}

/// True for an error of a view that a statement reads.
pub(super) fn is_of_view(error: &Error) -> bool {
    error.context().starts_with(IN_VIEW)
}

fn no_view(name: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("the text of `{name}` is not the statement of a view"))
}
