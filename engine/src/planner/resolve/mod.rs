//! Pass 1, resolve: turns text into a plan over the ports that the mesh knows at this moment. All look-ups happen
//! before planning begins, in one immutable view: planning itself does no I/O.

pub(crate) mod change;
mod explain_options;
mod ignored_clauses;
mod labels;
mod row_values;

use std::ops::ControlFlow;

use datafusion::common::{TableReference, ToDFSchema};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{DescribeTable, LogicalPlan};
use datafusion::sql::parser::{DFParserBuilder, ResetStatement, Statement};
use portolan_catalog::nearest::nearest;
use portolan_catalog::{DomainName, MeshSnapshot, NodeState};
use sqlparser::ast::{DescribeAlias, Expr, ObjectName, Set, Statement as SqlStatement, Use, Value};
use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::Span;

use self::change::{Change, Scope, change};
use self::explain_options::take_explain;
pub(crate) use self::explain_options::{ExplainOptions, Format};
pub(crate) use self::labels::Labels;
use self::labels::RenamedColumns;
use crate::bounds;
use crate::execution::errors::from_datafusion;
use crate::mesh::describe;
use crate::names::{MESH_SCHEMA, RESERVED_CATALOG, SESSION_SCHEMA, SessionNames};
use crate::planner::analyse_statement;
use crate::upstream::{from_first, keep_digits, patterns, using_joins, volatile};
use crate::visit::visit_relations;
use crate::{Error, ErrorKind, Result};

/// A statement over known names.
#[derive(Clone, Debug)]
pub(crate) enum Resolved {
    /// A query. Its columns may have other names in the plan than in the statement.
    Query(LogicalPlan, Labels),
    /// An EXPLAIN of a query.
    Explain {
        /// The query.
        query: LogicalPlan,
        /// The options of the EXPLAIN.
        options: ExplainOptions,
    },
    /// A change of the session's settings.
    Set(Vec<Assignment>),
    /// A change of tables, or a statement that stops something.
    Change(Change),
    /// A request for a setting's value.
    Show {
        /// The setting.
        name: String,
    },
}

/// A setting and its new value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The setting.
    pub(crate) name: String,
    /// Its new value, as text; `None` for its default.
    pub(crate) value: Option<String>,
}

/// Parses one statement and resolves its names.
///
/// # Errors
/// `InvalidQuery` if the text does not parse, and `NotFound` for an unknown name. Both have the place in the statement,
/// and the second has the nearest names. `PermissionDenied` if the statement would change something outside the
/// session, and `Unsupported` if no node can run it.
pub(crate) async fn resolve(
    sql: &str,
    state: &SessionState,
    mesh: &MeshSnapshot,
    session: &SessionNames,
) -> Result<Resolved> {
    bounds::check_text(sql)?;
    if let Some((options, sql)) = take_explain(sql)? {
        let query = match parse(&sql)? {
            // EXPLAIN does not show the names of the columns.
            Statement::Statement(statement) => labelled(*statement, state, mesh).await?.0,
            other => query(other, state, mesh).await?,
        };
        return Ok(Resolved::Explain { query, options });
    }
    match parse(sql)? {
        Statement::Reset(ResetStatement::Variable(name)) => {
            Ok(Resolved::Set(vec![Assignment { name: name.to_string(), value: None }]))
        }
        Statement::Statement(statement) => match *statement {
            SqlStatement::Set(Set::SingleAssignment { variable, values, .. }) => {
                let [value] = values.as_slice() else {
                    return Err(Error::new(ErrorKind::InvalidQuery, format!("`SET {variable}` takes one value")));
                };
                let value = Some(literal(value)).filter(|v| !v.eq_ignore_ascii_case("default"));
                Ok(Resolved::Set(vec![Assignment { name: variable.to_string(), value }]))
            }
            SqlStatement::Use(used) => Ok(Resolved::Set(current(&used, mesh)?)),
            SqlStatement::ShowVariable { variable }
                if variable.first().is_some_and(|v| is_setting(&v.value.to_lowercase())) =>
            {
                let parts: Vec<_> = variable.iter().map(|v| v.value.as_str()).collect();
                Ok(Resolved::Show { name: parts.join(".") })
            }
            SqlStatement::Explain { describe_alias, analyze: false, statement, .. }
                if describe_alias != DescribeAlias::Explain && matches!(*statement, SqlStatement::Query(_)) =>
            {
                let (plan, labels) = labelled(*statement, state, mesh).await?;
                Ok(Resolved::Query(described(plan, &labels, state)?, Labels::default()))
            }
            other => match change(&other, &Scope { state, mesh, session }).await? {
                Some(change) => Ok(Resolved::Change(change)),
                None => {
                    let (plan, labels) = labelled(other, state, mesh).await?;
                    Ok(Resolved::Query(plan, labels))
                }
            },
        },
        other => Ok(Resolved::Query(query(other, state, mesh).await?, Labels::default())),
    }
}

/// Parses the query of a derived port.
///
/// # Errors
/// `InvalidQuery` if the text does not parse, or is not a SELECT.
pub(crate) fn parse_query(sql: &str) -> Result<SqlStatement> {
    bounds::check_text(sql)?;
    match parse(sql)? {
        Statement::Statement(statement) if matches!(*statement, SqlStatement::Query(_)) => Ok(*statement),
        _ => Err(Error::new(ErrorKind::InvalidQuery, "expected a SELECT")),
    }
}

fn parse(sql: &str) -> Result<Statement> {
    let dialect = GenericDialect {};
    let mut statements = DFParserBuilder::new(sql)
        .with_dialect(&dialect)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|e| syntax(&e))?;
    match (statements.pop_front(), statements.len()) {
        (Some(statement), 0) => {
            bounds::check_statement(&statement)?;
            ignored_clauses::check(&statement)?;
            Ok(statement)
        }
        (None, _) => Err(Error::new(ErrorKind::InvalidQuery, "the statement is empty")),
        _ => Err(Error::new(ErrorKind::InvalidQuery, "more than one statement was sent: send one at a time")),
    }
}

/// Returns a syntax error with the place in Portolan's words: the parser ends its message with `at Line: 1, Column: 8`.
fn syntax(error: &datafusion::error::DataFusionError) -> Error {
    let mut message = error.strip_backtrace();
    for prefix in ["SQL error: ", "ParserError(\"", "TokenizerError(\""] {
        if let Some(rest) = message.strip_prefix(prefix) {
            message = rest.to_owned();
        }
    }
    let message = message.trim_end_matches("\")").replace("\\\"", "\"");
    let message = match message.rsplit_once(" at Line: ") {
        Some((what, place)) => format!("{what} (line {})", place.replace("Column:", "column")),
        None => message,
    };
    Error::new(ErrorKind::InvalidQuery, format!("syntax error: {message}"))
}

/// Returns a query's plan, and the names of its columns.
///
/// # Errors
/// As for [`resolve`].
pub(crate) async fn labelled(
    mut statement: SqlStatement,
    state: &SessionState,
    mesh: &MeshSnapshot,
) -> Result<(LogicalPlan, Labels)> {
    let labels = labels::label(&mut statement);
    let spare = labels::may_clash(&mut statement).then(|| statement.clone());
    let mut planned = query(Statement::Statement(Box::new(statement)), state, mesh).await;
    for which in [RenamedColumns::Expressions, RenamedColumns::All] {
        match (&planned, &spare) {
            (Err(e), Some(spare)) if SAME_NAME.iter().any(|said| e.context().contains(said)) => {
                let mut apart = spare.clone();
                labels::make_unique(&mut apart, which);
                planned = query(Statement::Statement(Box::new(apart)), state, mesh).await;
            }
            _ => break,
        }
    }
    Ok((planned?, labels))
}

/// Returns the names and types of a query's columns as rows. Only an analysed plan has the types.
fn described(plan: LogicalPlan, labels: &Labels, state: &SessionState) -> Result<LogicalPlan> {
    bounds::check_plan(&plan)?;
    let plan = analyse_statement(state, plan)?;
    let output_schema = LogicalPlan::describe_schema().to_dfschema_ref().map_err(|e| from_datafusion(&e))?;
    let schema = labels.named(plan.schema().inner().clone());
    Ok(LogicalPlan::DescribeTable(DescribeTable { schema, output_schema }))
}

/// Parts of DataFusion's errors for two expressions with the same name, which may be written differently.
const SAME_NAME: [&str; 2] = ["require unique expression names", "would be ambiguous"];

async fn query(statement: Statement, state: &SessionState, mesh: &MeshSnapshot) -> Result<LogicalPlan> {
    only_reads(&statement)?;
    known_names(&statement, state, mesh, None).await?;
    let plan = plan_of(statement, state).await?;
    match plan {
        LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) | LogicalPlan::Copy(_) | LogicalPlan::Statement(_) => {
            Err(unsupported(
                "the statement is not supported: use SELECT, EXPLAIN, SHOW, DESCRIBE, SET, CREATE TABLE, DROP TABLE, INSERT, UPDATE, DELETE or CALL",
            ))
        }
        plan => Ok(plan),
    }
}

/// Plans a statement, after spelling out the parts that DataFusion's planner misreads.
async fn plan_of(mut statement: Statement, state: &SessionState) -> Result<LogicalPlan> {
    row_values::as_functions(&mut statement);
    if let Statement::Statement(statement) = &mut statement {
        keep_digits(statement);
        from_first::spell_out(statement);
        volatile::check(statement, state)?;
        patterns::translate(statement)?;
        using_joins::spell_out(statement, state).await?;
    }
    state.statement_to_plan(statement).await.map_err(|e| from_datafusion(&e))
}

/// Rejects statements that would write or define something, before any name is looked up.
fn only_reads(statement: &Statement) -> Result<()> {
    let reads = match statement {
        Statement::Statement(statement) => matches!(
            **statement,
            SqlStatement::Query(_)
                | SqlStatement::ExplainTable { .. }
                | SqlStatement::ShowTables { .. }
                | SqlStatement::ShowColumns { .. }
                | SqlStatement::ShowFunctions { .. }
                | SqlStatement::ShowVariable { .. }
        ),
        _ => false,
    };
    if reads {
        return Ok(());
    }
    if let Statement::Explain(_) = statement {
        return Err(unsupported("EXPLAIN takes a query, and this is another EXPLAIN"));
    }
    let text = statement.to_string();
    let first = text.split_whitespace().next().unwrap_or("this").to_uppercase();
    Err(unsupported(&format!(
        "{first} is not supported: SELECT, EXPLAIN, SHOW, DESCRIBE, SET, CREATE TABLE, DROP TABLE, INSERT, UPDATE, DELETE and \
         CALL are"
    )))
}

/// Checks every table name, so that the error for an unknown name has its place and similar names. The caller looks up
/// `target`.
async fn known_names(
    statement: &Statement,
    state: &SessionState,
    mesh: &MeshSnapshot,
    target: Option<&TableReference>,
) -> Result<()> {
    let options = &state.config_options().catalog;
    for reference in state.resolve_table_references(statement).map_err(|e| from_datafusion(&e))? {
        if target == Some(&reference) {
            continue;
        }
        let full = reference.clone().resolve(&options.default_catalog, &options.default_schema);
        if &*full.schema == "information_schema" || state.table_functions().contains_key(reference.table()) {
            continue;
        }
        let schema = state.catalog_list().catalog(&full.catalog).and_then(|c| c.schema(&full.schema));
        let known = schema.is_some_and(|s| s.table_exist(&full.table));
        if !known {
            if let Some(own) = own_table(&reference, state) {
                let what = format!("there is no port `{reference}`; did you mean your session's table `{own}`?");
                return Err(Error::new(ErrorKind::NotFound, what));
            }
            return Err(unknown(&reference, span(statement, &reference), mesh));
        }
    }
    Ok(())
}

/// Returns the session's table with the most similar name, quoted if necessary.
fn own_table(reference: &TableReference, state: &SessionState) -> Option<String> {
    let schema = state.catalog_list().catalog(RESERVED_CATALOG)?.schema(SESSION_SCHEMA)?;
    if reference.schema().is_some_and(|schema| schema != SESSION_SCHEMA) {
        return None;
    }
    let names = schema.table_names();
    let near = nearest(reference.table(), names.iter().map(String::as_str))?;
    Some(if near.chars().any(char::is_uppercase) { format!("\"{near}\"") } else { near.to_owned() })
}

fn unknown(reference: &TableReference, span: Option<Span>, mesh: &MeshSnapshot) -> Error {
    let place = span.map(|s| format!(" (line {}, column {})", s.start.line, s.start.column)).unwrap_or_default();
    let name = reference.to_string();
    let domain = reference.catalog().map(DomainName::new);
    if let Some((domain, refused)) = domain.as_ref().and_then(|d| mesh.refused.get_key_value(d)) {
        let refused: Vec<_> = refused.iter().map(|claim| format!("{}: {}", claim.node, claim.reason)).collect();
        return Error::new(
            ErrorKind::NotFound,
            format!(
                "domain `{domain}` has no known owner, and a claim to it is refused{place}: {}; \
                 `SELECT * FROM mesh.nodes` shows the nodes and their keys, and `domains.{domain}.key` in this \
                 node's config names the owner",
                refused.join("; ")
            ),
        );
    }
    let hint = suggestion(reference, mesh);
    let missing: Vec<String> = mesh
        .nodes
        .iter()
        .filter(|n| matches!(n.state, NodeState::Down | NodeState::Unknown) && n.domains.is_empty())
        .map(|n| describe(&n.location))
        .collect();
    let missing = if missing.is_empty() || hint.is_some() {
        String::new()
    } else {
        format!("; the ports of {} are not known: it has not answered yet", missing.join(", "))
    };
    let hint = hint.map(|h| format!("; did you mean {h}?")).unwrap_or_default();
    Error::new(ErrorKind::NotFound, format!("there is no port `{name}`{place}{hint}{missing}"))
}

/// Returns the most similar names: first ports with the same name elsewhere, then ports with a similar spelling.
fn suggestion(reference: &TableReference, mesh: &MeshSnapshot) -> Option<String> {
    let same: Vec<String> = mesh
        .ports()
        .filter(|p| p.name.port.as_str().eq_ignore_ascii_case(reference.table()))
        .take(3)
        .map(|p| format!("`{}`", p.name))
        .collect();
    if !same.is_empty() {
        return Some(same.join(" or "));
    }
    let wanted = reference.to_string();
    let full: Vec<String> = mesh.ports().map(|p| p.name.to_string()).collect();
    let ports = || mesh.ports().map(|p| p.name.port.as_str());
    let near = if wanted.contains('.') { nearest(&wanted, full.iter().map(String::as_str)) } else { None };
    match near {
        Some(name) => Some(format!("`{name}`")),
        None => {
            let port = nearest(reference.table(), ports())?;
            mesh.ports().find(|p| p.name.port.as_str() == port).map(|p| format!("`{}`", p.name))
        }
    }
    .or_else(|| (reference.schema() == Some(MESH_SCHEMA)).then(|| format!("`{RESERVED_CATALOG}.{MESH_SCHEMA}.ports`")))
}

/// Returns the place of a name in the statement.
fn span(statement: &Statement, reference: &TableReference) -> Option<Span> {
    let Statement::Statement(statement) = statement else { return None };
    let found = visit_relations(statement.as_ref(), |name: &ObjectName| {
        let parts: Vec<_> = name.0.iter().filter_map(|p| p.as_ident()).collect();
        let wanted = [reference.catalog(), reference.schema(), Some(reference.table())];
        let wanted: Vec<_> = wanted.into_iter().flatten().collect();
        let same = parts.len() == wanted.len()
            && parts.iter().zip(&wanted).all(|(part, wanted)| part.value.eq_ignore_ascii_case(wanted));
        match parts.first() {
            Some(first) if same => ControlFlow::Break(first.span),
            _ => ControlFlow::Continue(()),
        }
    });
    match found {
        ControlFlow::Break(span) => Some(span),
        ControlFlow::Continue(()) => None,
    }
}

/// True if a name in SHOW is a setting of Portolan, or stands for all of them.
fn is_setting(first: &str) -> bool {
    first.starts_with("portolan") || matches!(first, "catalog" | "schema")
}

/// Returns the current catalog and schema that `USE` sets. If it names only a catalog, the schema is reset, because the
/// old schema may not be in that catalog.
fn current(used: &Use, mesh: &MeshSnapshot) -> Result<Vec<Assignment>> {
    let parts: Option<Vec<&str>> = match used {
        Use::Object(name) => name.0.iter().map(|part| Some(part.as_ident()?.value.as_str())).collect(),
        _ => None,
    };
    let (catalog, schema) = match parts.as_deref() {
        Some([catalog]) => (catalog, None),
        Some([catalog, schema]) => {
            known_schema(catalog, schema, mesh)?;
            (catalog, Some((*schema).to_owned()))
        }
        _ => return Err(Error::new(ErrorKind::InvalidQuery, "USE takes a domain, or `domain.product`")),
    };
    Ok(vec![
        Assignment { name: "catalog".to_owned(), value: Some((*catalog).to_owned()) },
        Assignment { name: "schema".to_owned(), value: schema },
    ])
}

/// Rejects a schema that a catalog does not have. The code that sets the catalog rejects an unknown catalog.
fn known_schema(catalog: &str, schema: &str, mesh: &MeshSnapshot) -> Result<()> {
    let products: Vec<&str> = match mesh.domains.get(&DomainName::new(catalog)) {
        Some(entry) => entry.catalog.products.keys().map(|name| name.as_str()).collect(),
        None if catalog == RESERVED_CATALOG => vec![SESSION_SCHEMA],
        None => return Ok(()),
    };
    let schemas = || products.iter().copied().chain([MESH_SCHEMA]);
    if schemas().any(|name| name == schema) {
        return Ok(());
    }
    let hint = nearest(schema, schemas()).map(|near| format!("; did you mean `{catalog}.{near}`?")).unwrap_or_default();
    let what = if catalog == RESERVED_CATALOG { ("catalog", "schema") } else { ("domain", "product") };
    Err(Error::new(ErrorKind::NotFound, format!("{} `{catalog}` has no {} `{schema}`{hint}", what.0, what.1)))
}

/// Returns a setting's value as text, without quotes.
fn literal(value: &Expr) -> String {
    match value {
        Expr::Value(v) => match &v.value {
            Value::SingleQuotedString(s) | Value::DoubleQuotedString(s) => s.clone(),
            other => other.to_string(),
        },
        Expr::Identifier(ident) => ident.value.clone(),
        other => other.to_string(),
    }
}

fn unsupported(context: &str) -> Error {
    Error::new(ErrorKind::Unsupported, context)
}
