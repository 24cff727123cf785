//! Pass 1, resolve: turns text into a plan over the ports that the mesh knows at this moment. All look-ups happen
//! before planning begins, in one immutable view: planning itself does no I/O. Only files that the statement names are
//! opened here.

mod aliases;
mod assignments;
pub(crate) mod change;
mod changed_rows;
mod common_tables;
mod describe;
mod explain_options;
mod files;
mod full_order;
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
mod table_names;
mod targets;
mod time_zone;
mod views;

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParserBuilder, ResetStatement, Statement};
use portolan_catalog::MeshSnapshot;
use sqlparser::ast::{DescribeAlias, Set, Statement as SqlStatement};

use self::aliases::{Aliases, have_one_name, of_one_name};
pub(crate) use self::assignments::Assignment;
use self::assignments::{current, literal};
use self::change::{Change, Scope, change};
use self::common_tables::CommonTables;
use self::explain_options::take_explain;
pub(crate) use self::explain_options::{ExplainOptions, Format};
pub use self::files::files_of;
pub(crate) use self::labels::Labels;
use self::labels::RenamedColumns;
use self::show::{Shown, show};
use self::statements::{SUPPORTED, only_reads};
use self::table_names::known_names;
use crate::bounds;
use crate::dialect::{self, SessionFacts, Syntax};
use crate::execution::errors::from_datafusion;
use crate::names::SessionNames;
use crate::planner::analyse_statement;
use crate::planner::same::namesakes;
use crate::upstream::{from_first, keep_digits, patterns, using_joins, volatile};
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

/// Parses a query, and no other statement.
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
            Err(unsupported(format!("the statement is not supported: {SUPPORTED} are")))
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
        patterns::translate(statement)?;
        using_joins::spell_out(statement, state).await?;
    }
    replaced_columns::check(&statement, state).await?;
    let aliases = Aliases::of(&statement);
    let common = match &mut statement {
        Statement::Statement(statement) => CommonTables::of(statement),
        _ => CommonTables::default(),
    };
    let planned = state.statement_to_plan(statement).await;
    let planned = planned.and_then(|plan| common.run_once(plan)).and_then(|plan| {
        let namesakes = namesakes(&plan)?;
        volatile::apart(plan, &namesakes)
    });
    planned.map_err(|e| {
        let known = functions::unknown(&e, state).or_else(|| aliases.misplaced(&e));
        known.unwrap_or_else(|| from_datafusion(&e))
    })
}

fn invalid(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidQuery, context)
}

fn unsupported(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, context)
}
