//! Statements that change something: the session's own tables, and ports that accept rows. Each becomes a query for the
//! rows that it needs, planned like any other query, and a change to make with these rows.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::TableReference;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::sql::parser::Statement;
use portolan_catalog::{MeshSnapshot, PortRef};
use sqlparser::ast::{
    ColumnOption, CreateTable, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, ObjectType,
    Statement as SqlStatement, TableObject,
};

use super::table_names::known_names;
use super::{plan_of, unsupported};
use crate::names::{MESH_SCHEMA, RESERVED_CATALOG, SessionNames};
use crate::state::tables::Creation;
use crate::state::views::View;
use crate::upstream::identifiers::normal;
use crate::upstream::without_mark;
use crate::visit::text_literal;
use crate::{Error, ErrorKind, Result};

/// The change that a statement makes.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Creates a table of the session.
    Create { table: String, content: Content, how: Creation },
    /// Drops a table of the session.
    Drop { table: String, if_exists: bool },
    /// Creates a view of the session.
    CreateView { name: String, view: View, how: Creation },
    /// Drops a view of the session.
    DropView { name: String, if_exists: bool },
    /// Adds rows.
    Insert { into: Target, rows: LogicalPlan },
    /// Removes the rows with these numbers from a table of the session.
    Delete { table: String, rows: LogicalPlan },
    /// Sets columns of a table of the session. Each row has a number, and a new value for each column.
    Update { table: String, columns: Vec<usize>, rows: LogicalPlan },
    /// Stops a query.
    CancelQuery { id: String },
    /// Ends a session.
    CloseSession { id: String },
}

/// The content of a new table of the session.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Columns without rows.
    Columns(SchemaRef),
    /// The columns and rows of a query.
    Rows(LogicalPlan),
}

impl Content {
    /// Returns the columns. Types that depend on a parameter's value may not be known yet.
    pub(crate) fn columns(&self) -> &Schema {
        match self {
            Self::Columns(columns) => columns,
            Self::Rows(plan) => plan.schema().as_arrow(),
        }
    }
}

/// A table or port that accepts rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A table of the session.
    Session(String),
    /// A port.
    Port(PortRef),
}

impl Change {
    /// Returns the query for the rows that the change needs.
    pub(crate) fn rows(&self) -> Option<&LogicalPlan> {
        match self {
            Self::Create { content: Content::Rows(rows), .. } => Some(rows),
            Self::Insert { rows, .. } | Self::Delete { rows, .. } | Self::Update { rows, .. } => Some(rows),
            Self::Create { .. } | Self::Drop { .. } | Self::CreateView { .. } | Self::DropView { .. } => None,
            Self::CancelQuery { .. } | Self::CloseSession { .. } => None,
        }
    }

    /// Returns the same change with another plan for its rows.
    pub(crate) fn map_rows(self, change: impl FnOnce(LogicalPlan) -> Result<LogicalPlan>) -> Result<Self> {
        Ok(match self {
            Self::Create { table, content: Content::Rows(rows), how } => {
                Self::Create { table, content: Content::Rows(change(rows)?), how }
            }
            Self::Insert { into, rows } => Self::Insert { into, rows: change(rows)? },
            Self::Delete { table, rows } => Self::Delete { table, rows: change(rows)? },
            Self::Update { table, columns, rows } => Self::Update { table, columns, rows: change(rows)? },
            other => other,
        })
    }

    /// True if the change is to a table or a view of the session.
    pub(crate) fn is_of_session(&self) -> bool {
        match self {
            Self::Insert { into, .. } => matches!(into, Target::Session(_)),
            Self::CancelQuery { .. } | Self::CloseSession { .. } => false,
            Self::Create { .. } | Self::Drop { .. } | Self::Delete { .. } | Self::Update { .. } => true,
            Self::CreateView { .. } | Self::DropView { .. } => true,
        }
    }
}

/// The names that a statement can refer to, and the state that plans it.
pub(super) struct Scope<'a> {
    /// The text of the statement.
    pub(super) sql: &'a str,
    pub(super) state: &'a SessionState,
    pub(super) mesh: &'a MeshSnapshot,
    pub(super) session: &'a SessionNames,
}

/// Returns the change that a statement makes; `None` if it makes none.
pub(super) async fn change(statement: &SqlStatement, scope: &Scope<'_>) -> Result<Option<Change>> {
    Ok(Some(match statement {
        SqlStatement::CreateTable(create) => scope.create(create).await?,
        SqlStatement::Drop { object_type: ObjectType::Table, if_exists, names, .. } => {
            let [name] = names.as_slice() else { return Err(unsupported("DROP TABLE takes one table at a time")) };
            Change::Drop { table: scope.own_table(name, "DROP TABLE", *if_exists)?, if_exists: *if_exists }
        }
        SqlStatement::CreateView(create) => scope.create_view(create).await?,
        SqlStatement::Drop { object_type: ObjectType::View, if_exists, names, .. } => {
            let [name] = names.as_slice() else { return Err(unsupported("DROP VIEW takes one view at a time")) };
            scope.drop_view(name, *if_exists)?
        }
        SqlStatement::Insert(insert) => {
            let TableObject::TableName(name) = &insert.table else {
                return Err(unsupported("INSERT INTO takes the name of a table"));
            };
            if insert.overwrite || insert.replace_into || insert.or.is_some() {
                return Err(unsupported("INSERT can add rows, but cannot replace them"));
            }
            let into = scope.target(name)?;
            let plan = scope.plan(SqlStatement::Insert(insert.clone()), &reference(&parts(name)?)).await?;
            let LogicalPlan::Dml(dml) = plan else { return Err(unsupported("this form of INSERT is not supported")) };
            Change::Insert { into, rows: Arc::unwrap_or_clone(dml.input) }
        }
        SqlStatement::Delete(delete) => scope.delete(delete).await?,
        SqlStatement::Update(update) => scope.update(update).await?,
        SqlStatement::Call(function) => call(function)?,
        _ => return Ok(None),
    }))
}

impl Scope<'_> {
    async fn create(&self, create: &CreateTable) -> Result<Change> {
        let table = self.new_name(&create.name)?;
        let plain = |option: &ColumnOption| matches!(option, ColumnOption::Null | ColumnOption::NotNull);
        let has_options = create.columns.iter().flat_map(|c| &c.options).any(|o| !plain(&o.option));
        if has_options || !create.constraints.is_empty() {
            return Err(unsupported("columns of a session's table can be NULL or NOT NULL, and have no other options"));
        }
        let create = CreateTable { temporary: false, ..create.clone() };
        let how = creation("CREATE TABLE", create.or_replace, create.if_not_exists)?;
        let (name, has_rows) = (reference(&parts(&create.name)?), create.query.is_some());
        let plan = self.plan(SqlStatement::CreateTable(create), &name).await?;
        let LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(memory)) = plan else {
            return Err(unsupported("this form of CREATE TABLE is not supported"));
        };
        let columns = memory.input.schema().inner().clone();
        distinct_names(&columns)?;
        let content = match has_rows {
            true => Content::Rows(Arc::unwrap_or_clone(memory.input)),
            false => Content::Columns(without_mark(&columns)),
        };
        Ok(Change::Create { table, content, how })
    }

    /// Plans a statement whose target is looked up elsewhere.
    async fn plan(&self, statement: SqlStatement, target: &TableReference) -> Result<LogicalPlan> {
        let statement = Statement::Statement(Box::new(statement));
        known_names(&statement, self.state, self.mesh, Some(target)).await?;
        plan_of(statement, self.state).await
    }
}

/// Returns the change of `CALL mesh.cancel_query('…')` or `CALL mesh.close_session('…')`.
fn call(function: &Function) -> Result<Change> {
    let name = parts(&function.name)?;
    let argument = match &function.args {
        FunctionArguments::List(list) => match list.args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(id))] => text_literal(id).map(str::to_owned),
            _ => None,
        },
        _ => None,
    };
    let own = matches!(name.as_slice(), [schema, _] if schema == MESH_SCHEMA)
        || matches!(name.as_slice(), [catalog, schema, _] if catalog == RESERVED_CATALOG && schema == MESH_SCHEMA);
    let procedure = name.last().map(String::as_str).filter(|_| own);
    match (procedure, argument) {
        (Some("cancel_query"), Some(id)) => Ok(Change::CancelQuery { id }),
        (Some("close_session"), Some(id)) => Ok(Change::CloseSession { id }),
        (Some("cancel_query" | "close_session"), None) => Err(Error::new(
            ErrorKind::InvalidQuery,
            format!("`{}` takes one identity, in single quotes", function.name),
        )),
        _ => Err(Error::new(
            ErrorKind::NotFound,
            format!(
                "there is no procedure `{}`: call `mesh.cancel_query('…')` or `mesh.close_session('…')`",
                function.name
            ),
        )),
    }
}

/// Rejects columns with the same name: a statement can refer to a column only by its name.
pub(crate) fn distinct_names(schema: &Schema) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    match schema.fields().iter().find(|f| !seen.insert(f.name())) {
        Some(twice) => Err(Error::new(
            ErrorKind::InvalidQuery,
            format!("two columns of the table are named `{}`: give one of them another name", twice.name()),
        )),
        None => Ok(()),
    }
}

/// Returns the handling of an object with the same name.
pub(super) fn creation(statement: &str, or_replace: bool, if_not_exists: bool) -> Result<Creation> {
    match (if_not_exists, or_replace) {
        (true, true) => {
            let what = format!("{statement} accepts OR REPLACE or IF NOT EXISTS, but not both: remove one of them");
            Err(Error::new(ErrorKind::InvalidQuery, what))
        }
        (false, true) => Ok(Creation::OrReplace),
        (true, false) => Ok(Creation::IfNotExists),
        (false, false) => Ok(Creation::New),
    }
}

/// Returns the parts of a name as SQL reads them: in lower case if they are not quoted.
pub(super) fn parts(name: &ObjectName) -> Result<Vec<String>> {
    let parts: Option<Vec<_>> = name.0.iter().map(|part| part.as_ident().map(normal)).collect();
    match parts {
        Some(parts) if (1..=3).contains(&parts.len()) => Ok(parts),
        _ => Err(Error::new(ErrorKind::InvalidQuery, format!("`{name}` is not a table name"))),
    }
}

pub(super) fn reference(parts: &[String]) -> TableReference {
    match parts {
        [catalog, schema, table] => TableReference::full(catalog.as_str(), schema.as_str(), table.as_str()),
        [schema, table] => TableReference::partial(schema.as_str(), table.as_str()),
        _ => TableReference::bare(parts.last().map(String::as_str).unwrap_or_default()),
    }
}
