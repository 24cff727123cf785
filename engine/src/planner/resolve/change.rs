//! Statements that change something: the session's own tables, and ports that accept rows. Each becomes a query for the
//! rows that it needs, planned like any other query, and a change to make with these rows.
//!
//! `DELETE` and `UPDATE` query the numbers of the rows for which their condition holds. So the condition means the same
//! as in a query:
//!
//! ```text
//! UPDATE t SET a = a + 1 WHERE b IN (SELECT …)
//! SELECT "#row", a + 1 AS a FROM portolan.session."t#rows" AS t WHERE b IN (SELECT …)
//! ```

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::TableReference;
use datafusion::common::utils::quote_identifier;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::sql::parser::Statement;
use portolan_catalog::nearest::nearest;
use portolan_catalog::{MeshSnapshot, PortRef};
use portolan_connectors::Subject;
use sqlparser::ast::{
    AssignmentTarget, ColumnOption, CreateTable, Delete, Expr, FromTable, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, ObjectName, ObjectNamePart, ObjectType, Query, SelectItem, SetExpr,
    Statement as SqlStatement, TableAlias, TableFactor, TableObject, TableWithJoins, Update, Value,
};

use super::table_names::{known_names, unknown};
use super::{plan_of, query, unsupported};
use crate::names::{MESH_SCHEMA, RESERVED_CATALOG, SESSION_SCHEMA, SessionNames};
use crate::state::tables::{Creation, NUMBERED, ROW_NUMBER, unknown as unknown_table};
use crate::state::views::View;
use crate::upstream::identifiers::normal;
use crate::upstream::without_mark;
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

    async fn delete(&self, delete: &Delete) -> Result<Change> {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let extras = !delete.tables.is_empty()
            || delete.using.is_some()
            || delete.returning.is_some()
            || delete.output.is_some()
            || !delete.order_by.is_empty()
            || delete.limit.is_some();
        let [from] = from.as_slice() else { return Err(unsupported("DELETE takes one table")) };
        if extras {
            return Err(unsupported("DELETE takes a table and a condition, and nothing else"));
        }
        let (table, from) = self.numbered(from, "DELETE")?;
        let rows = self.numbers(from, vec![], delete.selection.clone()).await?;
        Ok(Change::Delete { table, rows })
    }

    async fn update(&self, update: &Update) -> Result<Change> {
        let extras = update.from.is_some()
            || update.returning.is_some()
            || update.output.is_some()
            || update.or.is_some()
            || !update.order_by.is_empty()
            || update.limit.is_some();
        if extras {
            return Err(unsupported("UPDATE takes a table, new values and a condition, and nothing else"));
        }
        let (table, from) = self.numbered(&update.table, "UPDATE")?;
        let schema =
            &self.session.tables.get(&table).ok_or_else(|| unknown_table(&table, &self.session.tables))?.schema;
        let (mut columns, mut values) = (vec![], vec![]);
        for assignment in &update.assignments {
            let AssignmentTarget::ColumnName(name) = &assignment.target else {
                return Err(unsupported("UPDATE sets one column at a time"));
            };
            let column = name.0.last().and_then(ObjectNamePart::as_ident).map(normal).unwrap_or_default();
            let position = schema.index_of(&column).map_err(|_| {
                let near = nearest(&column, schema.fields().iter().map(|f| f.name().as_str())).map(quote_identifier);
                let error = Error::new(ErrorKind::InvalidQuery, format!("`{table}` has no column `{column}`"));
                error.suggesting(near).about(Some(Subject::Name(column.clone())))
            })?;
            if columns.contains(&position) {
                return Err(Error::new(ErrorKind::InvalidQuery, format!("`{column}` is set twice")));
            }
            columns.push(position);
            let alias = Ident::with_quote('"', format!("#{}", values.len()));
            values.push(SelectItem::ExprWithAlias { expr: assignment.value.clone(), alias });
        }
        let rows = self.numbers(from, values, update.selection.clone()).await?;
        Ok(Change::Update { table, columns, rows })
    }

    /// Returns the table of the session that a statement changes, and the table as the query for its numbered rows
    /// reads it.
    fn numbered(&self, from: &TableWithJoins, verb: &str) -> Result<(String, TableWithJoins)> {
        let TableFactor::Table { name, alias, .. } = &from.relation else {
            return Err(unsupported(format!("{verb} takes the name of a table")));
        };
        if !from.joins.is_empty() {
            return Err(unsupported(format!("{verb} takes one table: read others in a subquery")));
        }
        let table = self.own_table(name, verb, false)?;
        let alias = alias.clone().unwrap_or_else(|| TableAlias {
            explicit: true,
            name: Ident::with_quote('"', &table),
            columns: vec![],
            at: None,
        });
        let parts =
            [RESERVED_CATALOG, SESSION_SCHEMA, &format!("{table}{NUMBERED}")].map(|p| Ident::with_quote('"', p));
        let mut relation = from.relation.clone();
        if let TableFactor::Table { name, alias: of, .. } = &mut relation {
            *name = ObjectName::from(parts.to_vec());
            *of = Some(alias);
        }
        Ok((table, TableWithJoins { relation, joins: vec![] }))
    }

    /// Returns the query for the numbers of the rows for which `condition` holds, with `values` next to each number.
    async fn numbers(
        &self,
        from: TableWithJoins,
        values: Vec<SelectItem>,
        condition: Option<Expr>,
    ) -> Result<LogicalPlan> {
        let number = SelectItem::UnnamedExpr(Expr::Identifier(Ident::with_quote('"', ROW_NUMBER)));
        // Parsing a query with the right shape is the safest way to get the parser's type.
        let mut select = parsed_query("SELECT 1")?;
        if let SetExpr::Select(body) = select.body.as_mut() {
            body.projection = [number].into_iter().chain(values).collect();
            body.from = vec![from];
            body.selection = condition;
        }
        let statement = Statement::Statement(Box::new(SqlStatement::Query(Box::new(select))));
        query(statement, self.state, self.mesh).await
    }

    /// Plans a statement whose target is looked up elsewhere.
    async fn plan(&self, statement: SqlStatement, target: &TableReference) -> Result<LogicalPlan> {
        let statement = Statement::Statement(Box::new(statement));
        known_names(&statement, self.state, self.mesh, Some(target)).await?;
        plan_of(statement, self.state).await
    }

    /// Returns the table or port to which an INSERT adds rows.
    fn target(&self, name: &ObjectName) -> Result<Target> {
        let parts = parts(name)?;
        self.no_view(&parts, "INSERT")?;
        if let Some(table) = self.own(&parts)
            && (parts.len() > 1 || self.session.tables.contains_key(&table))
        {
            self.session.tables.get(&table).ok_or_else(|| unknown_table(&table, &self.session.tables))?;
            return Ok(Target::Session(table));
        }
        let table = parts.last().cloned().unwrap_or_default();
        let (domain, product) = match parts.as_slice() {
            [domain, product, _] => (Some(domain.clone()), Some(product.clone())),
            [product, _] => (self.session.catalog.clone(), Some(product.clone())),
            _ => (self.session.catalog.clone(), self.session.schema.clone()),
        };
        let (Some(domain), Some(product)) = (domain, product) else {
            return Err(unknown_table(&table, &self.session.tables));
        };
        if domain == RESERVED_CATALOG {
            let what = format!("`{name}` is a table of the node: it accepts no rows");
            return Err(Error::new(ErrorKind::PermissionDenied, what));
        }
        let port = PortRef::new(domain, product, &table);
        match self.mesh.port(&port) {
            Some(_) => Ok(Target::Port(port)),
            None => Err(unknown(&reference(&parts), self.mesh)),
        }
    }

    /// Returns the name of the session's table that these parts can refer to, if any. Two parts mean the same as in a
    /// query: with a current domain, they name one of its products.
    pub(super) fn own(&self, parts: &[String]) -> Option<String> {
        let here = self.session.catalog.as_deref().is_none_or(|catalog| catalog == RESERVED_CATALOG);
        match parts {
            [table] => Some(table.clone()),
            [schema, table] if here && schema == SESSION_SCHEMA => Some(table.clone()),
            [catalog, schema, table] if catalog == RESERVED_CATALOG && schema == SESSION_SCHEMA => Some(table.clone()),
            _ => None,
        }
    }

    /// Returns the name of a table or a view that the session will create.
    pub(super) fn new_name(&self, name: &ObjectName) -> Result<String> {
        self.own(&parts(name)?).ok_or_else(|| {
            Error::new(
                ErrorKind::PermissionDenied,
                format!(
                    "`{name}` cannot be created: domains publish their ports themselves; to create a table or a view \
                     of the session, leave out the domain and the product"
                ),
            )
        })
    }

    /// Rejects the name of a view, whose rows no statement changes.
    fn no_view(&self, parts: &[String], verb: &str) -> Result<()> {
        let Some(name) = self.own(parts).filter(|name| self.session.views.contains_key(name)) else { return Ok(()) };
        let what = match verb {
            "DROP TABLE" => format!("`{name}` is a view: use DROP VIEW"),
            _ => format!("{verb} cannot change the view `{name}`: change the tables that it reads"),
        };
        Err(Error::new(ErrorKind::InvalidQuery, what))
    }

    /// Returns the name of one of the session's tables. With `may_lack`, the table need not exist.
    fn own_table(&self, name: &ObjectName, verb: &str, may_lack: bool) -> Result<String> {
        let parts = parts(name)?;
        self.no_view(&parts, verb)?;
        let own = self.own(&parts);
        if let Some(table) = own.clone().filter(|table| may_lack || self.session.tables.contains_key(table)) {
            return Ok(table);
        }
        let port = match (parts.as_slice(), &self.session.catalog) {
            ([domain, product, port], _) => Some(PortRef::new(domain, product, port)),
            ([product, port], Some(domain)) => Some(PortRef::new(domain, product, port)),
            _ => None,
        };
        if port.is_some_and(|port| self.mesh.port(&port).is_some()) {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                format!("{verb} cannot change the port `{name}`: only its domain changes its rows"),
            ));
        }
        if own.is_none() && may_lack {
            // No table of a session has such a name.
            return Ok(format!("{name}{NUMBERED}"));
        }
        let table = parts.last().cloned().unwrap_or_default();
        Err(unknown_table(&table, &self.session.tables))
    }
}

/// Returns the change of `CALL mesh.cancel_query('…')` or `CALL mesh.close_session('…')`.
fn call(function: &Function) -> Result<Change> {
    let name = parts(&function.name)?;
    let argument = match &function.args {
        FunctionArguments::List(list) => match list.args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] => match &value.value {
                Value::SingleQuotedString(text) => Some(text.clone()),
                _ => None,
            },
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

fn parsed_query(sql: &str) -> Result<Query> {
    match super::parse(sql)? {
        Statement::Statement(statement) => match *statement {
            SqlStatement::Query(query) => Ok(*query),
            _ => Err(unsupported("the statement is not a query")),
        },
        _ => Err(unsupported("the statement is not a query")),
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

fn reference(parts: &[String]) -> TableReference {
    match parts {
        [catalog, schema, table] => TableReference::full(catalog.as_str(), schema.as_str(), table.as_str()),
        [schema, table] => TableReference::partial(schema.as_str(), table.as_str()),
        _ => TableReference::bare(parts.last().map(String::as_str).unwrap_or_default()),
    }
}
