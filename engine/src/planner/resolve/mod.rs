//! Pass 1, resolve: turns text into a plan over the ports that the mesh knows at this moment. All look-ups happen
//! before planning begins, in one immutable view: planning itself does no I/O. Only files that the statement names are
//! opened here.

mod aliases;
pub(crate) mod change;
mod describe;
mod explain_options;
mod files;
mod functions;
mod ignored_clauses;
mod joins;
mod keywords;
mod labels;
mod order_by_all;
mod replaced_columns;
mod row_values;
mod scalar_calls;
mod show;
mod statements;
mod syntax;
mod table_calls;
mod time_zone;
mod views;

use std::ops::ControlFlow;

use datafusion::common::TableReference;
use datafusion::common::utils::quote_identifier;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParserBuilder, ResetStatement, Statement};
use portolan_catalog::nearest::nearest;
use portolan_catalog::{DomainName, MeshSnapshot, NodeState};
use portolan_connectors::Subject;
use sqlparser::ast::{DescribeAlias, Expr, ObjectName, Set, Statement as SqlStatement, Use, Value};
use sqlparser::tokenizer::Span;

use self::aliases::{Aliases, have_one_name, of_one_name};
use self::change::{Change, Scope, change};
use self::explain_options::take_explain;
pub(crate) use self::explain_options::{ExplainOptions, Format};
pub use self::files::files_of;
pub(crate) use self::labels::Labels;
use self::labels::RenamedColumns;
use self::show::{Shown, show};
use self::statements::only_reads;
use crate::bounds;
use crate::dialect::{self, SessionFacts, Syntax};
use crate::execution::errors::{from_datafusion, position};
use crate::mesh::describe;
use crate::names::{MESH_SCHEMA, RESERVED_CATALOG, SESSION_SCHEMA, SessionNames};
use crate::planner::analyse_statement;
use crate::upstream::{from_first, keep_digits, patterns, using_joins, volatile};
use crate::visit::visit_relations;
use crate::{Error, ErrorKind, Result};

/// The largest number of nodes without known ports that an error names.
const MOST_MISSING: usize = 3;

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
        let query = match parse_and_open(&sql, state, session).await? {
            // EXPLAIN does not show the names of the columns.
            Statement::Statement(statement) => labelled(*statement, state, mesh).await?.0,
            other => query(other, state, mesh).await?,
        };
        return Ok(Resolved::Explain { query, options });
    }
    match parse_and_open(sql, state, session).await? {
        Statement::Reset(ResetStatement::Variable(name)) => {
            Ok(Resolved::Set(vec![Assignment { name: name.to_string(), value: None }]))
        }
        Statement::Statement(statement) => match *statement {
            SqlStatement::Set(set) if time_zone::is_set(&set) => {
                time_zone::check(&set)?;
                Ok(Resolved::Set(vec![]))
            }
            SqlStatement::Set(Set::SingleAssignment { variable, values, .. }) => {
                let [value] = values.as_slice() else {
                    return Err(Error::new(ErrorKind::InvalidQuery, format!("`SET {variable}` takes one value")));
                };
                let value = Some(literal(value)).filter(|v| !v.eq_ignore_ascii_case("default"));
                Ok(Resolved::Set(vec![Assignment { name: variable.to_string(), value }]))
            }
            SqlStatement::Use(used) => Ok(Resolved::Set(current(&used, mesh)?)),
            SqlStatement::Explain { describe_alias, analyze: false, statement, .. }
                if describe_alias != DescribeAlias::Explain && matches!(*statement, SqlStatement::Query(_)) =>
            {
                let (plan, labels) = labelled(*statement, state, mesh).await?;
                Ok(Resolved::Query(described(plan, &labels, state)?, Labels::default()))
            }
            other => {
                if let Some(change) = change(&other, &Scope { sql, state, mesh, session }).await? {
                    return Ok(Resolved::Change(change));
                }
                let query = match show(&other, mesh, session)? {
                    Some(Shown::Setting(name)) => return Ok(Resolved::Show { name }),
                    Some(Shown::Rows(query)) => *query,
                    None => other,
                };
                let (plan, labels) = labelled(query, state, mesh).await?;
                Ok(Resolved::Query(plan, labels))
            }
        },
        other => Ok(Resolved::Query(query(other, state, mesh).await?, Labels::default())),
    }
}

/// Parses one statement, and opens the files that it names.
async fn parse_and_open(sql: &str, state: &SessionState, session: &SessionNames) -> Result<Statement> {
    let mut statement = parse(sql)?;
    files::open(&mut statement, state, session).await?;
    Ok(statement)
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
    let dialect = Syntax::default();
    let mut statements = DFParserBuilder::new(sql)
        .with_dialect(&dialect)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|e| syntax::error(&e, sql))?;
    match (statements.pop_front(), statements.len()) {
        (Some(mut statement), 0) => {
            bounds::check_statement(&statement)?;
            ignored_clauses::check(&statement)?;
            if let Statement::Statement(statement) = &mut statement {
                order_by_all::spell_out(statement)?;
                dialect::unreserve(statement);
                dialect::plain_literals(statement)?;
            }
            keywords::check(&statement)?;
            Ok(statement)
        }
        (None, _) => Err(Error::new(ErrorKind::InvalidQuery, "the statement is empty")),
        _ => Err(Error::new(ErrorKind::InvalidQuery, "more than one statement was sent: send one at a time")),
    }
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
            // Other names for the columns of this statement do not change the statement of a view.
            (Err(e), Some(spare)) if have_one_name(e) && !views::is_of_view(e) => {
                let mut apart = spare.clone();
                labels::make_unique(&mut apart, which);
                planned = query(Statement::Statement(Box::new(apart)), state, mesh).await;
            }
            _ => break,
        }
    }
    let in_our_words = |e| if views::is_of_view(&e) { e } else { of_one_name(e) };
    Ok((planned.map_err(in_our_words)?, labels))
}

/// Returns the names and types of a query's columns as rows. Only an analysed plan has the types.
fn described(plan: LogicalPlan, labels: &Labels, state: &SessionState) -> Result<LogicalPlan> {
    bounds::check_plan(&plan)?;
    let plan = analyse_statement(state, plan)?;
    describe::described(&labels.named(plan.schema().inner().clone()))
}

async fn query(statement: Statement, state: &SessionState, mesh: &MeshSnapshot) -> Result<LogicalPlan> {
    only_reads(&statement)?;
    known_names(&statement, state, mesh, None).await?;
    let plan = plan_of(statement, state).await?;
    match plan {
        LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) | LogicalPlan::Copy(_) | LogicalPlan::Statement(_) => {
            Err(unsupported(
                "the statement is not supported: use SELECT, EXPLAIN, SHOW, DESCRIBE, SET, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, INSERT, UPDATE, DELETE or CALL",
            ))
        }
        LogicalPlan::DescribeTable(described) => describe::described(&described.schema),
        plan => Ok(plan),
    }
}

/// Plans a statement and the views that it reads, after spelling out the parts that DataFusion's planner misreads.
async fn plan_of(mut statement: Statement, state: &SessionState) -> Result<LogicalPlan> {
    views::expand(&statement, state).await?;
    row_values::as_functions(&mut statement);
    if let Statement::Statement(statement) = &mut statement {
        keep_digits(statement);
        from_first::spell_out(statement);
        let facts = state.config().get_extension::<SessionFacts>().unwrap_or_default();
        dialect::spell_out(statement, &facts)?;
        scalar_calls::check(statement, state)?;
        volatile::check(statement, state)?;
        patterns::translate(statement)?;
        using_joins::spell_out(statement, state).await?;
    }
    replaced_columns::check(&statement, state).await?;
    let aliases = Aliases::of(&statement);
    let planned = state.statement_to_plan(statement).await;
    planned.map_err(|e| {
        let known = functions::unknown(&e, state).or_else(|| aliases.misplaced(&e));
        known.unwrap_or_else(|| from_datafusion(&e))
    })
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
                let error = Error::new(ErrorKind::NotFound, what).with_suggestion(Some(own));
                return Err(at(error, span(statement, &reference)));
            }
            let span = span(statement, &reference);
            return Err(match table_calls::unknown(&reference, statement, state) {
                Some(error) => at(error, span),
                None => unknown(&reference, span, mesh),
            });
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
    nearest(reference.table(), names.iter().map(String::as_str)).map(|near| quote_identifier(near).into_owned())
}

/// Adds the position of a name to an error about it.
fn at(error: Error, span: Option<Span>) -> Error {
    match span.and_then(|span| position(span.start.line, span.start.column)) {
        Some(position) => error.at(position),
        None => error,
    }
}

fn unknown(reference: &TableReference, span: Option<Span>, mesh: &MeshSnapshot) -> Error {
    let name = reference.to_string();
    let domain = reference.catalog().map(DomainName::new);
    if let Some((domain, refused)) = domain.as_ref().and_then(|d| mesh.refused.get_key_value(d)) {
        let refused: Vec<_> = refused.iter().map(|claim| format!("{}: {}", claim.node, claim.reason)).collect();
        let what = format!(
            "domain `{domain}` has no known owner, and a claim to it is refused: {}; `SELECT * FROM mesh.nodes` shows \
             the nodes and their keys, and `domains.{domain}.key` in this node's config names the owner",
            refused.join("; ")
        );
        return at(Error::new(ErrorKind::NotFound, what), span);
    }
    let near = suggestions(reference, mesh);
    // A name with three parts probably means a port.
    let file = files::probable(&name).filter(|_| reference.catalog().is_none());
    let is_of_postgres = reference.schema() == Some("pg_catalog") || reference.table().starts_with("pg_");
    let hint = match (&file, near.first()) {
        (Some(file), _) => format!("; the name of a file has single quotes: {file}"),
        // Quotes around the whole name make one part of it.
        (None, Some(same)) if *same == name => {
            format!("; it is one name in quotes: write `{name}`, with quotes around each part")
        }
        (None, Some(_)) => format!("; did you mean `{}`?", near.join("` or `")),
        (None, None) if is_of_postgres => {
            "; `information_schema` and the schema `mesh` have tables about tables".to_owned()
        }
        (None, None) => missing_ports(mesh),
    };
    let error = Error::new(ErrorKind::NotFound, format!("there is no port `{name}`{hint}"));
    let error = error.with_suggestion(file.or_else(|| near.into_iter().next()));
    at(error.about(Some(Subject::Constant(reference.table().to_owned()))), span)
}

/// Returns the nodes whose ports are not known, each with the reason. Empty if there are none.
fn missing_ports(mesh: &MeshSnapshot) -> String {
    let (mut waits, mut failed) = (vec![], vec![]);
    for node in mesh.nodes.iter().filter(|node| node.domains.is_empty()) {
        let name = describe(&node.location);
        match (node.state, &node.error) {
            (NodeState::Unknown, _) => waits.push(name),
            (NodeState::Down, Some(error)) if error.contains(&name) => failed.push(error.clone()),
            (NodeState::Down, Some(error)) => failed.push(format!("node {name}: {error}")),
            _ => {}
        }
    }
    waits.truncate(MOST_MISSING);
    failed.truncate(MOST_MISSING);
    if !waits.is_empty() {
        let nodes = waits.join(", ");
        failed.insert(0, format!("the catalog of {nodes} has not been fetched yet: try again in a moment"));
    }
    failed.iter().map(|reason| format!("; {reason}")).collect()
}

/// Returns the most similar names: all ports with the same name elsewhere, or else the port with the most similar name.
fn suggestions(reference: &TableReference, mesh: &MeshSnapshot) -> Vec<String> {
    let parts = [reference.catalog(), reference.schema(), Some(reference.table())];
    let near = mesh.nearest_port(&parts.into_iter().flatten().collect::<Vec<_>>());
    let same = near.iter().filter(|near| near.port.as_str().eq_ignore_ascii_case(reference.table())).count();
    match near.is_empty() && reference.schema() == Some(MESH_SCHEMA) {
        true => vec![format!("{RESERVED_CATALOG}.{MESH_SCHEMA}.ports")],
        false => near.iter().take(same.max(1)).map(ToString::to_string).collect(),
    }
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
    let near = nearest(schema, schemas()).map(|near| format!("{catalog}.{near}"));
    let what = if catalog == RESERVED_CATALOG { ("catalog", "schema") } else { ("domain", "product") };
    let error = Error::new(ErrorKind::NotFound, format!("{} `{catalog}` has no {} `{schema}`", what.0, what.1));
    Err(error.suggesting(near).about(Some(Subject::Name(schema.to_owned()))))
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
